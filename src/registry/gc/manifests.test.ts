/** When manifests are collected: tags, the time to undo, fresh pushes, pins, indexes and referrers. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Digest } from "../../oci/digest.ts";
import { tag } from "../../oci/tag.ts";
import { CollectionSubject, DAY_MS, ENGINES, OTHER, RULES, long } from "./testing/collection-subject.ts";

setDefaultTimeout(60_000);

const LAYER = long("layer");
const LONG_AGO = 100 * DAY_MS;
const UNTAGGED = { untagged: true };
const LATEST = tag("latest");

/** Moves the clock by `milliseconds`, less one at first, and collects each time: gives what is there then. */
async function around(
  subject: CollectionSubject,
  milliseconds: number,
  digest: Digest,
): Promise<readonly [before: boolean, after: boolean]> {
  subject.later(milliseconds - 1);
  await subject.due();
  await subject.all();
  const before = await subject.hasManifest(digest);
  subject.later(1);
  await subject.due();
  return [before, await subject.hasManifest(digest)];
}

describe.each([...ENGINES])("on %s", (kind) => {
  test("without untagged every manifest stays, whatever leads to it", async () => {
    await using subject = await CollectionSubject.open(kind);
    await subject.push(LAYER);
    const images = [await subject.image({ layers: [LAYER] }), await subject.image({ note: "two", tags: ["latest"] })];
    await subject.image({ note: "three", tags: ["latest"] });
    await subject.repository().tags.delete(LATEST);
    subject.later(LONG_AGO);
    await subject.due();
    expect(await subject.all()).toMatchObject({ manifests: 0, links: 0, blobs: 0 });
    for (const image of images) expect(await subject.hasManifest(image)).toBeTrue();
  });

  test("a manifest without a tag stays while it is fresh and then goes, and what it needed after its lease", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const layer = await subject.push(LAYER);
    const image = await subject.image({ layers: [LAYER] });
    expect(await around(subject, RULES.freshMs, image)).toEqual([true, false]);
    subject.later(RULES.leaseMs - 1);
    await subject.due();
    expect(await subject.shows(layer)).toBeTrue();
    subject.later(1);
    await subject.due();
    expect(await subject.hasBytes(layer)).toBeFalse();
  });

  test("a manifest that is put again is fresh again", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    await subject.image();
    subject.later(RULES.freshMs - 1);
    const image = await subject.image();
    expect(await around(subject, RULES.freshMs, image)).toEqual([true, false]);
  });

  test.each(["HEAD", "GET"])("a client that was told by %s that a manifest is here may count on it", async (method) => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image();
    subject.later(RULES.freshMs - 1);
    const { manifests } = subject.repository();
    expect(await (method === "HEAD" ? manifests.exists(image) : manifests.find(image))).toBeTruthy();
    subject.later(RULES.leaseMs / 2);
    await subject.due();
    await subject.all();
    expect(await subject.hasManifest(image)).toBeTrue();
  });

  test("a tagged manifest stays", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image({ tags: ["latest"] });
    subject.later(LONG_AGO);
    await subject.due();
    expect(await subject.all()).toMatchObject({ manifests: 0 });
    expect(await subject.hasManifest(image)).toBeTrue();
  });

  test("a manifest whose tag moved away stays for the time to undo", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image({ tags: ["latest"] });
    subject.later(LONG_AGO);
    const next = await subject.image({ tags: ["latest"], note: "next" });
    expect(await around(subject, RULES.undoMs, image)).toEqual([true, false]);
    expect(await subject.hasManifest(next)).toBeTrue();
  });

  test("a manifest whose tag was deleted stays for the time to undo", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image({ tags: ["latest"] });
    subject.later(LONG_AGO);
    await subject.repository().tags.delete(LATEST);
    expect(await around(subject, RULES.undoMs, image)).toEqual([true, false]);
  });

  test("without untagged it stays after that time too", async () => {
    await using subject = await CollectionSubject.open(kind);
    const image = await subject.image({ tags: ["latest"] });
    await subject.image({ tags: ["latest"], note: "next" });
    expect(await around(subject, LONG_AGO, image)).toEqual([true, true]);
  });

  test("a tag that comes back within the time to undo keeps it", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image({ tags: ["latest"] });
    subject.later(LONG_AGO);
    const before = new Date(subject.clock.ms);
    subject.later(1);
    const next = await subject.image({ tags: ["latest"], note: "next" });
    subject.later(RULES.undoMs - 1);
    expect(await subject.repository().tags.restore(LATEST, before)).toBe(image);
    subject.later(LONG_AGO);
    await subject.due();
    await subject.all();
    expect([await subject.hasManifest(image), await subject.hasManifest(next)]).toEqual([true, false]);
  });

  test("the other of its tags keeps it", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image({ tags: ["latest", "stable"] });
    await subject.image({ tags: ["latest"], note: "next" });
    expect(await around(subject, LONG_AGO, image)).toEqual([true, true]);
  });

  test("a tag of another repository does not keep it", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image();
    await subject.image({ to: OTHER, tags: ["latest"] });
    expect(await around(subject, RULES.freshMs, image)).toEqual([true, false]);
    expect(await subject.hasManifest(image, OTHER)).toBeTrue();
  });

  test("a pinned manifest stays", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const image = await subject.image();
    await subject.repository().pins.add(image, "test");
    expect(await around(subject, LONG_AGO, image)).toEqual([true, true]);
    await subject.repository().pins.remove(image);
    await subject.due();
    expect(await subject.hasManifest(image)).toBeFalse();
  });

  test("the manifests of an index stay as long as the index, and go after it", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const children = [await subject.image(), await subject.image({ note: "two" })];
    const index = await subject.index(children, ["latest"]);
    subject.later(LONG_AGO);
    await subject.due();
    await subject.all();
    for (const child of children) expect(await subject.hasManifest(child)).toBeTrue();
    await subject.repository().tags.delete(LATEST);
    expect(await around(subject, RULES.undoMs, index)).toEqual([true, false]);
    await subject.all();
    for (const child of children) expect(await subject.hasManifest(child)).toBeFalse();
  });

  test("a manifest of two indexes stays while one of them does", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    const child = await subject.image();
    const gone = await subject.index([child], [], "goes");
    await subject.index([child], ["latest"], "stays");
    expect(await around(subject, RULES.freshMs, gone)).toEqual([true, false]);
    subject.later(LONG_AGO);
    await subject.all();
    expect(await subject.hasManifest(child)).toBeTrue();
  });

  test("indexes of indexes go from the top to the bottom in one collection by hand", async () => {
    await using subject = await CollectionSubject.open(kind, UNTAGGED);
    let top = await subject.image();
    for (let depth = 0; depth < 5; depth++) top = await subject.index([top]);
    subject.later(LONG_AGO);
    expect(await subject.all()).toMatchObject({ manifests: 6 });
  });

  describe("referrers", () => {
    test("live exactly as long as their subject, and the time to undo after it", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image({ tags: ["latest"] });
      const signature = await subject.image({ subject: image });
      subject.later(LONG_AGO);
      await subject.due();
      await subject.all();
      expect(await subject.hasManifest(signature)).toBeTrue();
      await subject.repository().manifests.delete(image);
      expect(await around(subject, RULES.undoMs, signature)).toEqual([true, false]);
    });

    test("go after their subject without untagged as well", async () => {
      await using subject = await CollectionSubject.open(kind);
      const image = await subject.image({ tags: ["latest"] });
      const signature = await subject.image({ subject: image });
      subject.later(LONG_AGO);
      await subject.repository().manifests.delete(image);
      expect(await around(subject, RULES.undoMs, signature)).toEqual([true, false]);
    });

    test("never keep their subject", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image();
      await subject.image({ subject: image, tags: ["signature"] });
      expect(await around(subject, RULES.freshMs, image)).toEqual([true, false]);
    });

    test("with a tag of their own stay after their subject", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image();
      const signature = await subject.image({ subject: image, tags: ["signature"] });
      await subject.repository().manifests.delete(image);
      expect(await around(subject, LONG_AGO, signature)).toEqual([true, true]);
    });

    test("are adopted again when their subject is pushed again within the time to undo", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image({ tags: ["latest"] });
      const signature = await subject.image({ subject: image });
      subject.later(LONG_AGO);
      await subject.repository().manifests.delete(image);
      subject.later(RULES.undoMs - 1);
      await subject.due();
      expect(await subject.image({ tags: ["latest"] })).toBe(image);
      subject.later(LONG_AGO);
      await subject.due();
      await subject.all();
      expect(await subject.hasManifest(signature)).toBeTrue();
      await subject.repository().manifests.delete(image);
      expect(await around(subject, RULES.undoMs, signature)).toEqual([true, false]);
    });

    test("whose subject never was here stay, with untagged too", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image({ to: OTHER });
      const signature = await subject.image({ subject: image });
      expect(await around(subject, LONG_AGO, signature)).toEqual([true, true]);
    });

    test("whose subject comes later live as long as it from then on", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image({ to: OTHER });
      const signature = await subject.image({ subject: image });
      await subject.image({ tags: ["latest"] });
      subject.later(LONG_AGO);
      await subject.all();
      await subject.repository().manifests.delete(image);
      expect(await around(subject, RULES.undoMs, signature)).toEqual([true, false]);
    });

    test("of referrers go one after the other, each with its time to undo", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image({ tags: ["latest"] });
      const signature = await subject.image({ subject: image });
      const witness = await subject.image({ subject: signature });
      subject.later(LONG_AGO);
      await subject.repository().manifests.delete(image);
      expect(await around(subject, RULES.undoMs, signature)).toEqual([true, false]);
      expect(await around(subject, RULES.undoMs, witness)).toEqual([true, false]);
    });

    test("of an image that is collected go after it", async () => {
      await using subject = await CollectionSubject.open(kind, UNTAGGED);
      const image = await subject.image();
      const signature = await subject.image({ subject: image });
      subject.later(LONG_AGO);
      await subject.due();
      expect(await subject.hasManifest(image)).toBeFalse();
      expect(await around(subject, RULES.undoMs, signature)).toEqual([true, false]);
    });
  });

  test("a manifest deleted by digest is gone at once, with its tags", async () => {
    await using subject = await CollectionSubject.open(kind);
    const image = await subject.image({ tags: ["latest", "stable"] });
    await subject.repository().manifests.delete(image);
    expect(await subject.hasManifest(image)).toBeFalse();
    expect(await Array.fromAsync(subject.repository().tags.list())).toEqual([]);
  });

  test("by hand, untagged takes what was there before the setting was made", async () => {
    await using subject = await CollectionSubject.open(kind);
    const image = await subject.image();
    subject.later(LONG_AGO);
    await subject.due();
    await subject.all();
    expect(await subject.metadata.collection.backlog()).toMatchObject({ entries: 0 });
    expect(await subject.all(UNTAGGED)).toMatchObject({ manifests: 1 });
    expect(await subject.hasManifest(image)).toBeFalse();
  });
});
