/** What the metadata says to those who compare it with the bytes that are there, and who takes turns with whom. */
import { expect, test } from "bun:test";
import { tag } from "../../oci/tag.ts";
import { APP, OTHER, Subject, partKeyOf, inByteOrder, inline, keyOf, needs, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

export function testInventory(open: OpenMetadata): void {
  test("every blob is listed, in order of the digests, damaged ones and those of no repository too", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const [stored, damaged, unlinked] = [
      await subject.push("stored"),
      await subject.push("damaged"),
      await subject.push("unlinked"),
    ];
    const small = await subject.push("small", { location: inline("small") });
    await store.blobs.mount(OTHER, APP, stored.digest);
    await store.blobs.markCorrupt(damaged.digest, damaged.key);
    await store.blobs.unlink(APP, unlinked.digest);
    const all = await store.blobs.list({ limit: 10 });
    expect(all.map(({ digest }) => digest)).toEqual(
      inByteOrder([stored, damaged, unlinked, small].map((b) => b.digest)),
    );
    const found = new Map(all.map((blob) => [blob.digest, blob]));
    expect(found.get(damaged.digest)).toMatchObject({ size: 7, corrupt: true, location: { storageKey: damaged.key } });
    expect(found.get(unlinked.digest)).toMatchObject({
      size: 8,
      corrupt: false,
      location: { storageKey: unlinked.key },
    });
    expect(found.get(small.digest)).toEqual({
      digest: small.digest,
      size: 5,
      corrupt: false,
      location: { kind: "inline", bytes: 5 },
    });
    expect(await store.blobs.inlinePayload(small.digest)).toEqual(new TextEncoder().encode("small"));
    expect(await store.blobs.inlinePayload(stored.digest)).toBeUndefined();
    const second = all[1]!;
    expect((await store.blobs.list({ after: second.digest, limit: 1 })).map(({ digest }) => digest)).toEqual([
      all[2]!.digest,
    ]);
  });

  test("keys are known that a blob, an upload or the trash names", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const blob = await subject.push("a blob");
    const [arriving, cancelled] = [await subject.begin(), await subject.begin()];
    await subject.claim(arriving, { finalKey: keyOf(arriving) });
    await store.uploads.cancel(APP, cancelled);
    const known = [blob.key, partKeyOf(arriving), keyOf(arriving), partKeyOf(cancelled)];
    const asked = [...known, "blobs/nobody's", partKeyOf("00000000-0000-0000-0000-000000000000"), keyOf(cancelled)];
    expect([...(await store.blobs.namedKeys(asked))].toSorted()).toEqual(known.toSorted());
  });

  test("manifests that need a blob are named with their tags", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("layer");
    await store.blobs.mount(OTHER, APP, layer.digest);
    const tagged = await subject.image("tagged", { blobs: [needs(layer)], tags: [tag("b"), tag("a")] });
    const elsewhere = await subject.image("elsewhere", { to: OTHER, blobs: [needs(layer)] });
    expect(await store.manifests.needing(layer.digest, 10)).toEqual([
      { repository: APP, digest: tagged, tags: [tag("a"), tag("b")] },
      { repository: OTHER, digest: elsewhere, tags: [] },
    ]);
    expect(await store.manifests.needing(layer.digest, 1)).toHaveLength(1);
    expect(await store.manifests.needing(textDigest("absent"), 10)).toEqual([]);
  });

  test("a lease has one holder, until its time is over or he gives it back", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const until = clock.ms + 1000;
    expect(await store.leases.isHeld("work")).toBe(false);
    expect(await store.leases.take("work", "one", until)).toBe(true);
    expect(await store.leases.take("work", "other", until)).toBe(false);
    expect(await store.leases.take("other work", "other", until)).toBe(true);
    expect(await store.leases.renew("work", "one", until + 10)).toBe(true);
    expect(await store.leases.renew("work", "other", until + 20)).toBe(false);
    await store.leases.release("work", "other");
    clock.ms = until + 9;
    expect(await store.leases.isHeld("work")).toBe(true);
    expect(await store.leases.take("work", "other", until + 20)).toBe(false);
    clock.ms = until + 10;
    expect(await store.leases.isHeld("work")).toBe(false);
    expect(await store.leases.renew("work", "one", until + 20)).toBe(false); // it ended, though no other process took it
    expect(await store.leases.take("work", "other", until + 20)).toBe(true);
    expect(await store.leases.take("work", "one", until + 20)).toBe(false);
    await store.leases.release("work", "other");
    expect(await store.leases.take("work", "one", until + 20)).toBe(true);
  });

  test("of many that take a lease at once, one gets it", async () => {
    await using subject = await Subject.open(open);
    const until = subject.clock.ms + 1000;
    const taken = await Promise.all(
      Array.from({ length: 10 }, (_, at) => subject.store.leases.take("work", `holder ${at}`, until)),
    );
    expect(taken.filter(Boolean)).toHaveLength(1);
  });
}
