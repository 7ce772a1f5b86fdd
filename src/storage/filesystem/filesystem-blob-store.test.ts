/** The blob store on files: the suite, and what only files can do wrong. */
import { afterAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { digestOf, encodedOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import type { PartKey, StorageKey } from "../blob-store.ts";
import { blobStoreSuite } from "../testing/blob-store-suite.ts";
import { FilesystemBlobStore } from "./filesystem-blob-store.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-blobs-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

function freshFolder(): Promise<string> {
  return mkdtemp(join(root, "store-"));
}

blobStoreSuite("files", async () => await FilesystemBlobStore.open(await freshFolder()));

describe("files: the tree", () => {
  test("a blob lies where its digest says, with the upload's id behind it", async () => {
    const { folder, store } = await openFresh();
    const content = Buffer.from("a layer");
    const id = randomUUID();
    const hex = encodedOf(digestOf(content));
    const key = await push(store, content, id);
    const path = join(folder, "blobs", "sha256", hex.slice(0, 2), `${hex}.${id}`);
    expect(await readFile(path, "utf8")).toBe("a layer");
    expect(store.locate(key, 7)).toEqual({ kind: "file", path, range: { start: 0, end: 6 } });
    expect(await readdir(join(folder, "uploads"))).toEqual([]);
  });

  test("a blob with a sha512 digest lies beside those with sha256", async () => {
    const { folder, store } = await openFresh();
    const content = Buffer.from("a layer");
    const part = await stage(store, content, randomUUID());
    const digest = digestOf(content, "sha512");
    await commit(store, part, 7, digest);
    const [name] = await readdir(join(folder, "blobs", "sha512", encodedOf(digest).slice(0, 2)));
    expect(name).toStartWith(`${encodedOf(digest)}.`);
  });

  test("a part file lies among the uploads under its upload's id", async () => {
    const { folder, store } = await openFresh();
    await stage(store, Buffer.from("half a lay"), "an-upload");
    expect(await readFile(join(folder, "uploads", "an-upload"), "utf8")).toBe("half a lay");
  });

  test("only the owner may read files and look into folders, whatever the umask", async () => {
    const before = process.umask(0);
    try {
      const { folder, store } = await openFresh();
      const key = await push(store, Buffer.from("secret"), randomUUID());
      const part = await stage(store, Buffer.from("secret too"), randomUUID());
      const copy = store.partKey(randomUUID());
      const ending = { committedAs: undefined, mayWakeUp: true };
      const taken = await store.takeOver({ key: part, state: undefined, size: 6 }, copy, ending);
      expect(taken?.key).toBe(copy);
      for (const file of [key, part, copy]) expect(await modeOf(join(folder, file))).toBe(0o600);
      for (let path = dirname(join(folder, key)); path !== folder; path = dirname(path)) {
        expect(await modeOf(path)).toBe(0o700);
      }
      expect(await modeOf(join(folder, "uploads"))).toBe(0o700);
    } finally {
      process.umask(before);
    }
  });
});

describe("files: what others do to the tree", () => {
  test("a folder that another process removed is made once more", async () => {
    const { folder, store } = await openFresh();
    const content = Buffer.from("pushed again");
    const first = await push(store, content, randomUUID());
    await rm(dirname(join(folder, first)), { recursive: true });
    const second = await push(store, content, randomUUID());
    expect(await readFile(join(folder, second), "utf8")).toBe("pushed again");
  });

  test("so is the folder of all blobs of an algorithm", async () => {
    const { folder, store } = await openFresh();
    const content = Buffer.from("pushed again");
    await push(store, content, randomUUID());
    await rm(join(folder, "blobs", "sha256"), { recursive: true });
    const second = await push(store, content, randomUUID());
    expect(await readFile(join(folder, second), "utf8")).toBe("pushed again");
  });

  test("a commit that the disk refuses leaves the part file, and works when the disk is well again", async () => {
    const { folder, store } = await openFresh();
    const content = Buffer.from("in the way");
    const part = await stage(store, content, randomUUID());
    const key = store.storageKey(part, digestOf(content));
    const inTheWay = dirname(join(folder, key));
    await push(store, Buffer.from("another"), randomUUID()); // makes the folders above
    await writeFile(inTheWay, "a file where the folder should be");
    await using writer = (await store.resume({ key: part, state: undefined, size: content.length }))!;
    await expect(writer.commit(key)).rejects.toThrow("ENOTDIR");
    expect(await store.stat(key).catch(() => undefined)).toBeUndefined();
    expect(await readFile(join(folder, part), "utf8")).toBe("in the way");
    await rm(inTheWay);
    expect((await writer.commit(key)).size).toBe(content.length);
    expect(await readFile(join(folder, key), "utf8")).toBe("in the way");
  });

  test("a folder in the place of a blob is no blob", async () => {
    const { folder, store } = await openFresh();
    const key = await push(store, Buffer.from("replaced"), randomUUID());
    await rm(join(folder, key));
    await Bun.write(join(folder, key, "inside"), "x");
    expect(await store.stat(key)).toBeUndefined();
  });

  test("touching a file shows in what is known of it", async () => {
    const { folder, store } = await openFresh();
    const key = await push(store, Buffer.from("touched"), randomUUID());
    const before = await store.stat(key);
    await chmod(join(folder, key), 0o600);
    expect(await store.stat(key)).toEqual(before);
    await writeFile(join(folder, key), "changed");
    expect((await store.stat(key))?.fingerprint).not.toBe(before!.fingerprint);
  });

  test("a store whose folder went is not ready", async () => {
    const { folder, store } = await openFresh();
    await rm(join(folder, "uploads"), { recursive: true });
    await expect(store.checkReady()).rejects.toThrow("ENOENT");
  });

  for (const copy of [false, true]) {
    test(`a blob is put into another folder as a ${copy ? "copy" : "hard link"}`, async () => {
      const [here, there] = [await openFresh(), await openFresh()];
      const key = await push(here.store, Buffer.from("backed up"), randomUUID());
      expect(await here.store.putInto(there.store, key, { copy, size: 9 })).toBeUndefined();
      const [from, to] = [await stat(join(here.folder, key)), await stat(join(there.folder, key))];
      expect(to.ino === from.ino).toBe(!copy);
      expect(to.mode & 0o777).toBe(0o600);
      await here.store.delete([key]);
      expect(await readFile(join(there.folder, key), "utf8")).toBe("backed up");
      expect(await here.store.putInto(there.store, key, { copy, size: 9 })).toBe("missing");
    });

    test.each(["part of it", "all of it", "a link to it"])(
      `a blob of which an interrupted call left %s is put there again (${copy ? "copy" : "link"})`,
      async (left) => {
        const [here, there] = [await openFresh(), await openFresh()];
        const key = await push(here.store, Buffer.from("backed up"), randomUUID());
        const [from, to] = [join(here.folder, key), join(there.folder, key)];
        await here.store.putInto(there.store, key, { copy: left !== "a link to it", size: 9 });
        if (left === "part of it") await writeFile(to, "backed");
        expect(await here.store.putInto(there.store, key, { copy, size: 9 })).toBeUndefined();
        expect(await readFile(to, "utf8")).toBe("backed up");
        expect((await stat(to)).ino === (await stat(from)).ino).toBe(!copy);
      },
    );

    test(`a file that is too short is put into another folder as it is, and reported (${copy ? "copy" : "link"})`, async () => {
      const [here, there] = [await openFresh(), await openFresh()];
      const key = await push(here.store, Buffer.from("short"), randomUUID());
      expect(await FilesystemBlobStore.reading(here.folder).putInto(there.store, key, { copy, size: 9 })).toBe(
        "wrong size",
      );
      expect(await readFile(join(there.folder, key), "utf8")).toBe("short");
    });
  }

  test("a target that cannot take a blob is no fault of the source", async () => {
    const [here, there] = [await openFresh(), await openFresh()];
    const key = await push(here.store, Buffer.from("backed up"), randomUUID());
    await rm(join(there.folder, "blobs"), { recursive: true });
    await writeFile(join(there.folder, "blobs"), "a file where the folder was");
    await expect(here.store.putInto(there.store, key, { copy: true, size: 9 })).rejects.toThrow("ENOTDIR");
  });

  test("two stores on one folder see each other's blobs and part files", async () => {
    const { folder, store } = await openFresh();
    const other = await FilesystemBlobStore.open(folder);
    const key = await push(store, Buffer.from("shared"), randomUUID());
    expect(await other.stat(key)).toEqual(await store.stat(key));
    const part = await stage(store, Buffer.from("begun"), randomUUID());
    await using taken = (await other.resume({ key: part, state: undefined, size: 5 }))!;
    await taken.append(Buffer.from(" here, ended there"));
    const digest = digestOf(Buffer.from("begun here, ended there"));
    await taken.commit(store.storageKey(part, digest));
    expect((await other.stat(store.storageKey(part, digest)))?.size).toBe(23);
  });
});

async function openFresh() {
  const folder = await freshFolder();
  return { folder, store: await FilesystemBlobStore.open(folder) };
}

async function stage(store: FilesystemBlobStore, content: Uint8Array, upload: string): Promise<PartKey> {
  const key = store.partKey(upload);
  await using part = await store.begin(key);
  await part.append(content);
  await part.checkpoint();
  return key;
}

async function commit(store: FilesystemBlobStore, part: PartKey, size: number, digest: Digest): Promise<StorageKey> {
  const key = store.storageKey(part, digest);
  await using writer = (await store.resume({ key: part, state: undefined, size }))!;
  await writer.commit(key);
  return key;
}

async function push(store: FilesystemBlobStore, content: Uint8Array, upload: string): Promise<StorageKey> {
  const part = await stage(store, content, upload);
  return await commit(store, part, content.length, digestOf(content));
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}
