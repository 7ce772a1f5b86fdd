/** The data folder of a server: who may look into it, and when it cannot be used. */
import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, chown, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { filesBesideDatabase, makeDataFolder, queryFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { sharedScratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await sharedScratchFolder();
let folders = 0;

/** One line for each command that opens a data folder, but those that make or read a backup. */
const COMMANDS = [
  ["gc"],
  ["check"],
  ["cat", "team/app:latest"],
  ["explain", "alice", "push", "team/app"],
  ["user", "add", "alice", "--password-stdin"],
  ["user", "list"],
  ["token", "create", "--for", "ci", "--repo", "team/**"],
  ["token", "list"],
  ["repo", "list"],
  ["tag", "delete", "team/app:latest"],
  ["backup", join(scratch, "backup")],
] as const;

/** For a user who is not root, so that the program is found wherever it lies. */
const READS_ANYTHING = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"];

function freshFolder(): string {
  return join(scratch, `data-${folders++}`);
}

describe("the data folder", () => {
  test("is made, and only the owner may look into it or read what is there, whatever the umask", async () => {
    const dataDir = join(freshFolder(), "below", "data");
    await using server = await startListening({ dataDir, umask: 0 });
    await pushImage(server.url, "team/app", "latest");
    await pushBlob(server.url, "team/app", bytesOf("large", 100_000));
    const draft = await fetch(`${server.url}/v2/team/app/blobs/uploads/`, { method: "POST" });
    const location = new URL(draft.headers.get("location") ?? "", server.url);
    expect((await fetch(location, { method: "PATCH", body: bytesOf("arriving", 100_000) })).status).toBe(202);
    const modes = new Map<string, number>([[".", (await stat(dataDir)).mode & 0o777]]);
    for (const name of await readdir(dataDir, { recursive: true })) {
      const found = await stat(join(dataDir, name));
      modes.set(`${name}${found.isDirectory() ? "/" : ""}`, found.mode & 0o777);
    }
    const open = [...modes].filter(([name, mode]) => mode !== (name === "." || name.endsWith("/") ? 0o700 : 0o600));
    expect(open).toEqual([]);
    expect([...modes.keys()]).toEqual(expect.arrayContaining(["registry.db", "lock.db", "uploads/", "blobs/sha256/"]));
  });

  test("keeps every blob a file when nothing is to be inline, and its name is what sha256sum says of it", async () => {
    await using server = await startListening({ env: { REGISTRY_STORAGE_INLINE: "0" } });
    const { layers, config } = await pushImage(server.url, "team/app", "latest");
    await pushBlob(server.url, "team/app", "");
    await pushBlob(server.url, "team/app", bytesOf("large", 100_000));
    const expected = [layers[0]!.digest, config.digest, digestOf(""), digestOf(bytesOf("large", 100_000))];
    const files = await filesBesideDatabase(server.dataDir);
    const found: string[] = [];
    for (const file of files) {
      const digest = digestOf(await readFile(join(server.dataDir, file)));
      const hex = digest.slice("sha256:".length);
      expect(file).toStartWith(`blobs/sha256/${hex.slice(0, 2)}/${hex}.`);
      found.push(digest);
    }
    expect(found.toSorted()).toEqual(expected.toSorted());
    expect(queryFolder(server.dataDir, "select * from blob where payload is not null")).toEqual([]);
  });

  test("keeps small blobs in the database else", async () => {
    await using server = await startListening();
    await pushImage(server.url, "team/app", "latest");
    expect(await filesBesideDatabase(server.dataDir)).toEqual([]);
  });

  test("may be shared by servers on several ports", async () => {
    await using first = await startListening();
    await using second = await startListening({ dataDir: first.dataDir });
    const { body, layers } = await pushImage(first.url, "team/app", "latest");
    expect(await (await fetch(`${second.url}/v2/team/app/manifests/latest`)).text()).toBe(body);
    expect((await fetch(`${second.url}/v2/team/app/blobs/${layers[0]!.digest}`)).status).toBe(200);
  });

  test("is used alone by a server that is told so", async () => {
    const dataDir = freshFolder();
    const env = { REGISTRY_STORAGE_FILESYSTEM_SINGLEPROCESS: "true", REGISTRY_WORKERS: "1" };
    await using server = await startListening({ dataDir, env });
    await pushImage(server.url, "team/app", "latest");
    expect((await fetch(`${server.url}/v2/team/app/manifests/latest`)).status).toBe(200);
    expect(await refusedStart({ dataDir })).toContain("is locked by another process");
    expect(await refusedStart({ dataDir, env })).toContain("is locked by another process");
  });
});

describe("a data folder that cannot be used", () => {
  test("because it cannot be written", async () => {
    const isRoot = process.getuid?.() === 0;
    const notOurs = isRoot ? freshFolder() : "/usr";
    if (isRoot) {
      await mkdir(notOurs);
      await chown(notOurs, 65_534, 65_534);
    }
    // Root may write anywhere, but not without these capabilities.
    const wrapper = isRoot ? ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"] : [];
    for (const dataDir of [notOurs, join(notOurs, "new")]) {
      const said = await refusedStart({ dataDir, wrapper });
      expect(said).toContain(`the data folder ${dataDir} cannot be written`);
      expect(said).toContain("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY");
    }
    expect(await readdir(notOurs)).not.toContain("registry.db");
  });

  test("because it is a file", async () => {
    const dataDir = freshFolder();
    await writeFile(dataDir, "not a folder");
    expect(await refusedStart({ dataDir })).toContain(`the data folder ${dataDir} cannot be written`);
    expect(await readFile(dataDir, "utf8")).toBe("not a folder");
  });

  test("because work that does not share it holds it", async () => {
    const dataDir = freshFolder();
    await serveOnce(dataDir);
    const lock = new Database(join(dataDir, "lock.db"));
    lock.exec("begin exclusive");
    expect(await refusedStart({ dataDir })).toContain("is locked by another process");
    lock.close();
    await serveOnce(dataDir);
  });

  test("because a newer program wrote it", async () => {
    const dataDir = freshFolder();
    await serveOnce(dataDir);
    queryFolder(dataDir, "pragma user_version = 1000");
    const said = await refusedStart({ dataDir });
    expect(said).toContain("schema version 1000");
    expect(said).toContain("start the newer Stowage");
    expect(queryFolder(dataDir, "pragma user_version")).toEqual([{ user_version: 1000 }]);
  });

  test("because its database is something else", async () => {
    const dataDir = freshFolder();
    await mkdir(dataDir);
    await writeFile(join(dataDir, "registry.db"), "This is no database at all. ".repeat(100));
    expect(await refusedStart({ dataDir })).toContain("registry.db");
  });
});

describe("a data folder that was there before", () => {
  const isRoot = process.getuid?.() === 0;
  const asMember = (uid: number, group: number): string[] =>
    isRoot ? ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, `--groups=${group}`, ...READS_ANYTHING] : [];

  for (const mode of [0o755, 0o700, 0o2770, 0o777]) {
    test(`keeps its mode ${mode.toString(8)}`, async () => {
      const dataDir = freshFolder();
      await mkdir(dataDir);
      await chmod(dataDir, mode);
      await serveOnce(dataDir);
      expect((await stat(dataDir)).mode & 0o7777).toBe(mode);
    });
  }

  for (const mode of [0o2775, 0o2770, 0o770]) {
    test(`and is of a group (mode ${mode.toString(8)}) serves every member of it, one after the other`, async () => {
      const group = isRoot ? 4321 : process.getegid!();
      const dataDir = freshFolder();
      await mkdir(dataDir);
      await chown(dataDir, -1, group);
      await chmod(dataDir, mode);
      for (const uid of [65_534, 1234]) {
        await using server = await startListening({ dataDir, wrapper: asMember(uid, group), umask: 0o777 });
        await pushImage(server.url, "team/app", `by-${uid}`);
        await pushBlob(server.url, "team/app", bytesOf(`large ${uid}`, 100_000));
        expect((await fetch(`${server.url}/v2/team/app/manifests/by-65534`)).status).toBe(200);
        await server.printed(/"level":"warn".*its group \d+ can read, change and remove everything in it/);
        // Killed, so that what SQLite removes at its end has to serve the next one too.
        server.signal("SIGKILL");
        await server.ended;
        for (const name of await readdir(dataDir, { recursive: true })) {
          const found = await stat(join(dataDir, name));
          const rights = found.isDirectory() ? 0o770 : 0o660;
          expect([name, found.mode & 0o777, found.gid]).toEqual([name, rights, group]);
        }
      }
      expect((await stat(dataDir)).mode & 0o7777).toBe(mode);
    });
  }

  test.skipIf(!isRoot)("and is of another user can be served by that user when root has used it first", async () => {
    const dataDir = freshFolder();
    await mkdir(dataDir);
    await chown(dataDir, 1234, 1234);
    await makeDataFolder(dataDir);
    const added = await runProgram(dataDir, ["user", "add", "alice", "--password-stdin"], {}, "a long password");
    expect(added).toMatchObject({ exitCode: 0 });
    {
      await using server = await startListening({ dataDir });
      await pushBlob(server.url, "team/app", bytesOf("by root", 100_000));
    }
    await using server = await startListening({ dataDir, wrapper: asMember(1234, 1234) });
    await pushBlob(server.url, "team/app", bytesOf("by its owner", 100_000));
    expect((await fetch(`${server.url}/v2/team/app/blobs/${digestOf(bytesOf("by root", 100_000))}`)).status).toBe(200);
  });

  test.skipIf(!isRoot)(
    "is served when no user may change owners, as on NFS, and refused when root may not write",
    async () => {
      const dataDir = freshFolder();
      await mkdir(dataDir);
      await chown(dataDir, 1234, 1234);
      await chmod(dataDir, 0o777);
      const wrapper = ["setpriv", "--bounding-set", "-chown,-dac_override,-dac_read_search,-fowner,-fsetid"];
      {
        await using server = await startListening({ dataDir, wrapper });
        await pushBlob(server.url, "team/app", bytesOf("large", 100_000));
      }
      const other = freshFolder();
      await mkdir(other);
      await chown(other, 1234, 1234);
      expect(await refusedStart({ dataDir: other, wrapper })).toMatch(/belongs to 1234:1234 .* runs as 0:0 .*NFS/);
    },
  );

  test.skipIf(!isRoot)("and holds files of another user is refused with whose they are, by every command", async () => {
    const dataDir = freshFolder();
    await serveOnce(dataDir);
    await chmod(dataDir, 0o777);
    const wrapper = asMember(1234, 1234);
    expect(await refusedStart({ dataDir, wrapper })).toMatch(
      /registry\.db belongs to 0:0 \(mode 0600\).* runs as 1234:1234/,
    );
    for (const { words, exitCode, stderr } of await runEach(dataDir, COMMANDS, wrapper)) {
      expect([words, exitCode === 0]).toEqual([words, false]);
      expect(stderr).toMatch(/^stowage: \S+registry\.db cannot be written: \S+ belongs to 0:0 [^\n]+\n$/);
    }
  });
});

describe("a data folder of distribution", () => {
  test("is refused by every command but serve, and left as it is", async () => {
    const dataDir = freshFolder();
    const repository = join(dataDir, "docker", "registry", "v2", "repositories", "team", "app");
    await mkdir(repository, { recursive: true });
    await writeFile(join(repository, "link"), "kept");
    await chmod(dataDir, 0o755);
    const before = await everythingIn(dataDir);
    for (const { words, exitCode, stderr } of await runEach(dataDir, COMMANDS)) {
      expect([words, exitCode === 0]).toEqual([words, false]);
      expect(stderr).toMatch(/^stowage: [^\n]+ is the data folder of distribution [^\n]+\n$/);
    }
    expect(await everythingIn(dataDir)).toEqual(before);
    await serveOnce(dataDir);
  });

  test("is no reason to refuse what has been pushed to Stowage into the same folder", async () => {
    const dataDir = freshFolder();
    await serveOnce(dataDir);
    await mkdir(join(dataDir, "docker", "registry", "v2"), { recursive: true });
    await serveOnce(dataDir);
  });
});

test("a data folder of an older program is brought up to date", async () => {
  const dataDir = freshFolder();
  await mkdir(dataDir);
  await writeFile(join(dataDir, "registry.db"), ""); // as it is before its first migration
  await using server = await startListening({ dataDir });
  await pushImage(server.url, "team/app", "latest");
  const [row] = queryFolder(dataDir, "pragma user_version");
  expect(row?.["user_version"]).toBeGreaterThan(0);
});

async function serveOnce(dataDir: string): Promise<void> {
  await using server = await startListening({ dataDir });
  expect(await server.stop()).toBe(0);
}

/** Runs commands side by side, each of which may ask for a password. */
async function runEach(dataDir: string, commands: readonly (readonly string[])[], under: readonly string[] = []) {
  return await Promise.all(
    commands.map(async (words) => ({ words, ...(await runProgram(dataDir, words, {}, "a long password", under)) })),
  );
}

/** Every path in a folder with its mode and size. */
async function everythingIn(folder: string): Promise<readonly string[]> {
  const names = [".", ...(await readdir(folder, { recursive: true }))];
  return await Promise.all(
    names.toSorted().map(async (name) => {
      const { mode, size } = await stat(join(folder, name));
      return `${name} ${mode.toString(8)} ${size}`;
    }),
  );
}
