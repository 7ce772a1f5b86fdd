/** Uploads in the metadata: the journal of intents, and who may write. */
import { expect, test } from "bun:test";
import type { UploadProgress } from "../uploads.ts";
import {
  APP,
  HOLDER,
  HOUR_MS,
  LEASE_MS,
  OTHER,
  Subject,
  bytes,
  partKeyOf,
  inline,
  keyOf,
  textDigest,
  unbounded,
} from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

export function testUploads(open: OpenMetadata): void {
  test("an upload that was begun is found as it was begun, in its repository alone", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    await store.uploads.create(APP, {
      id: "one",
      partKey: "uploads/one",
      algorithm: "sha512",
      expiresAt: clock.ms + 5,
    });
    expect(await store.uploads.find(APP, "one")).toEqual({
      id: "one",
      partKey: "uploads/one",
      partState: undefined,
      staged: undefined,
      algorithm: "sha512",
      received: 0,
      digestSoFar: undefined,
      version: 1,
      claimedBy: undefined,
      finalKey: undefined,
      startedAt: clock.ms,
      told: 0,
    });
    expect(await store.uploads.find(OTHER, "one")).toBeUndefined();
    expect(await store.uploads.find(APP, "two")).toBeUndefined();
  });

  test("an id is given once", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const again = { id, partKey: "uploads/another", algorithm: "sha256", expiresAt: 1 } as const;
    await expect(subject.store.uploads.create(OTHER, again)).rejects.toThrow();
    expect((await subject.store.uploads.find(APP, id))?.partKey).toBe(partKeyOf(id));
    expect(await subject.store.repositories.exists(OTHER)).toBe(false);
  });

  testClaims(open);
  testProgress(open);
  testEnds(open);
}

function testClaims(open: OpenMetadata): void {
  test("a claim counts the version up and names its holder", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const version = await subject.claim(id);
    expect(version).toBeGreaterThan(1);
    expect(await subject.store.uploads.find(APP, id)).toMatchObject({ version, claimedBy: HOLDER });
  });

  test("a claim is refused while another holder's lease lasts, and taken when it is over", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const id = await subject.begin();
    const version = await subject.claim(id);
    const until = clock.ms + LEASE_MS;
    const other = { ...subject.claimTerms(id), holder: "another", version };
    expect(await store.uploads.claim(other)).toBeUndefined();
    clock.ms = until - 1;
    expect(await store.uploads.claim(other)).toBeUndefined();
    clock.ms = until;
    expect(await store.uploads.claim(other)).toBeGreaterThan(version);
  });

  test("a claim takes an upload at once from a holder that is known to have ended, and from none else", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const id = await subject.begin();
    const version = await subject.claim(id);
    const other = { ...subject.claimTerms(id), holder: "another", version };
    expect(await store.uploads.claim({ ...other, gone: "somebody else" })).toBeUndefined();
    const taken = await store.uploads.claim({ ...other, gone: HOLDER });
    expect(taken).toBeGreaterThan(version);
    expect(await store.uploads.find(APP, id)).toMatchObject({ claimedBy: "another" });
  });

  test("a claim takes an upload of its own holder: no request of that process writes to it any more", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const version = await subject.claim(id);
    expect(await subject.claim(id, { version })).toBeGreaterThan(version);
  });

  test("a claim without a new lease leaves the one that there is", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const [first, second] = [await subject.begin(), await subject.begin()];
    await subject.claim(first);
    clock.ms += LEASE_MS - 1;
    const version = await subject.claim(second, { leaseUntil: undefined });
    clock.ms += 1;
    expect(await store.uploads.claim({ ...subject.claimTerms(second), holder: "another", version })).toBeGreaterThan(
      version,
    );
  });

  test("a claim on an older version is refused", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const held = await subject.claim(id);
    await subject.store.uploads.save(progress(id, held));
    expect(await subject.store.uploads.claim(subject.claimTerms(id))).toBeUndefined();
    expect(await subject.store.uploads.claim({ ...subject.claimTerms(id), version: held })).toBeUndefined();
    expect(await subject.store.uploads.claim({ ...subject.claimTerms("nobody's") })).toBeUndefined();
  });

  test("of many who claim at once, one gets it", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const claims = Array.from({ length: 12 }, () => subject.store.uploads.claim(subject.claimTerms(id)));
    expect((await Promise.all(claims)).filter((version) => version !== undefined)).toHaveLength(1);
  });

  test("renewing the lease of a holder prolongs all that it holds, and nothing of others", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const ids = [await subject.begin(), await subject.begin()];
    const versions = [await subject.claim(ids[0]!), await subject.claim(ids[1]!, { holder: "another" })];
    clock.ms += LEASE_MS - 1;
    await store.holders.renew(HOLDER, clock.ms + LEASE_MS);
    clock.ms += 1;
    const claims = ids.map((id, at) => ({ ...subject.claimTerms(id), holder: "third", version: versions[at]! }));
    expect(await store.uploads.claim(claims[0]!)).toBeUndefined();
    expect(await store.uploads.claim(claims[1]!)).toBeGreaterThan(versions[1]!);
  });

  test("releasing gives the upload up as it is, for its holder alone", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const id = await subject.begin();
    const version = await subject.claim(id, { finalKey: keyOf(id) });
    expect(await store.uploads.release(id, "another")).toBe(false);
    expect(await store.uploads.release("nobody's", HOLDER)).toBe(false);
    expect(await store.uploads.release(id, HOLDER)).toBe(true);
    expect(await store.uploads.find(APP, id)).toMatchObject({ version, claimedBy: undefined, finalKey: keyOf(id) });
    expect(await store.uploads.release(id, HOLDER)).toBe(false);
    expect(await subject.claim(id, { version, holder: "another" })).toBeGreaterThan(version);
  });

  test("a holder is told which uploads it has lost: taken over, recorded by another, cancelled or given up", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const held: { id: string; version: number }[] = [];
    for (let count = 0; count < 4; count++) {
      const id = await subject.begin();
      held.push({ id, version: await subject.claim(id) });
    }
    expect(await store.holders.lostUploads(HOLDER, held)).toEqual([]);
    const [kept, taken, cancelled, released] = held;
    await store.uploads.claim({ ...subject.claimTerms(taken!.id), ...taken, holder: "another", gone: HOLDER });
    await store.uploads.cancel(APP, cancelled!.id);
    await store.uploads.release(released!.id, HOLDER);
    const lost = await store.holders.lostUploads(HOLDER, held);
    expect(lost.toSorted()).toEqual([taken!.id, cancelled!.id, released!.id].toSorted());
    expect(lost).not.toContain(kept!.id);
  });

  test("a final key that is named in the place of another makes the file of that one trash", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const id = await subject.begin();
    const version = await subject.claim(id, { finalKey: "blobs/one" });
    expect(await store.uploads.nameFinalKey(id, version - 1, "blobs/two")).toBe(false);
    expect(await store.uploads.nameFinalKey(id, version, "blobs/two")).toBe(true);
    expect((await store.uploads.find(APP, id))?.finalKey).toBe("blobs/two");
    expect(await store.trash.due(10)).toEqual(["blobs/one"]);
  });

  test("a writer whose claim was taken over has lost the upload", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const id = await subject.begin();
    const stalled = await subject.claim(id);
    clock.ms += LEASE_MS;
    const taken = await subject.claim(id, { version: stalled, holder: "another" });
    const before = await store.uploads.find(APP, id);
    expect(await store.uploads.release(id, HOLDER)).toBe(false);
    expect(await store.uploads.nameFinalKey(id, stalled, "blobs/mine")).toBe(false);
    expect(await store.uploads.save(progress(id, stalled, { received: 99 }))).toBeUndefined();
    expect(await store.uploads.move(id, stalled, { key: "uploads/mine", state: undefined })).toBe(false);
    expect(await store.uploads.finish(finished(id, stalled))).toBe(false);
    expect(await store.uploads.find(APP, id)).toEqual(before);
    expect(await store.blobs.find(APP, textDigest("content"))).toBeUndefined();
    expect(unbounded(await store.uploads.save(progress(id, taken)))).toBeGreaterThan(taken);
  });

  test("the holder may go on in another part file, and the old one is thrown away", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const version = await subject.claim(id);
    expect(await subject.store.uploads.move(id, version, { key: "uploads/fresh", state: "{}" })).toBe(true);
    expect(await subject.store.uploads.find(APP, id)).toMatchObject({ partKey: "uploads/fresh", partState: "{}" });
    expect(await subject.store.trash.due(10)).toEqual([partKeyOf(id)]);
  });
}

function testProgress(open: OpenMetadata): void {
  test("what was saved counts, and the upload is free again", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const id = await subject.begin();
    const version = await subject.claim(id);
    const digestSoFar = textDigest("content so far");
    const saved = unbounded(await store.uploads.save(progress(id, version, { received: 14, digestSoFar })));
    expect(saved).toBeGreaterThan(version);
    expect(await store.uploads.find(APP, id)).toMatchObject({
      received: 14,
      digestSoFar,
      version: saved!,
      claimedBy: undefined,
      staged: undefined,
    });
    expect(await subject.claim(id, { version: saved! })).toBeGreaterThan(saved!);
  });

  test("a writer that hashed nothing says so", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const version = unbounded(await subject.store.uploads.save(progress(id, 1, { digestSoFar: textDigest("a") })))!;
    await subject.store.uploads.save(progress(id, version, { digestSoFar: undefined }));
    expect((await subject.store.uploads.find(APP, id))?.digestSoFar).toBeUndefined();
  });

  test("few bytes lie in the row, until there is a part file", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const id = await subject.begin();
    const first = unbounded(await store.uploads.save(progress(id, 1, { received: 3, staged: bytes("few") })))!;
    expect((await store.uploads.find(APP, id))?.staged).toEqual(bytes("few"));
    const second = unbounded(await store.uploads.save(progress(id, first, { received: 5, staged: bytes("few++") })))!;
    expect((await store.uploads.find(APP, id))?.staged).toEqual(bytes("few++"));
    await store.uploads.save(progress(id, second, { received: 50 }));
    expect((await store.uploads.find(APP, id))?.staged).toBeUndefined();
  });

  test("no bytes at all can lie in the row too", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    await subject.store.uploads.save(progress(id, 1, { received: 0, staged: new Uint8Array() }));
    expect(await subject.store.uploads.find(APP, id)).toMatchObject({ received: 0, staged: new Uint8Array() });
  });

  test("saving an upload that is gone gives undefined", async () => {
    await using subject = await Subject.open(open);
    expect(await subject.store.uploads.save(progress("nobody's", 1, { staged: bytes("few") }))).toBeUndefined();
  });

  test("once a client was told where an upload stands, a writer that began before adds no part of a stream", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const id = await subject.begin();
    const version = unbounded(await store.uploads.save(progress(id, 1, { received: 5 })))!;
    const { told } = (await store.uploads.find(APP, id))!;
    expect(await store.uploads.tell(OTHER, id)).toBeUndefined();
    expect(await store.uploads.tell(APP, "nobody's")).toBeUndefined();
    expect(await store.uploads.tell(APP, id)).toBe(5);
    expect(await store.uploads.save(progress(id, version, { received: 9, told }))).toBeUndefined();
    expect(await store.uploads.find(APP, id)).toMatchObject({ received: 5, version });
    const next = (await store.uploads.find(APP, id))!;
    expect(next.told).toBeGreaterThan(told);
    const saved = unbounded(await store.uploads.save(progress(id, version, { received: 7, told: next.told })))!;
    expect(await store.uploads.tell(APP, id)).toBe(7);
    expect(unbounded(await store.uploads.save(progress(id, saved, { received: 8 })))).toBeGreaterThan(saved); // it came whole
  });

  test("of two that save the same version, one does", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const saves = ["one", "two"].map((text) =>
      subject.store.uploads.save(progress(id, 1, { received: 3, staged: bytes(text) })),
    );
    const [one, two] = await Promise.all(saves);
    expect([one, two].filter((version) => version !== undefined)).toHaveLength(1);
    expect((await subject.store.uploads.find(APP, id))?.staged).toEqual(bytes(one === undefined ? "two" : "one"));
  });
}

function testEnds(open: OpenMetadata): void {
  test("finishing makes the upload a blob of its repository", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const id = await subject.begin();
    const version = await subject.claim(id);
    clock.ms += 5;
    expect(await store.uploads.finish(finished(id, version))).toBe(true);
    expect(await store.uploads.find(APP, id)).toBeUndefined();
    expect(await store.blobs.find(APP, textDigest("content"))).toEqual({
      digest: textDigest("content"),
      size: 7,
      location: { kind: "stored", storageKey: keyOf(id), fingerprint: "1234.5678" },
      createdAt: clock.ms,
      leasedAt: clock.ms,
      referenced: false,
    });
    expect(await subject.trash()).toEqual([]);
  });

  test("a few bytes stay in the row for good", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    expect(await subject.store.uploads.finish({ ...finished(id, 1), location: inline("content") })).toBe(true);
    expect((await subject.store.blobs.find(APP, textDigest("content")))?.location).toEqual(inline("content"));
  });

  test("an upload ends once", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const ends = Array.from({ length: 5 }, () => subject.store.uploads.finish(finished(id, 1)));
    expect((await Promise.all(ends)).filter(Boolean)).toHaveLength(1);
    expect(await subject.store.blobs.find(APP, textDigest("content"))).toBeDefined();
    expect(await subject.trash()).toEqual([]);
  });

  test("an upload that was cancelled cannot be finished", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const version = await subject.claim(id);
    expect(await subject.store.uploads.cancel(APP, id)).toBe(true);
    expect(await subject.store.uploads.finish(finished(id, version))).toBe(false);
    expect(await subject.store.blobs.find(APP, textDigest("content"))).toBeUndefined();
    expect(await subject.store.blobs.locate(textDigest("content"))).toBeUndefined();
  });

  test("cancelling throws both keys away: the part file's and the one it was to become", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    await subject.claim(id, { finalKey: keyOf(id) });
    expect(await subject.store.uploads.cancel(APP, id)).toBe(true);
    expect(await subject.store.uploads.find(APP, id)).toBeUndefined();
    expect(await subject.store.trash.due(10)).toEqual([keyOf(id), partKeyOf(id)].toSorted());
  });

  test("a claim without a final key leaves the one that is known", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    const version = await subject.claim(id, { finalKey: keyOf(id) });
    const saved = unbounded(await subject.store.uploads.save(progress(id, version)))!;
    await subject.claim(id, { version: saved });
    expect((await subject.store.uploads.find(APP, id))?.finalKey).toBe(keyOf(id));
    await subject.store.uploads.cancel(APP, id);
    expect(await subject.trash()).toContain(keyOf(id));
  });

  test("only an upload of this repository can be cancelled, and once", async () => {
    await using subject = await Subject.open(open);
    const id = await subject.begin();
    expect(await subject.store.uploads.cancel(OTHER, id)).toBe(false);
    expect(await subject.store.uploads.cancel(APP, "nobody's")).toBe(false);
    expect(await subject.store.uploads.cancel(APP, id, 2)).toBe(false); // it was changed, or never was of that version
    expect(await subject.store.uploads.find(APP, id)).toBeDefined();
    expect(await subject.store.uploads.cancel(APP, id, 1)).toBe(true);
    expect(await subject.store.uploads.cancel(APP, id)).toBe(false);
  });

  test("uploads end when their time is over, the oldest first, so many at once", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const ids = [];
    for (const minutes of [3, 1, 2]) ids.push(await subject.begin(APP, clock.ms + minutes));
    expect(await store.uploads.expire(10)).toBe(0);
    clock.ms += 2;
    expect(await store.uploads.expire(1)).toBe(1);
    expect(await store.uploads.find(APP, ids[1]!)).toBeUndefined();
    expect(await store.uploads.find(APP, ids[2]!)).toBeDefined();
    expect(await store.uploads.expire(10)).toBe(1);
    expect(await store.uploads.find(APP, ids[0]!)).toBeDefined();
    expect(await store.trash.due(10)).toEqual([partKeyOf(ids[1]!), partKeyOf(ids[2]!)].toSorted());
  });

  test("an upload whose holder's lease lasts does not expire", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const id = await subject.begin(APP, clock.ms + 10);
    await store.uploads.claim({ ...subject.claimTerms(id), expiresAt: clock.ms + 10, finalKey: keyOf(id) });
    clock.ms += LEASE_MS - 1;
    expect(await store.uploads.expire(10)).toBe(0);
    clock.ms += 1;
    expect(await store.uploads.expire(10)).toBe(1);
    expect(await subject.trash()).toEqual([keyOf(id), partKeyOf(id)].toSorted());
  });

  test("each sign of life moves the time at which it ends", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const id = await subject.begin(APP, clock.ms + 10);
    const version = await subject.claim(id); // for an hour
    await store.uploads.save({ ...progress(id, version), expiresAt: clock.ms + 2 * HOUR_MS });
    clock.ms += 2 * HOUR_MS - 1;
    expect(await store.uploads.expire(10)).toBe(0);
    clock.ms += 1;
    expect(await store.uploads.expire(10)).toBe(1);
  });

  test("trash is given in the order of its time, so many at once, until it is forgotten", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const [first, second] = [await subject.begin(), await subject.begin()];
    await store.uploads.cancel(APP, second);
    clock.ms += 1;
    await store.uploads.cancel(APP, first);
    expect(await store.trash.due(1)).toEqual([partKeyOf(second)]);
    expect(await store.trash.due(10)).toEqual([partKeyOf(second), partKeyOf(first)]);
    await store.trash.forget([partKeyOf(second), "a key that is not there"]);
    expect(await store.trash.due(10)).toEqual([partKeyOf(first)]);
    await store.trash.forget([partKeyOf(first)]);
    expect(await store.trash.due(10)).toEqual([]);
  });
}

function progress(id: string, version: number, more: Partial<UploadProgress> = {}): UploadProgress {
  return { id, version, received: 7, digestSoFar: undefined, staged: undefined, expiresAt: 2_000_000_000_000, ...more };
}

function finished(id: string, version: number) {
  const location = { kind: "stored", storageKey: keyOf(id), fingerprint: "1234.5678" } as const;
  return { id, version, digest: textDigest("content"), size: 7, location };
}
