/** Blobs of a repository. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import * as fc from "fast-check";
import { readLocation } from "../../lib/byte-location.ts";
import type { ByteLocation } from "../../lib/byte-location.ts";
import { digestOf } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { APP, LARGE, OTHER, bytes, collect, contentOf, pull, push, pushImage, refusalOf } from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

const ABSENT = digestOf(bytes("absent"));

export function testBlobs(open: OpenContract): void {
  for (const size of [0, 1, 300, LARGE]) {
    test(`a blob of ${size} bytes is what was pushed`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const content = contentOf("pushed", size);
      const digest = await push(repository, content);
      const pushedAt = subject.clock.ms;
      subject.clock.ms += 5;
      const blob = await repository.blobs.get(digest);
      expect(blob.digest).toBe(digest);
      expect(blob.size).toBe(size);
      expect(blob.createdAt).toEqual(new Date(pushedAt));
      expect(await collect(blob.read())).toEqual(content);
      expect(await contentAt(blob.location())).toEqual(content);
      expect(await repository.blobs.exists(digest)).toBe(true);
    });
  }

  test("any range of a blob gives the bytes between its ends, both counted in", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    for (const size of [300, LARGE]) {
      const content = contentOf("ranges", size);
      const blob = await repository.blobs.get(await push(repository, content));
      const position = fc.integer({ min: 0, max: size - 1 });
      await fc.assert(
        fc.asyncProperty(position, position, async (a, b) => {
          const [start, end] = [Math.min(a, b), Math.max(a, b)];
          expect(await collect(blob.read({ start, end }))).toEqual(content.subarray(start, end + 1));
        }),
        { numRuns: 20 },
      );
    }
  });

  test("a blob may be read several times at once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const content = contentOf("shared", LARGE);
    const blob = await repository.blobs.get(await push(repository, content));
    const reads = Array.from({ length: 5 }, () => collect(blob.read()));
    for (const read of await Promise.all(reads)) expect(read).toEqual(content);
  });

  test("what is absent is absent: nothing, a missing blob or a missing repository", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    expect(await repository.blobs.find(ABSENT)).toBeUndefined();
    expect(await repository.blobs.exists(ABSENT)).toBe(false);
    expect(await refusalOf(repository.blobs.get(ABSENT))).toBe("BLOB_UNKNOWN 404");
    expect(await refusalOf(repository.blobs.delete(ABSENT))).toBe("BLOB_UNKNOWN 404");
    await push(repository, bytes("something"));
    expect(await refusalOf(repository.blobs.get(ABSENT))).toBe("BLOB_UNKNOWN 404");
    expect(await refusalOf(repository.blobs.delete(ABSENT))).toBe("BLOB_UNKNOWN 404");
  });

  test("a blob belongs to the repository that it was pushed to", async () => {
    await using subject = await open();
    const digest = await push(subject.namespace.repository(APP), bytes("mine"));
    await push(subject.namespace.repository(OTHER), bytes("yours"));
    expect(await subject.namespace.repository(OTHER).blobs.find(digest)).toBeUndefined();
    expect(await refusalOf(subject.namespace.repository(OTHER).blobs.delete(digest))).toBe("BLOB_UNKNOWN 404");
    expect(await subject.namespace.repository(APP).blobs.exists(digest)).toBe(true);
  });

  test("the same bytes pushed twice, or by many at once, are kept once", async () => {
    await using subject = await open();
    const [here, there] = [subject.namespace.repository(APP), subject.namespace.repository(OTHER)];
    const content = contentOf("many", LARGE);
    const digests = await Promise.all([here, there, here, there].map((repository) => push(repository, content)));
    for (const repository of [here, there]) expect(await pull(repository, digests[0]!)).toEqual(content);
    subject.clock.ms += 3_600_000; // a client may have been about to read the file that was replaced
    expect(await subject.kept()).toHaveLength(1);
  });

  testDeletion(open);
  testMounts(open);
}

function testDeletion(open: OpenContract): void {
  test("deleting takes a blob out of this repository alone", async () => {
    await using subject = await open();
    const [here, there] = [subject.namespace.repository(APP), subject.namespace.repository(OTHER)];
    for (const size of [300, LARGE]) {
      const content = contentOf("shared", size);
      const digest = await push(here, content);
      await push(there, content);
      await here.blobs.delete(digest);
      expect(await here.blobs.find(digest)).toBeUndefined();
      expect(await pull(there, digest)).toEqual(content);
    }
  });

  test("a blob that a manifest needs can be deleted: the manifest stays, the blob is missing until it is pushed again", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    const layer = contentOf(1, 300);
    await repository.blobs.delete(digestOf(layer));
    expect(await repository.blobs.exists(digestOf(layer))).toBe(false);
    expect(await repository.manifests.exists(digest)).toBe(true);
    await push(repository, layer);
    expect(await pull(repository, digestOf(layer))).toEqual(layer);
  });
}

function testMounts(open: OpenContract): void {
  test("a mount shows a blob of another repository without a transfer", async () => {
    await using subject = await open();
    const content = contentOf("mounted", LARGE);
    const digest = await push(subject.namespace.repository(APP), content);
    const kept = await subject.kept();
    const mounted = await subject.namespace.repository(OTHER).blobs.mount(digest, APP);
    expect(mounted?.digest).toBe(digest);
    expect(await pull(subject.namespace.repository(OTHER), digest)).toEqual(content);
    expect(await subject.kept()).toEqual(kept);
    await subject.namespace.repository(APP).blobs.delete(digest);
    expect(await pull(subject.namespace.repository(OTHER), digest)).toEqual(content);
  });

  test("what the other repository does not show cannot be mounted, and begins no repository", async () => {
    await using subject = await open();
    const digest = await push(subject.namespace.repository(APP), bytes("mine"));
    const third = repositoryName("third");
    const { blobs } = subject.namespace.repository(third);
    expect(await blobs.mount(digest, OTHER)).toBeUndefined();
    expect(await blobs.mount(ABSENT, APP)).toBeUndefined();
    expect(await blobs.mount(ABSENT)).toBeUndefined();
    await subject.namespace.repository(APP).blobs.delete(digest);
    expect(await blobs.mount(digest, APP)).toBeUndefined();
    expect(await blobs.mount(digest)).toBeUndefined();
    expect(await subject.namespace.repository(third).exists()).toBe(false);
  });

  test("without `from` any repository will do that may be read", async () => {
    await using subject = await open();
    const digest = await push(subject.namespace.repository(APP), bytes("shared"));
    await push(subject.namespace.repository(OTHER), bytes("shared"));
    const { blobs } = subject.namespace.repository(repositoryName("third"));
    const asked: RepositoryName[] = [];
    const never = (name: RepositoryName): boolean => {
      asked.push(name);
      return false;
    };
    expect(await blobs.mount(digest, undefined, never)).toBeUndefined();
    expect(asked.toSorted()).toEqual([APP, OTHER]);
    expect((await blobs.mount(digest, undefined, (name) => name === OTHER))?.digest).toBe(digest);
    expect((await subject.namespace.repository(repositoryName("fourth")).blobs.mount(digest))?.digest).toBe(digest);
  });

  test("`from` counts only when it may be read", async () => {
    await using subject = await open();
    const digest = await push(subject.namespace.repository(APP), bytes("secret"));
    const { blobs } = subject.namespace.repository(OTHER);
    expect(await blobs.mount(digest, APP, () => false)).toBeUndefined();
    expect(await blobs.exists(digest)).toBe(false);
  });
}

/** What a client would get. */
async function contentAt(location: ByteLocation): Promise<Uint8Array> {
  return location.kind === "file"
    ? Uint8Array.from(await readFile(location.path))
    : await collect(readLocation(location));
}
