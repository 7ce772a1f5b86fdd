/** When blobs are collected: what was promised, what lost its last reference, who shows what. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import {
  APP,
  CollectionSubject,
  ENGINES,
  HOUR_MS,
  MINUTE_MS,
  OTHER,
  RULES,
  bytes,
  long,
} from "./testing/collection-subject.ts";

setDefaultTimeout(60_000);

const LAYER = long("layer");
const OTHER_LAYER = long("other layer");
/** What was needed is promised for a lease when the need ends, and kept for the grace. */
const HELD_MS = Math.max(RULES.leaseMs, RULES.graceMs);
const SMALL = "small";

describe.each([...ENGINES])("on %s", (kind) => {
  test.each([LAYER, SMALL])("a blob that no manifest needs stays for its lease and then goes: %s", async (content) => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(content);
    subject.later(RULES.leaseMs - 1);
    expect(await subject.all()).toMatchObject({ links: 0, blobs: 0 });
    expect(await subject.shows(digest)).toBeTrue();
    subject.later(1);
    expect(await subject.all()).toMatchObject({ links: 1, blobs: 1, bytes: content.length });
    expect(await subject.shows(digest)).toBeFalse();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("the grace holds it too when it is longer than the lease", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: HOUR_MS, graceMs: 4 * HOUR_MS });
    const digest = await subject.push(LAYER);
    subject.later(4 * HOUR_MS - 1);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
    subject.later(1);
    await subject.all();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("being told that it is here renews its lease once half of that is over, and not before", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const { blobs } = subject.repository();
    subject.later(RULES.leaseMs / 2);
    expect(await blobs.exists(digest)).toBeTrue();
    expect((await subject.metadata.blobs.find(APP, digest))?.leasedAt).toBe(subject.clock.ms - RULES.leaseMs / 2);
    subject.later(1);
    expect(await blobs.exists(digest)).toBeTrue();
    expect((await subject.metadata.blobs.find(APP, digest))?.leasedAt).toBe(subject.clock.ms);
    subject.later(RULES.leaseMs - 1);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
    subject.later(1);
    await subject.all();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("whenever a client is told that it is here, it stays for half a lease at least", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    for (let told = 0; told < 20; told++) {
      subject.later(RULES.leaseMs / 2 - 1);
      await subject.all();
      expect(await subject.repository().blobs.exists(digest)).toBeTrue();
    }
  });

  test("what a client was told stays for its lease also when the last image that needs it is deleted", async () => {
    await using subject = await CollectionSubject.open(kind, { graceMs: 0 });
    const digest = await subject.push(LAYER);
    const image = await subject.image({ layers: [LAYER] });
    subject.later(2 * RULES.leaseMs);
    expect(await subject.repository().blobs.exists(digest)).toBeTrue();
    await subject.repository().manifests.delete(image);
    subject.later(RULES.leaseMs / 2 - 1);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
  });

  test("mounting begins a lease in the repository that it is mounted into", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    subject.later(RULES.leaseMs - 1);
    expect(await subject.repository(OTHER).blobs.mount(digest, APP)).toBeDefined();
    subject.later(RULES.leaseMs - 1);
    await subject.all();
    expect(await subject.shows(digest, OTHER)).toBeTrue();
    subject.later(1);
    await subject.all();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("pushing it again begins another lease", async () => {
    await using subject = await CollectionSubject.open(kind);
    await subject.push(LAYER);
    subject.later(RULES.leaseMs - 1);
    const digest = await subject.push(LAYER);
    subject.later(RULES.leaseMs - 1);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
    expect(await subject.files()).toHaveLength(1);
  });

  test("collected and pushed again it lies under another key, and the old bytes go alone", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const before = await subject.files();
    subject.later(RULES.leaseMs);
    await subject.metadata.collection.collect(RULES, undefined, { due: false, limit: 100 });
    expect(await subject.files()).toEqual(before);
    await subject.push(LAYER);
    subject.later(MINUTE_MS);
    await subject.all();
    const [key, ...more] = await subject.files();
    expect(more).toEqual([]);
    expect(before).not.toContain(key);
    const blob = await subject.repository().blobs.get(digest);
    expect(Buffer.concat(await Array.fromAsync(blob.read())).toString()).toBe(LAYER);
  });

  test("what an image needs stays for as long as the image", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    await subject.image({ layers: [LAYER], tags: ["latest"] });
    for (let rounds = 0; rounds < 5; rounds++) {
      subject.later(100 * RULES.leaseMs);
      expect(await subject.all()).toMatchObject({ manifests: 0, links: 0, blobs: 0 });
    }
    expect(await subject.shows(digest)).toBeTrue();
  });

  test("what a deleted image needed stays for lease and grace, whichever is longer, and then goes", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const image = await subject.image({ layers: [LAYER] });
    subject.later(10 * RULES.leaseMs);
    await subject.all();
    await subject.repository().manifests.delete(image);
    subject.later(HELD_MS - 1);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
    subject.later(1);
    await subject.all();
    expect(await subject.shows(digest)).toBeFalse();
    subject.later(MINUTE_MS);
    await subject.all();
    expect(await subject.files()).toEqual([]);
  });

  test("an image put within that time keeps it", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const image = await subject.image({ layers: [LAYER] });
    subject.later(10 * RULES.leaseMs);
    await subject.repository().manifests.delete(image);
    subject.later(HELD_MS - 1);
    await subject.image({ layers: [LAYER], note: "again" });
    subject.later(100 * RULES.leaseMs);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
  });

  test("an image goes while another needs one of its blobs: that blob stays, the others go", async () => {
    await using subject = await CollectionSubject.open(kind);
    const [shared, own] = [await subject.push(LAYER), await subject.push(OTHER_LAYER)];
    await subject.image({ layers: [LAYER], note: "stays" });
    const image = await subject.image({ layers: [LAYER, OTHER_LAYER] });
    subject.later(10 * RULES.leaseMs);
    await subject.repository().manifests.delete(image);
    subject.later(HELD_MS);
    await subject.all();
    expect([await subject.shows(shared), await subject.shows(own)]).toEqual([true, false]);
  });

  test("two images that need the same blob go one after the other: it goes with the last", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const images = [await subject.image({ layers: [LAYER] }), await subject.image({ layers: [LAYER], note: "two" })];
    subject.later(10 * RULES.leaseMs);
    for (const image of images) {
      await subject.due();
      expect(await subject.shows(digest)).toBeTrue();
      await subject.repository().manifests.delete(image);
      subject.later(HELD_MS);
    }
    await subject.due();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("two repositories share its bytes: each loses its own, the bytes go with the last", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    await subject.push(LAYER, OTHER);
    const [here, there] = [
      await subject.image({ layers: [LAYER] }),
      await subject.image({ layers: [LAYER], to: OTHER }),
    ];
    expect(await subject.files()).toHaveLength(2); // its second push is trash already
    subject.later(10 * RULES.leaseMs);
    await subject.due();
    await subject.repository(APP).manifests.delete(here);
    subject.later(HELD_MS);
    expect(await subject.due()).toMatchObject({ links: 2, blobs: 0 });
    expect([await subject.shows(digest), await subject.shows(digest, OTHER)]).toEqual([false, true]);
    await subject.repository(OTHER).manifests.delete(there);
    subject.later(HELD_MS);
    expect(await subject.due()).toMatchObject({ links: 2, blobs: 2 });
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("two repositories show it and none needs it: the bytes go when the later lease is over", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    subject.later(HOUR_MS);
    await subject.push(LAYER, OTHER);
    subject.later(RULES.leaseMs - HOUR_MS);
    expect(await subject.due()).toMatchObject({ links: 0 }); // its review waits for lease and grace
    subject.later(RULES.graceMs);
    expect(await subject.due()).toMatchObject({ links: 1, blobs: 0 });
    expect([await subject.shows(digest), await subject.shows(digest, OTHER)]).toEqual([false, true]);
    subject.later(HOUR_MS);
    expect(await subject.due()).toMatchObject({ links: 1, blobs: 1 });
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("deleted by a client it is not shown any more; its bytes stay for the grace", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    subject.later(10 * RULES.leaseMs);
    await subject.repository().blobs.delete(digest);
    expect(await subject.shows(digest)).toBeFalse();
    subject.later(RULES.graceMs - 1);
    await subject.all();
    expect(await subject.hasBytes(digest)).toBeTrue();
    subject.later(1);
    await subject.all();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("deleted by a client while an image needs it, it is not shown, its bytes stay as long as the image", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const image = await subject.image({ layers: [LAYER] });
    subject.later(10 * RULES.leaseMs);
    await subject.repository().blobs.delete(digest);
    subject.later(10 * RULES.leaseMs);
    await subject.all();
    expect([await subject.shows(digest), await subject.hasBytes(digest)]).toEqual([false, true]);
    await subject.repository().manifests.delete(image);
    subject.later(HELD_MS);
    await subject.all();
    expect(await subject.hasBytes(digest)).toBeFalse();
  });

  test("what a sparse image misses and is pushed later is needed from then on", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = digestOf(bytes(LAYER));
    const needed = { digest, size: LAYER.length, optional: true, path: "layers[0]" };
    const payload = bytes("sparse");
    await subject.metadata.manifests.put(APP, {
      digest: digestOf(payload),
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      artifactType: undefined,
      subject: undefined,
      annotations: undefined,
      payload,
      blobs: [needed],
      children: [],
      tags: [],
      condition: undefined,
    });
    await subject.push(LAYER);
    subject.later(100 * RULES.leaseMs);
    await subject.all();
    expect(await subject.shows(digest)).toBeTrue();
  });

  test("nothing that is still needed waits in the queue: a round without changes looks at nothing", async () => {
    await using subject = await CollectionSubject.open(kind);
    await subject.push(LAYER);
    await subject.image({ layers: [LAYER], tags: ["latest"] });
    subject.later(100 * RULES.leaseMs);
    await subject.due();
    expect(await subject.metadata.collection.backlog()).toMatchObject({ entries: 0 });
  });
});
