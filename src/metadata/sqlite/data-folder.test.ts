/** Who may use a data folder, and at the same time as whom. */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { first, rows } from "../testing/raw-sql.ts";
import { DataFolderError } from "./data-folder-error.ts";
import { openDataFolder } from "./data-folder.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-folder-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let folders = 0;

function freshFolder(): string {
  return join(root, `folder-${folders++}`, "data");
}

describe("a data folder", () => {
  test("is made with those above it, and only the owner may look into it", async () => {
    const before = process.umask(0);
    try {
      const folder = freshFolder();
      await using _engine = closing(await openDataFolder(folder, { alone: false }));
      expect((await stat(folder)).mode & 0o777).toBe(0o700);
    } finally {
      process.umask(before);
    }
  });

  test("holds files that only the owner may read, whatever the umask", async () => {
    const before = process.umask(0o022);
    try {
      const folder = freshFolder();
      await using engine = closing(await openDataFolder(folder, { alone: false }));
      await engine.write(() => rows("insert into repo (name, created_at) values ('a', 1)"));
      for (const file of ["registry.db", "registry.db-wal"]) {
        expect([file, (await stat(join(folder, file))).mode & 0o777]).toEqual([file, 0o600]);
      }
    } finally {
      process.umask(before);
    }
  });

  test("may be shared", async () => {
    const folder = freshFolder();
    await using one = closing(await openDataFolder(folder, { alone: false }));
    await using other = closing(await openDataFolder(folder, { alone: false }));
    await one.write(() => rows("insert into repo (name, created_at) values ('a', 1)"));
    expect(await other.read(() => first("select name from repo"))).toEqual({ name: "a" });
  });

  for (const [held, wanted] of [
    [true, true],
    [true, false],
    [false, true],
  ] as const) {
    test(`that is held ${inWords(held)} cannot be had ${inWords(wanted)}, until it is free`, async () => {
      const folder = freshFolder();
      const holder = await openDataFolder(folder, { alone: held });
      const refused = openDataFolder(folder, { alone: wanted });
      await expect(refused).rejects.toThrow(DataFolderError);
      await expect(refused).rejects.toThrow(/is locked by another process/);
      await holder.close();
      await (await openDataFolder(folder, { alone: wanted })).close();
    });
  }

  test("is free again when its holder is killed", async () => {
    const folder = freshFolder();
    // It ends with our end of its input, should this test end before it.
    const program = `
      import { openDataFolder } from ${JSON.stringify(join(import.meta.dir, "data-folder.ts"))};
      globalThis.held = await openDataFolder(${JSON.stringify(folder)}, { alone: true });
      console.log("held");
      for await (const _ of Bun.stdin.stream());`;
    const child = Bun.spawn([process.execPath, "-e", program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("held\n");
    await expect(openDataFolder(folder, { alone: false })).rejects.toThrow(DataFolderError);
    child.kill("SIGKILL");
    await child.exited;
    await (await openDataFolder(folder, { alone: true })).close();
  });

  test("is held by the process that holds the lock of its lock.db", async () => {
    const folder = freshFolder();
    await (await openDataFolder(folder, { alone: false })).close();
    const lock = new Database(join(folder, "lock.db"));
    lock.exec("begin exclusive");
    await expect(openDataFolder(folder, { alone: false })).rejects.toThrow(DataFolderError);
    lock.exec("rollback");
    lock.close();
    await (await openDataFolder(folder, { alone: false })).close();
  });

  test("is let go when its database cannot be used", async () => {
    const folder = freshFolder();
    await (await openDataFolder(folder, { alone: false })).close();
    const database = new Database(join(folder, "registry.db"));
    database.exec("pragma user_version = 1000");
    database.close();
    await expect(openDataFolder(folder, { alone: false })).rejects.toThrow(/schema version 1000/);
    const lock = new Database(join(folder, "lock.db"));
    lock.exec("begin exclusive; rollback");
    lock.close();
  });

  test("that is a file is refused in words", async () => {
    const path = join(root, "a-file");
    await writeFile(path, "");
    await expect(openDataFolder(path, { alone: false })).rejects.toThrow(/the data folder .*a-file cannot be written/);
    await chmod(path, 0o600);
    await expect(openDataFolder(join(path, "below"), { alone: false })).rejects.toThrow(DataFolderError);
  });
});

describe("a folder of another program", () => {
  const blobFolders = ["uploads", "blobs"];
  for (const [what, path, said] of [
    ["distribution's", "docker/registry/v2/repositories/team/app", /is the data folder of distribution/],
    ["a part of distribution's", "registry/v2/repositories", /is a part of the data folder of distribution/],
    ["a part of distribution's", "v2/repositories", /is a part of the data folder of distribution/],
    ["distribution's innermost part", "blobs/sha256/ab/abcd", /blobs holds files, but there is no .*registry\.db/],
    ["an OCI image layout", "oci-layout", /is an OCI image layout/],
    ["one whose database went", "uploads/0f0f", /uploads holds files, but there is no .*registry\.db/],
  ] as const) {
    test(`is refused, and nothing in it is changed: ${what}, ${path}`, async () => {
      const folder = freshFolder();
      await mkdir(join(folder, path), { recursive: true });
      await writeFile(join(folder, path, "kept"), "");
      const before = (await readdir(folder, { recursive: true })).toSorted();
      for (const mustExist of [false, true]) {
        const refused = openDataFolder(folder, { alone: false, mustExist, blobFolders });
        await expect(refused).rejects.toThrow(DataFolderError);
        await expect(refused).rejects.toThrow(said);
      }
      expect((await readdir(folder, { recursive: true })).toSorted()).toEqual(before);
    });
  }

  test("is refused while a restore into it is not complete, also when it looks like distribution's", async () => {
    const folder = freshFolder();
    await mkdir(join(folder, "docker/registry/v2/blobs/sha256/ab"), { recursive: true });
    await writeFile(join(folder, "registry.db.part"), "half of a database");
    const refused = openDataFolder(folder, { alone: false, blobFolders, adopts: true });
    await expect(refused).rejects.toThrow(/incomplete copy/);
    expect((await readdir(folder)).toSorted()).toEqual(["docker", "registry.db.part"]);
  });

  test("is none that has our database, or that holds what programs and file systems leave anywhere", async () => {
    const [ours, others] = [freshFolder(), freshFolder()];
    await (await openDataFolder(ours, { alone: false, blobFolders })).close();
    for (const path of ["blobs/sha256/ab", "docker/registry/v2"]) await mkdir(join(ours, path), { recursive: true });
    await (await openDataFolder(ours, { alone: false, blobFolders })).close();
    for (const path of ["lost+found", "certs", "blobs", "uploads"])
      await mkdir(join(others, path), { recursive: true });
    await (await openDataFolder(others, { alone: false, blobFolders })).close();
  });
});

function inWords(alone: boolean): string {
  return alone ? "alone" : "shared";
}

function closing<Engine extends { close(): Promise<void> }>(engine: Engine): Engine & AsyncDisposable {
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.close() });
}
