/** Tags of a repository: explicit tagging, a list that can be read from anywhere, and what a tag has pointed at. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import { tag } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";
import { APP, OTHER, bytes, imageOf, indexOf, pushImage, refusalOf } from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

const LATEST = tag("latest");

/** More than one page of the list. */
const MANY = 1005;

export function testTags(open: OpenContract): void {
  test("a manifest is tagged by itself, apart from being pushed", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    expect(await repository.tags.exists(LATEST)).toBe(false);
    await repository.tags.put(LATEST, digest);
    expect(await repository.tags.exists(LATEST)).toBe(true);
    expect((await repository.tags.stat(LATEST))?.digest).toBe(digest);
    expect((await repository.tags.find(LATEST))?.payload).toEqual(imageOf(1).payload);
  });

  test("only what is in the repository can be tagged", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const elsewhere = await pushImage(subject.namespace.repository(OTHER), 1);
    expect(await refusalOf(repository.tags.put(LATEST, elsewhere))).toBe("MANIFEST_UNKNOWN 404");
    await pushImage(repository, 2);
    expect(await refusalOf(repository.tags.put(LATEST, elsewhere))).toBe("MANIFEST_UNKNOWN 404");
    expect(await repository.tags.exists(LATEST)).toBe(false);
  });

  test("a tag is removed, its manifest is not", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    expect(await refusalOf(repository.tags.delete(LATEST))).toBe("MANIFEST_UNKNOWN 404");
    const digest = await pushImage(repository, 1, { tags: [LATEST] });
    await repository.tags.delete(LATEST);
    expect(await repository.tags.stat(LATEST)).toBeUndefined();
    expect(await repository.manifests.exists(digest)).toBe(true);
    expect(await refusalOf(repository.tags.delete(LATEST))).toBe("MANIFEST_UNKNOWN 404");
  });

  test("a tag that is not as the condition says stays as it is", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const [one, two] = [await pushImage(repository, 1), await pushImage(repository, 2)];
    await repository.tags.put(LATEST, one, { kind: "absent" });
    expect(await refusalOf(repository.tags.put(LATEST, two, { kind: "absent" }))).toBe("UNSUPPORTED 412");
    expect(await refusalOf(repository.tags.delete(LATEST, { kind: "is", digests: [two] }))).toBe("UNSUPPORTED 412");
    expect((await repository.tags.stat(LATEST))?.digest).toBe(one);
    await repository.tags.put(LATEST, two, { kind: "is", digests: [one] });
    await repository.tags.delete(LATEST, { kind: "is", digests: [two] });
    expect(await repository.tags.exists(LATEST)).toBe(false);
  });

  testLists(open);
  testHistory(open);
}

function testLists(open: OpenContract): void {
  test("the list is in byte order and can be entered anywhere", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1, { tags: ["b", "B", "a", "_", "1", "a-b", "a.b"].map(tag) });
    const names = async (from?: Parameters<typeof repository.tags.list>[0]): Promise<string[]> =>
      (await Array.fromAsync(repository.tags.list(from))).map(({ name }) => name);
    expect(await names()).toEqual(["1", "B", "_", "a", "a-b", "a.b", "b"]);
    expect(await names({ after: "a" })).toEqual(["a-b", "a.b", "b"]);
    expect(await names({ after: "C", limit: 2 })).toEqual(["_", "a"]);
    expect(await names({ after: "b" })).toEqual([]);
    expect(await names({ limit: 0 })).toEqual([]);
    const [first] = await Array.fromAsync(repository.tags.list({ limit: 1 }));
    expect(first).toEqual({ name: tag("1"), digest, updatedAt: subject.clock.ms });
    expect(await Array.fromAsync(subject.namespace.repository(OTHER).tags.list())).toEqual([]);
  });

  test("a list longer than a page gives every tag once, to several readers at once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const names = Array.from({ length: MANY }, (_, at) => tag(`v${at}`)).toSorted();
    await repository.manifests.put(indexOf([]), { tags: names });
    const readers = [repository.tags.list(), repository.tags.list({ after: names[2]! }), repository.tags.list()];
    const walks = readers.map((reader) => reader[Symbol.asyncIterator]());
    const seen: Tag[][] = [[], [], []];
    const running = new Set(walks.keys());
    while (running.size > 0) {
      for (const at of running) {
        const { done, value } = await walks[at]!.next();
        if (done) running.delete(at);
        else if (seen[at]!.push(value.name) > MANY) throw new Error("a tag is given twice");
      }
    }
    expect(seen).toEqual([names, names.slice(3), names]);
    expect(await Array.fromAsync(repository.tags.list({ limit: 1001 }))).toHaveLength(1001);
  });

  test("the many tags of a deleted manifest are in no list, and those between them are in all", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const names = Array.from({ length: MANY }, (_, at) => tag(`m${String(at).padStart(5, "0")}`));
    const { digest } = await repository.manifests.put(indexOf([]), { tags: names });
    await pushImage(repository, 1, { tags: ["a", "m00002-between", "m01000-between", "z"].map(tag) });
    await repository.manifests.delete(digest);
    await repository.manifests.put(indexOf([]), { tags: [names[500]!] });
    const all = ["a", "m00002-between", "m00500", "m01000-between", "z"];
    for (const limit of [1, 2, 3, 4, 5, 1000, undefined]) {
      const from = limit === undefined ? {} : { limit };
      expect((await Array.fromAsync(repository.tags.list(from))).map(({ name }) => String(name))).toEqual(
        all.slice(0, limit),
      );
      const pages = await Array.fromAsync(repository.tags.namePages({ ...from, after: "a" }));
      expect(pages.flat().map(String)).toEqual(all.slice(1).slice(0, limit));
      for (const page of pages) expect(page).not.toEqual([]);
    }
  });

  test("tags that come and go while a list is read do not disturb it", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const names = Array.from({ length: MANY }, (_, at) => tag(`m${String(at).padStart(5, "0")}`));
    const { digest } = await repository.manifests.put(indexOf([]), { tags: names });
    const seen: string[] = [];
    for await (const { name } of repository.tags.list()) {
      if (seen.push(name) > MANY + 1) break;
      if (seen.length !== 10) continue;
      await repository.tags.put(tag("a-before"), digest);
      await repository.tags.put(tag("z-behind"), digest);
      await repository.tags.delete(names[0]!);
      await repository.tags.delete(names[999]!); // where the first page ends
    }
    const untouched = names.filter((_, at) => at !== 0 && at !== 999);
    expect(seen.filter((name) => (untouched as string[]).includes(name))).toEqual(untouched);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).not.toContain("a-before");
    expect(seen.at(-1)).toBe("z-behind");
  });
}

function testHistory(open: OpenContract): void {
  test("a tag remembers what it pointed at, newest first", async () => {
    await using subject = await open();
    const { clock } = subject;
    const repository = subject.namespace.repository(APP);
    const begun = clock.ms;
    const one = await pushImage(repository, 1, { tags: [LATEST] });
    clock.ms = begun + 10;
    const two = await pushImage(repository, 2, { tags: [LATEST] });
    clock.ms = begun + 20;
    await repository.tags.delete(LATEST);
    expect(await repository.tags.history(LATEST)).toEqual([
      { digest: two, since: begun + 10, until: begun + 20 },
      { digest: one, since: begun, until: begun + 10 },
    ]);
    expect(await repository.tags.history(LATEST, 1)).toHaveLength(1);
    expect(await repository.tags.history(tag("v1"))).toEqual([]);
  });

  test("a tag goes back to what it pointed at then", async () => {
    await using subject = await open();
    const { clock } = subject;
    const repository = subject.namespace.repository(APP);
    const begun = clock.ms;
    const one = await pushImage(repository, 1, { tags: [LATEST] });
    clock.ms = begun + 10;
    const two = await pushImage(repository, 2, { tags: [LATEST] });
    clock.ms = begun + 20;
    expect(await repository.tags.restore(LATEST, new Date(begun + 9))).toBe(one);
    expect((await repository.tags.stat(LATEST))?.digest).toBe(one);
    expect(await repository.tags.restore(LATEST, new Date(begun + 10))).toBe(two);
    expect(await refusalOf(repository.tags.restore(LATEST, new Date(begun - 1)))).toBe("MANIFEST_UNKNOWN 404");
    await repository.manifests.delete(one);
    expect(await refusalOf(repository.tags.restore(LATEST, new Date(begun)))).toBe("MANIFEST_UNKNOWN 404");
    expect((await repository.tags.stat(LATEST))?.digest).toBe(two);
  });

  test("a digest that is absent is not tagged in passing", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    await pushImage(repository, 1, { tags: [LATEST] });
    expect(await refusalOf(repository.tags.put(LATEST, digestOf(bytes("absent"))))).toBe("MANIFEST_UNKNOWN 404");
    expect(await repository.tags.history(LATEST)).toHaveLength(1);
  });
}
