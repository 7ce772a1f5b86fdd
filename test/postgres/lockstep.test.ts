/**
 * Two transactions in each other's way, driven step by step: one is held at its commit while the other runs into it. What comes of it
 * is as if one came after the other.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Metadata } from "../../src/metadata/metadata.ts";
import { APP, OTHER, Subject, keyOf, needs, newManifest, textDigest } from "../../src/metadata/testing/subject.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import { tag } from "../../src/oci/tag.ts";
import { Lockstep, untilWaiting } from "./support/lockstep.ts";
import { openEngine, sharedServer } from "./support/postgres-server.ts";

setDefaultTimeout(60_000);

/** Garbage collection takes what nothing needs, and what no tag points at, at once. */
const RULES = { leaseMs: 0, graceMs: 0, undoMs: 0, freshMs: 0, untagged: true };
const EVERYTHING = { due: false, limit: 100 };

const server = await sharedServer();
const url = await server.createMigratedDatabase();
const database = new URL(url).pathname.slice(1);
const subject = await Subject.open(async (clock) => {
  const engine = await openEngine(url);
  return { store: new Metadata(engine, clock, { periods: RULES }), engine };
});
const { store: one } = subject;
const other = new Metadata(await openEngine(url), subject.clock, { periods: RULES });

afterAll(async () => {
  await one.close();
  await other.close();
});

/** Does `first` up to its commit, and `second` until it waits for that; then both go on. */
async function inEachOthersWay<First, Second>(
  first: () => Promise<First>,
  second: () => Promise<Second>,
): Promise<readonly [First, Second]> {
  using lockstep = new Lockstep();
  const held = await lockstep.upToCommit(first);
  const waiting = second();
  await Promise.race([untilWaiting(server, database), waiting.catch(() => undefined)]);
  return [await held.commit(), await waiting];
}

function collect(): Promise<unknown> {
  subject.clock.ms += 1;
  return other.collection.collect(RULES, undefined, EVERYTHING);
}

async function targetOf(name: string): Promise<Digest | undefined> {
  return (await one.manifests.findByTag(APP, tag(name)))?.digest;
}

describe("of two moves of a tag", () => {
  test("the second one sees what the first one wrote: the manifest in between is in the history, and queued", async () => {
    const [before, between, after] = [
      await subject.image("before", { tags: [tag("moving")] }),
      await subject.image("between"),
      await subject.image("after"),
    ];
    const moves = await inEachOthersWay(
      () => one.tags.put(APP, tag("moving"), between),
      () => other.tags.put(APP, tag("moving"), after),
    );
    expect(moves).toEqual(["done", "done"]);
    expect(await targetOf("moving")).toBe(after);
    const history = await one.tags.history(APP, tag("moving"), 10);
    expect(history.map(({ digest }) => digest)).toEqual([after, between, before]);
    const queued = await subject.query(
      "select digest from manifest where review_after is not null and digest = $1",
      between,
    );
    expect(queued).toHaveLength(1);
  });

  test("to a tag that must stay, the second one is refused", async () => {
    const terms = { tags: [tag("stays")], immutableTags: [tag("stays")] };
    const [first, second] = await inEachOthersWay(
      () => one.manifests.put(APP, newManifest("stays", terms)),
      () => other.manifests.put(APP, newManifest("comes late", terms)),
    );
    expect([first, second]).toMatchObject([{ kind: "stored" }, { kind: "immutable" }]);
    expect(await targetOf("stays")).toBe(textDigest("stays"));
  });

  test("of which one deletes it, the condition of the second one is held against what the first one left", async () => {
    const image = await subject.image("conditional", { tags: [tag("conditional")] });
    const condition = { condition: { kind: "exists" } } as const;
    const [deleted, moved] = await inEachOthersWay(
      () => one.tags.delete(APP, tag("conditional")),
      () => other.tags.put(APP, tag("conditional"), image, condition),
    );
    expect([deleted, moved]).toEqual(["done", "condition"]);
  });
});

test("of two uploads of one digest at the same time both succeed, there is one blob, and the other's bytes are trash", async () => {
  const digest = textDigest("pushed twice");
  const finish = async (store: Metadata, id: string) =>
    await store.uploads.finish({
      id,
      version: 1,
      digest,
      size: 12,
      location: { kind: "stored", storageKey: keyOf(id), fingerprint: "1" },
    });
  const ids = [await subject.begin(), await subject.begin(OTHER)] as const;
  const both = await inEachOthersWay(
    () => finish(one, ids[0]),
    () => finish(other, ids[1]),
  );
  expect(both).toEqual([true, true]);
  const rows = await subject.query("select storage_key from blob where digest = $1", digest);
  const [kept, trashed] = [rows.map((row) => String(row["storage_key"])), await subject.trash()];
  expect(kept).toHaveLength(1);
  const keys = ids.map(keyOf);
  expect([...kept, ...trashed.filter((key) => keys.includes(key))].toSorted()).toEqual(keys.toSorted());
  for (const name of [APP, OTHER]) expect((await one.blobs.find(name, digest))?.digest).toBe(digest);
});

describe("a repository that is forgotten because it is empty", () => {
  test("stays when an upload begins in it first", async () => {
    const repository = repositoryName("empty/first");
    await subject.push("content of the first", { to: repository });
    const [id] = await inEachOthersWay(() => subject.begin(repository), collect);
    expect(await one.uploads.find(repository, id)).toBeDefined();
    expect(await one.repositories.exists(repository)).toBe(true);
  });

  test("begins anew when an upload begins while it goes", async () => {
    const repository = repositoryName("empty/second");
    await subject.push("content of the second", { to: repository });
    const [, id] = await inEachOthersWay(collect, () => subject.begin(repository));
    expect(await one.uploads.find(repository, id)).toBeDefined();
    expect(await one.repositories.exists(repository)).toBe(true);
  });

  test("begins anew when a manifest is pushed while it goes", async () => {
    const repository = repositoryName("empty/third");
    await subject.push("content of the third", { to: repository });
    const [, put] = await inEachOthersWay(collect, () => other.manifests.put(repository, newManifest("into nothing")));
    expect(put).toMatchObject({ kind: "stored" });
    expect((await one.manifests.find(repository, textDigest("into nothing")))?.digest).toBe(textDigest("into nothing"));
  });
});

describe("beside garbage collection", () => {
  test("the blob of a manifest that is being put stays", async () => {
    const layer = await subject.push("layer that stays");
    const manifest = newManifest("image first", { blobs: [needs(layer)], tags: [tag("image-first")] });
    const [put] = await inEachOthersWay(() => one.manifests.put(APP, manifest), collect);
    expect(put).toMatchObject({ kind: "stored" });
    expect(await one.blobs.find(APP, layer.digest)).toBeDefined();
  });

  test("a manifest whose blob is being taken is refused, and names it", async () => {
    const layer = await subject.push("layer that goes");
    const manifest = newManifest("image late", { blobs: [needs(layer)], tags: [tag("image-late")] });
    const [, put] = await inEachOthersWay(collect, () => one.manifests.put(APP, manifest));
    expect(put).toEqual({ kind: "missing", digests: [layer.digest] });
    expect(await one.blobs.find(APP, layer.digest)).toBeUndefined();
  });

  test("a blob that is mounted is linked, or was taken before", async () => {
    const kept = await subject.push("mounted first");
    await inEachOthersWay(() => one.blobs.mount(OTHER, APP, kept.digest), collect);
    expect(await one.blobs.find(OTHER, kept.digest)).toBeDefined();
    const gone = await subject.push("mounted late");
    const [, mounted] = await inEachOthersWay(collect, () => one.blobs.mount(OTHER, APP, gone.digest));
    expect(mounted).toBe((await one.blobs.find(OTHER, gone.digest)) !== undefined);
  });

  test("a digest that is pushed again while it is taken is there with its new bytes", async () => {
    const before = await subject.push("pushed again");
    const [, again] = await inEachOthersWay(collect, () => subject.push("pushed again"));
    expect(again.digest).toBe(before.digest);
    expect(await one.blobs.find(APP, before.digest)).toMatchObject({
      location: { kind: "stored", storageKey: again.key },
    });
    expect(await subject.trash()).not.toContain(again.key);
  });

  test("an untagged manifest that gets a tag stays, or was taken before the tag", async () => {
    const first = await subject.image("tagged first");
    const [put] = await inEachOthersWay(() => one.tags.put(APP, tag("first"), first), collect);
    expect([put, await targetOf("first")]).toEqual(["done", first]);
    const late = await subject.image("tagged late");
    const [, absent] = await inEachOthersWay(collect, () => one.tags.put(APP, tag("late"), late));
    expect([absent, await targetOf("late")]).toEqual(["absent", undefined]);
  });
});
