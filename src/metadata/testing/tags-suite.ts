/** Tags in the metadata, and what they have pointed at. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { tag } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";
import { APP, OTHER, Subject, inByteOrder, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const LATEST = tag("latest");

export function testTags(open: OpenMetadata): void {
  test("an immutable tag is set once: moving and deleting it is refused, whatever the condition", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const [old, young] = [await subject.image("old"), await subject.image("young")];
    const immutable = { immutable: true };
    expect(await store.tags.delete(APP, LATEST, immutable)).toBe("absent");
    expect(await store.tags.put(APP, LATEST, old, immutable)).toBe("done");
    expect(await store.tags.put(APP, LATEST, old, immutable)).toBe("done");
    expect(await store.tags.put(APP, LATEST, young, immutable)).toBe("immutable");
    expect(await store.tags.put(APP, LATEST, young, { ...immutable, condition: { kind: "exists" } })).toBe("immutable");
    expect(await store.tags.delete(APP, LATEST, immutable)).toBe("immutable");
    expect(await store.tags.delete(APP, LATEST, { ...immutable, condition: { kind: "exists" } })).toBe("immutable");
    expect((await store.manifests.findByTag(APP, LATEST))?.digest).toBe(old);
  });

  test("a tag is pointed at a manifest that is here", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const [one, two] = [await subject.image("one"), await subject.image("two")];
    expect(await store.tags.put(APP, LATEST, one)).toBe("done");
    clock.ms += 10;
    expect(await store.tags.put(APP, LATEST, two)).toBe("done");
    expect((await store.manifests.findByTag(APP, LATEST))?.digest).toBe(two);
    expect(await store.tags.list(APP, { limit: 10 })).toEqual([
      { name: LATEST, isLive: true, digest: two, updatedAt: clock.ms },
    ]);
  });

  test("a tag cannot be pointed at a manifest that is not in this repository", async () => {
    await using subject = await Subject.open(open);
    const elsewhere = await subject.image("elsewhere", { to: OTHER });
    expect(await subject.store.tags.put(APP, LATEST, elsewhere)).toBe("absent");
    await subject.image("here");
    expect(await subject.store.tags.put(APP, LATEST, elsewhere)).toBe("absent");
    expect(await subject.store.tags.list(APP, { limit: 10 })).toEqual([]);
  });

  test("tags of the same name in two repositories have nothing to do with each other", async () => {
    await using subject = await Subject.open(open);
    const here = await subject.image("here", { tags: [LATEST] });
    await subject.image("there", { to: OTHER, tags: [LATEST] });
    expect(await subject.store.tags.delete(OTHER, LATEST)).toBe("done");
    expect((await subject.store.manifests.findByTag(APP, LATEST))?.digest).toBe(here);
  });

  test("a tag is removed, and its manifest stays", async () => {
    await using subject = await Subject.open(open);
    const digest = await subject.image("image", { tags: [LATEST, tag("v1")] });
    expect(await subject.store.tags.delete(APP, LATEST)).toBe("done");
    expect(await subject.store.tags.delete(APP, LATEST)).toBe("absent");
    expect(await subject.store.tags.delete(OTHER, LATEST)).toBe("absent");
    expect(await subject.store.manifests.find(APP, digest)).toBeDefined();
    expect((await subject.store.manifests.findByTag(APP, tag("v1")))?.digest).toBe(digest);
  });

  test("a tag changes only when it is as the condition says", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const [old, young] = [await subject.image("old"), await subject.image("young")];
    expect(await store.tags.put(APP, LATEST, old, { condition: { kind: "exists" } })).toBe("condition");
    expect(await store.tags.put(APP, LATEST, old, { condition: { kind: "absent" } })).toBe("done");
    expect(await store.tags.put(APP, LATEST, young, { condition: { kind: "absent" } })).toBe("condition");
    expect(await store.tags.put(APP, LATEST, young, { condition: { kind: "is", digests: [young] } })).toBe("condition");
    expect(await store.tags.put(APP, LATEST, young, { condition: { kind: "is not", digests: [old] } })).toBe(
      "condition",
    );
    expect((await store.manifests.findByTag(APP, LATEST))?.digest).toBe(old);
    expect(await store.tags.put(APP, LATEST, young, { condition: { kind: "is", digests: [old] } })).toBe("done");

    const both = { kind: "all", of: [{ kind: "exists" }, { kind: "is not", digests: [young] }] } as const;
    expect(await store.tags.delete(APP, LATEST, { condition: both })).toBe("condition");
    expect(await store.tags.delete(APP, LATEST, { condition: { kind: "is", digests: [old] } })).toBe("condition");
    expect(await store.tags.delete(APP, LATEST, { condition: { kind: "is not", digests: [young] } })).toBe("condition");
    expect((await store.manifests.findByTag(APP, LATEST))?.digest).toBe(young);
    expect(await store.tags.delete(APP, LATEST, { condition: { kind: "is", digests: [young] } })).toBe("done");
    expect(await store.tags.delete(APP, LATEST, { condition: { kind: "exists" } })).toBe("condition");
  });

  testHistory(open);
  testPages(open);
}

function testHistory(open: OpenMetadata): void {
  test("a tag's history tells what it pointed at and when, newest first", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const begun = clock.ms;
    const one = await subject.image("one", { tags: [LATEST] });
    clock.ms = begun + 10;
    const two = await subject.image("two", { tags: [LATEST] });
    clock.ms = begun + 20;
    await store.tags.put(APP, LATEST, one);
    clock.ms = begun + 30;
    expect(await store.tags.history(APP, LATEST, 10)).toEqual([
      { digest: one, since: begun + 20, until: undefined },
      { digest: two, since: begun + 10, until: begun + 20 },
      { digest: one, since: begun, until: begun + 10 },
    ]);
    expect(await store.tags.history(APP, LATEST, 2)).toHaveLength(2);
    expect(await store.tags.history(OTHER, LATEST, 10)).toEqual([]);
    expect(await store.tags.history(APP, tag("v1"), 10)).toEqual([]);
  });

  test("pointing it where it points already is no event", async () => {
    await using subject = await Subject.open(open);
    const begun = subject.clock.ms;
    const digest = await subject.image("image", { tags: [LATEST] });
    subject.clock.ms += 10;
    await subject.image("image", { tags: [LATEST] });
    await subject.store.tags.put(APP, LATEST, digest);
    expect(await subject.store.tags.history(APP, LATEST, 10)).toEqual([{ digest, since: begun, until: undefined }]);
  });

  for (const [how, remove] of [
    ["the tag is removed", (subject: Subject) => subject.store.tags.delete(APP, LATEST)],
    ["its manifest is", (subject: Subject) => subject.store.manifests.delete(APP, textDigest("image"))],
  ] as const) {
    test(`its history ends, and is kept, when ${how}`, async () => {
      await using subject = await Subject.open(open);
      const { store, clock } = subject;
      const begun = clock.ms;
      const digest = await subject.image("image", { tags: [LATEST] });
      clock.ms += 10;
      await remove(subject);
      expect(await store.tags.history(APP, LATEST, 10)).toEqual([{ digest, since: begun, until: begun + 10 }]);
      clock.ms += 10;
      await subject.image("image", { tags: [LATEST] });
      expect((await store.tags.history(APP, LATEST, 10))[0]).toEqual({ digest, since: begun + 20, until: undefined });
    });
  }
}

function testPages(open: OpenMetadata): void {
  test("tags are in byte order: digits, capitals, _, small letters", async () => {
    await using subject = await Subject.open(open);
    const names = ["b", "B", "a", "A", "_", "0", "10", "9", "a-b", "a.b", "a_b", "a0", "aB"].map(tag);
    await subject.image("image", { tags: names });
    const found = (await subject.store.tags.list(APP, { limit: 100 })).map(({ name }) => name);
    expect<string[]>(found).toEqual(["0", "10", "9", "A", "B", "_", "a", "a-b", "a.b", "a0", "aB", "a_b", "b"]);
    expect(found).toEqual(inByteOrder(names));
  });

  test("a page begins after a name that need not exist", async () => {
    await using subject = await Subject.open(open);
    await subject.image("image", { tags: ["a", "b", "d"].map(tag) });
    const after = async (name: string, limit = 10): Promise<string[]> =>
      (await subject.store.tags.list(APP, { after: name, limit })).map((each) => each.name);
    expect(await after("a")).toEqual(["b", "d"]);
    expect(await after("c")).toEqual(["d"]);
    expect(await after("")).toEqual(["a", "b", "d"]);
    expect(await after("a", 1)).toEqual(["b"]);
    expect(await after("d")).toEqual([]);
    expect(await after("ÿ – no tag can be called so")).toEqual([]);
    expect(await after("a' or '1'='1")).toEqual(["b", "d"]);
  });

  test("pages of any size give each tag once", async () => {
    const text = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,5}$/).map(tag);
    await using subject = await Subject.open(open);
    const digest = await subject.image("image");
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(text, { maxLength: 15 }),
        fc.integer({ min: 1, max: 6 }),
        async (names, limit) => {
          for (const { name } of await subject.store.tags.list(APP, { limit: 100 }))
            await subject.store.tags.delete(APP, name);
          await Promise.all(names.map((name) => subject.store.tags.put(APP, name, digest)));
          const walked: Tag[] = [];
          for (;;) {
            const after = walked.at(-1);
            const page = await subject.store.tags.list(APP, after === undefined ? { limit } : { after, limit });
            walked.push(...page.map(({ name }) => name));
            if (page.length < limit) break;
          }
          expect(walked).toEqual(inByteOrder(names));
        },
      ),
      { numRuns: 15 },
    );
  });
}
