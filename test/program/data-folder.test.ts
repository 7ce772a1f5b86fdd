/** The data folder of a server: who may look into it, and when it cannot be used. */
import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chown, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { filesBesideDatabase, queryFolder } from "../support/data-folder.ts";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let folders = 0;

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
    expect(queryFolder(server.dataDir, "select * from blob_inline")).toEqual([]);
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
    expect(await refusedStart({ dataDir })).toContain("is held by a process that does not share it");
    expect(await refusedStart({ dataDir, env })).toContain("is held by a process that does not share it");
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
    expect(await refusedStart({ dataDir })).toContain("is held by a process that does not share it");
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
