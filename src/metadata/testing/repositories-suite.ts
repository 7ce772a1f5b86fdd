/** Repositories in the metadata: when they exist, and how they are listed. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { repositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { APP, OTHER, Subject, inByteOrder } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

export function testRepositories(open: OpenMetadata): void {
  test("a repository exists while an upload, a blob or a manifest is in it", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    expect(await store.repositories.exists(APP)).toBe(false);

    const id = await subject.begin();
    expect(await store.repositories.exists(APP)).toBe(true);
    await store.uploads.cancel(APP, id);
    expect(await store.repositories.exists(APP)).toBe(false);

    const { digest } = await subject.push("blob");
    expect(await store.repositories.exists(APP)).toBe(true);
    await store.blobs.unlink(APP, digest);
    expect(await store.repositories.exists(APP)).toBe(false);

    const manifest = await subject.image("manifest");
    expect(await store.repositories.exists(APP)).toBe(true);
    await store.manifests.delete(APP, manifest);
    expect(await store.repositories.exists(APP)).toBe(false);
    expect(await store.repositories.exists(OTHER)).toBe(false);
  });

  test("a store that was cleared holds no repository, and its bytes are trash", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { key } = await subject.push("blob");
    const manifest = await subject.image("manifest");
    await subject.image("index", { to: OTHER });
    const upload = await subject.begin();
    await store.repositories.removeAll();
    expect(await store.repositories.list({ limit: 100 })).toEqual([]);
    expect([await store.repositories.exists(APP), await store.manifests.find(APP, manifest)]).toEqual([
      false,
      undefined,
    ]);
    expect(await store.uploads.find(APP, upload)).toBeUndefined();
    expect(await store.blobs.list({ limit: 100 })).toEqual([]);
    expect(await store.trash.due(100)).toContain(key);
    expect((await subject.push("blob")).size).toBe(4);
  });

  test("those with a manifest are listed, in byte order", async () => {
    await using subject = await Subject.open(open);
    const names = ["a/b", "a", "b", "a-b", "a.b", "a_b", "a0", "aa"].map(repositoryName);
    for (const name of names) await subject.image("image", { to: name });
    await subject.push("only a blob", { to: repositoryName("a1") });
    await subject.begin(repositoryName("a2"));
    const found = await subject.store.repositories.list({ limit: 100 });
    const listed = found.filter(({ hasManifests }) => hasManifests).map(({ name }) => name);
    expect<string[]>(listed).toEqual(["a", "a-b", "a.b", "a/b", "a0", "a_b", "aa", "b"]);
    expect(found).toHaveLength(names.length + 2);
  });

  test("a range is the names from its beginning on that stand before its end", async () => {
    await using subject = await Subject.open(open);
    for (const name of ["a", "a/b", "c"]) await subject.image("image", { to: repositoryName(name) });
    const names = async (from: string | undefined, until: string | undefined, limit: number): Promise<string[]> =>
      (await subject.store.repositories.list({ from, until, limit })).map(({ name }) => name);
    expect(await names("a", undefined, 5)).toEqual(["a", "a/b", "c"]);
    expect(await names("a-", undefined, 5)).toEqual(["a/b", "c"]);
    expect(await names("a-", "c", 5)).toEqual(["a/b"]);
    expect(await names("a/", "a0", 5)).toEqual(["a/b"]);
    expect(await names("A", undefined, 1)).toEqual(["a"]);
    expect(await names(undefined, "a-", 5)).toEqual(["a"]);
    expect(await names("d", undefined, 5)).toEqual([]);
  });

  test("pages of any size give each once", async () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,2}([._-][a-z0-9])?$/);
    const anyName = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => repositoryName(parts.join("/")));
    await using subject = await Subject.open(open);
    const names = fc.sample(fc.uniqueArray(anyName, { minLength: 20, maxLength: 20 }), 1)[0]!;
    for (const name of names) await subject.image("image", { to: name });
    for (const limit of [1, 2, 3, 7, 19, 20, 21]) {
      const walked: RepositoryName[] = [];
      for (;;) {
        const last = walked.at(-1);
        const page = await subject.store.repositories.list({ from: last && `${last}-`, limit });
        walked.push(...page.map(({ name }) => name));
        if (page.length < limit) break;
      }
      expect(walked).toEqual(inByteOrder(names));
    }
  });
}
