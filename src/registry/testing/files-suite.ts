/** Blobs whose files are corrupt: missing for all clients, until the next push heals them. */
import { describe, expect, test } from "bun:test";
import { readFile, readdir, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, encodedOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { tag } from "../../oci/tag.ts";
import { MissingBlobError } from "../../storage/blob-store.ts";
import {
  APP,
  LARGE,
  OTHER,
  collect,
  contentOf,
  descriptorOf,
  indexOf,
  pull,
  push,
  refusalOf,
  streamOf,
} from "./contract-subject.ts";
import type { ContractSubject, OpenContract } from "./contract-subject.ts";

const CONTENT = contentOf("harmed", LARGE);
const DIGEST = digestOf(CONTENT);

const HARM: Readonly<Record<string, (path: string) => Promise<void>>> = {
  missing: async (path) => await rm(path),
  truncated: async (path) => await truncate(path, LARGE - 1),
  longer: async (path) => await writeFile(path, new Uint8Array(1), { flag: "a" }),
  emptied: async (path) => await truncate(path, 0),
  replaced: async (path) => await writeFile(path, contentOf("something else", LARGE)),
};

export function testFiles(open: OpenContract): void {
  test("a large blob is a file that a person can verify", async () => {
    await using subject = await open();
    const digest = await push(subject.namespace.repository(APP), CONTENT);
    const path = await pathOf(subject, digest);
    expect(digestOf(await readFile(path))).toBe(digest);
    const blob = await subject.namespace.repository(APP).blobs.get(digest);
    expect(blob.location()).toEqual({ kind: "file", path, range: { start: 0, end: CONTENT.length - 1 } });
  });

  for (const [what, harm] of Object.entries(HARM)) {
    describe(`a file that is ${what}`, () => {
      test("is not found, by whatever way, in whatever process", async () => {
        await using subject = await open();
        const [here, there] = [subject.namespace.repository(APP), subject.namespace.repository(OTHER)];
        await push(here, CONTENT);
        await harm(await pathOf(subject, DIGEST));
        expect(await here.blobs.find(DIGEST)).toBeUndefined();
        expect(await here.blobs.exists(DIGEST)).toBe(false);
        expect(await refusalOf(here.blobs.get(DIGEST))).toBe("BLOB_UNKNOWN 404");
        expect(await there.blobs.mount(DIGEST, APP)).toBeUndefined();
        expect(await there.blobs.mount(DIGEST)).toBeUndefined();
        expect(await (await subject.another()).repository(APP).blobs.exists(DIGEST)).toBe(false);
      });

      test("keeps a manifest out that needs it, once it was noticed", async () => {
        await using subject = await open();
        const repository = subject.namespace.repository(APP);
        await push(repository, CONTENT);
        await harm(await pathOf(subject, DIGEST));
        await repository.blobs.exists(DIGEST);
        const payload = indexOf([descriptorOf(CONTENT, "application/octet-stream")]);
        expect(await refusalOf(repository.manifests.put(payload))).toBe("MANIFEST_BLOB_UNKNOWN 400");
        await push(repository, CONTENT);
        expect(await refusalOf(repository.manifests.put(payload, { tags: [tag("v1")] }))).toBe("none");
      });

      for (const noticed of [true, false]) {
        test(`is put right by the next push, ${noticed ? "after a request for it" : "before any request"}`, async () => {
          await using subject = await open();
          const [here, there] = [subject.namespace.repository(APP), subject.namespace.repository(OTHER)];
          await push(here, CONTENT);
          await harm(await pathOf(subject, DIGEST));
          if (noticed) await here.blobs.exists(DIGEST);
          await push(there, CONTENT);
          for (const repository of [here, there]) expect(await pull(repository, DIGEST)).toEqual(CONTENT);
          subject.clock.ms += 3_600_000;
          expect(await subject.kept()).toHaveLength(1);
        });
      }
    });
  }

  test("a bit that flipped in silence is put right by the next push of the same bytes", async () => {
    await using subject = await open();
    const [here, there] = [subject.namespace.repository(APP), subject.namespace.repository(OTHER)];
    await push(here, CONTENT);
    const path = await pathOf(subject, DIGEST);
    const { atime, mtime } = await stat(path);
    await writeFile(path, contentOf("something else", LARGE));
    await utimes(path, atime, mtime);
    await push(there, CONTENT);
    for (const repository of [here, there]) expect(await pull(repository, DIGEST)).toEqual(CONTENT);
    subject.clock.ms += 3_600_000;
    expect(await subject.kept()).toHaveLength(1);
  });

  test("a file that was touched, and is the same, is hashed once and served", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    await push(repository, CONTENT);
    const path = await pathOf(subject, DIGEST);
    await utimes(path, new Date(1_000_000_000_000), new Date(1_000_000_000_000));
    expect(await pull(repository, DIGEST)).toEqual(CONTENT);
    expect(await (await subject.another()).repository(APP).blobs.exists(DIGEST)).toBe(true);
    // From now on that is its time: bytes that change behind it, leaving time and size, are not noticed by a look.
    await writeFile(path, contentOf("something else", LARGE));
    await utimes(path, new Date(1_000_000_000_000), new Date(1_000_000_000_000));
    expect(await repository.blobs.exists(DIGEST)).toBe(true);
  });

  test("a blob that goes while it is being read gives all of its bytes or an error", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const content = contentOf("read", 3 * 1024 * 1024);
    const digest = await push(repository, content);
    const blob = await repository.blobs.get(digest);
    const reading = blob.read()[Symbol.asyncIterator]();
    const first = await reading.next();
    await rm(await pathOf(subject, digest));
    const rest = await collect({ [Symbol.asyncIterator]: () => reading });
    expect(Buffer.concat([first.value as Uint8Array, rest]).equals(content)).toBe(true);
    await expect(collect(blob.read())).rejects.toThrow(MissingBlobError);
  });

  test("an upload whose bytes are gone is gone", async () => {
    await using subject = await open();
    const { blobs } = subject.namespace.repository(APP);
    const lose = async (harm: (path: string) => Promise<void>): Promise<string[]> => {
      const refusals: string[] = [];
      for (const place of [undefined, { start: LARGE, length: 1 }]) {
        const upload = await blobs.upload();
        await upload.append(streamOf(CONTENT));
        const folder = join(subject.folder!, "uploads");
        for (const part of await readdir(folder)) await harm(join(folder, part));
        const act = place ? upload.append(streamOf(new Uint8Array(1)), place) : upload.finish([DIGEST]);
        refusals.push(await refusalOf(act));
        expect(await blobs.resume(upload.id)).toBeUndefined();
      }
      return refusals;
    };
    const gone = ["BLOB_UPLOAD_UNKNOWN 404", "BLOB_UPLOAD_UNKNOWN 404"];
    expect(await lose(async (path) => await rm(path))).toEqual(gone);
    expect(await lose(async (path) => await truncate(path, LARGE - 1))).toEqual(gone);
    expect(await subject.kept()).toEqual([]);
  });
}

/** The one file of a blob. */
async function pathOf({ folder }: ContractSubject, digest: Digest): Promise<string> {
  if (folder === undefined) throw new Error("this registry keeps no files");
  const hex = encodedOf(digest);
  const parent = join(folder, "blobs", "sha256", hex.slice(0, 2));
  const names = (await readdir(parent)).filter((name) => name.startsWith(`${hex}.`));
  if (names.length !== 1) throw new Error(`the blob has ${names.length} files`);
  return join(parent, names[0]!);
}
