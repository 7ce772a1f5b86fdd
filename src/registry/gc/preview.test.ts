/** What a collection says that it would do, and how much it looks at. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Collectable } from "../../metadata/collection.ts";
import { collectAll, collectTrash } from "./collector.ts";
import type { CollectionProgress } from "./collector.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { APP, CollectionSubject, DAY_MS, ENGINES, OTHER, RULES, long } from "./testing/collection-subject.ts";

setDefaultTimeout(60_000);

const LAYER = long("layer");

function countOf(found: readonly Collectable[]): object {
  const of = (kind: Collectable["kind"]): readonly Collectable[] => found.filter((item) => item.kind === kind);
  return {
    manifests: of("manifest").length,
    links: of("link").length,
    blobs: of("blob").length,
    bytes: of("blob").reduce((sum, { size }) => sum + size, 0),
  };
}

/** What waits to be looked at. */
function queue(subject: CollectionSubject): Promise<readonly object[]> {
  return subject.query(
    "select repo, blob, review_after from repo_blob union all select 0, id, review_after from blob order by 1, 2",
  );
}

describe.each([...ENGINES])("on %s", (kind) => {
  test("a dry run says what a collection then takes, and takes nothing itself", async () => {
    await using subject = await CollectionSubject.open(kind);
    const layer = await subject.push(LAYER);
    await subject.push(LAYER, OTHER);
    await subject.push("small");
    await subject.push(long("needed"));
    await subject.image({ layers: [long("needed")], tags: ["latest"] });
    subject.later(10 * RULES.leaseMs);
    await subject.push(long("promised"));
    const before = await queue(subject);
    const found = await subject.preview();
    expect(countOf(found)).toEqual({ manifests: 0, links: 3, blobs: 2, bytes: LAYER.length + "small".length });
    expect(found).toContainEqual({ kind: "link", repository: APP, digest: layer, size: LAYER.length });
    expect(found).toContainEqual({ kind: "link", repository: OTHER, digest: layer, size: LAYER.length });
    expect(found).toContainEqual({ kind: "blob", repository: undefined, digest: layer, size: LAYER.length });
    expect(await queue(subject)).toEqual(before);
    expect(await subject.all()).toMatchObject(countOf(found));
    expect(await subject.preview()).toEqual([]);
  });

  test("it says so also of what was promised again after its first review", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    subject.later(RULES.leaseMs);
    await subject.repository().blobs.exists(digest);
    subject.later(RULES.graceMs);
    expect(await subject.due()).toMatchObject({ links: 0 });
    subject.later(RULES.leaseMs);
    const found = await subject.preview();
    expect(countOf(found)).toEqual({ manifests: 0, links: 1, blobs: 1, bytes: LAYER.length });
    expect(await subject.all()).toMatchObject(countOf(found));
  });

  test("a blob that a client took out of its repository is in it, once", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    await subject.push(LAYER, OTHER);
    for (const name of [APP, OTHER]) await subject.repository(name).blobs.delete(digest);
    subject.later(10 * DAY_MS);
    const found = await subject.preview();
    expect(countOf(found)).toEqual({ manifests: 0, links: 0, blobs: 1, bytes: LAYER.length });
    expect(await subject.all()).toMatchObject(countOf(found));
  });

  test("of blobs that many repositories show, over several pages, it says once that they go, or not at all", async () => {
    await using subject = await CollectionSubject.open(kind);
    const names = Array.from({ length: 70 }, (_, at) => repositoryName(`many/${at}`));
    for (const name of names)
      for (const content of ["all go", "the first stays", "the last stays"]) await subject.push(content, name);
    subject.later(10 * DAY_MS);
    await subject.push("the first stays", names[0]);
    await subject.push("the last stays", names.at(-1));
    const found = await subject.preview();
    expect(countOf(found)).toEqual({ manifests: 0, links: 70 + 69 + 69, blobs: 1, bytes: "all go".length });
    expect(await subject.all()).toMatchObject(countOf(found));
  });

  test("manifests that would go are in it, those that a tag leads to are not", async () => {
    await using subject = await CollectionSubject.open(kind, { untagged: true });
    const image = await subject.image();
    await subject.image({ tags: ["latest"], note: "tagged" });
    subject.later(10 * DAY_MS);
    const found = await subject.preview();
    expect(found).toEqual([{ kind: "manifest", repository: APP, digest: image, size: expect.any(Number) }]);
    expect(await subject.all()).toMatchObject({ manifests: 1 });
  });

  test("by hand, with untagged, it finds those that the queue has forgotten", async () => {
    await using subject = await CollectionSubject.open(kind);
    const image = await subject.image();
    subject.later(10 * DAY_MS);
    await subject.due();
    const found = await subject.preview({ untagged: true });
    expect(found.map(({ digest }) => digest)).toEqual([image]);
  });

  test("2,000 blobs that nothing needs are collected without a look at those that are needed", async () => {
    await using subject = await CollectionSubject.open(kind);
    const [needed, unneeded] = [200, 2000];
    for (let number = 0; number < needed; number++) {
      await subject.push(`needed ${number}`);
      await subject.image({ layers: [`needed ${number}`], tags: [`t${number}`] });
    }
    subject.later(10 * DAY_MS);
    await subject.all();
    for (let number = 0; number < unneeded; number++) await subject.push(`${number}`);
    subject.later(10 * DAY_MS);
    let [reviewed, steps] = [0, 0];
    const { metadata } = subject.backend;
    for (let isDone = false; !isDone; steps++) {
      const step = await metadata.collection.collect(subject.backend.rules, undefined, { due: true, limit: 50 });
      reviewed += step.reviewed;
      isDone = step.reviewed === 0;
    }
    // Each blob: its link and its bytes.
    expect(reviewed).toBeGreaterThanOrEqual(unneeded);
    expect(reviewed).toBeLessThanOrEqual(2 * unneeded);
    expect(await subject.query("select count(*) as n from blob")).toEqual([{ n: needed + 1 }]);
    expect(steps).toBeLessThanOrEqual((2 * unneeded) / 50 + 1);
  });

  test("each step says how many of how many are done, and is waited for", async () => {
    await using subject = await CollectionSubject.open(kind);
    for (let number = 0; number < 60; number++) await subject.push(long(`${number}`));
    subject.later(10 * DAY_MS);
    const seen: CollectionProgress[] = [];
    let running = 0;
    await collectAll(subject.backend, subject.backend.rules, {
      stepSize: 50,
      async onStep(progress) {
        expect(++running).toBe(1);
        await Promise.resolve();
        running--;
        seen.push(progress);
      },
    });
    // 60 links, each with the blob that goes with it.
    expect(seen).toEqual([
      { work: "looking", done: 50, total: 60 },
      { work: "looking", done: 60, total: 60 },
    ]);
    subject.later(DAY_MS);
    seen.length = 0;
    await collectTrash(subject.backend, { onStep: (progress) => void seen.push(progress) });
    expect(seen).toEqual([
      { work: "unlinking", done: 50, total: undefined },
      { work: "unlinking", done: 60, total: undefined },
    ]);
  });
});
