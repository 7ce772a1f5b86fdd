/** Blobs in the metadata: who may show them, and where their bytes are. */
import { expect, test } from "bun:test";
import { repositoryName } from "../../oci/repository-name.ts";
import { APP, HOUR_MS, OTHER, Subject, bytes, inline, needs, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

/** Longer than any reader may take between looking up a key and opening what it names. */
const UNLINK_DELAY_MS = HOUR_MS;

export function testBlobs(open: OpenMetadata): void {
  testLinks(open);
  testDamage(open);
  testDuplicates(open);

  test("a promise is renewed for a blob that nothing needs", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const { digest } = await subject.push("leased");
    const begun = clock.ms;
    clock.ms += 1000;
    expect(await store.blobs.renewLease(APP, digest)).toBe(true);
    expect(await store.blobs.find(APP, digest)).toMatchObject({ createdAt: begun, leasedAt: clock.ms });
  });

  test("a blob that a manifest needs is not touched", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const layer = await subject.push("needed");
    expect(await store.blobs.find(APP, layer.digest)).toMatchObject({ referenced: false });
    await subject.image("manifest", { blobs: [needs(layer)] });
    const begun = clock.ms;
    clock.ms += 1000;
    expect(await store.blobs.renewLease(APP, layer.digest)).toBe(true);
    expect(await store.blobs.find(APP, layer.digest)).toMatchObject({ referenced: true, leasedAt: begun });
  });

  test("what one repository needs is promised anew in another", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const layer = await subject.push("needed");
    await subject.image("manifest", { blobs: [needs(layer)] });
    await store.blobs.mount(OTHER, APP, layer.digest);
    clock.ms += 1000;
    expect(await store.blobs.renewLease(OTHER, layer.digest)).toBe(true);
    expect(await store.blobs.find(OTHER, layer.digest)).toMatchObject({ referenced: false, leasedAt: clock.ms });
  });

  test("the promise of one repository is not that of another", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const { digest } = await subject.push("leased");
    await store.blobs.mount(OTHER, APP, digest);
    const begun = clock.ms;
    clock.ms += 1000;
    await store.blobs.renewLease(OTHER, digest);
    expect((await store.blobs.find(OTHER, digest))?.leasedAt).toBe(clock.ms);
    expect((await store.blobs.find(APP, digest))?.leasedAt).toBe(begun);
  });

  test("nothing is promised of a blob that is not shown", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("leased");
    expect(await subject.store.blobs.renewLease(OTHER, digest)).toBe(false);
    expect(await subject.store.blobs.renewLease(APP, textDigest("absent"))).toBe(false);
    await subject.store.blobs.unlink(APP, digest);
    expect(await subject.store.blobs.renewLease(APP, digest)).toBe(false);
  });

  test("bytes that were hashed again are good as of their new time", async () => {
    await using subject = await Subject.open(open);
    const { digest, key } = await subject.push("touched");
    await subject.store.blobs.markIntact(digest, "a key of yesterday", "99");
    expect((await subject.store.blobs.find(APP, digest))?.location).toMatchObject({ fingerprint: "12 5" });
    await subject.store.blobs.markIntact(digest, key, "1700000000123.25");
    expect((await subject.store.blobs.find(APP, digest))?.location).toMatchObject({ fingerprint: "1700000000123.25" });
  });
}

function testLinks(open: OpenMetadata): void {
  test("a blob is found only where it was pushed or mounted", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("shared");
    expect(await store.blobs.find(APP, digest)).toBeDefined();
    expect(await store.blobs.find(OTHER, digest)).toBeUndefined();
    expect(await store.blobs.locate(digest)).toEqual((await store.blobs.find(APP, digest))!.location);
    expect(await store.blobs.mount(OTHER, APP, digest)).toBe(true);
    expect(await store.blobs.find(OTHER, digest)).toEqual(await store.blobs.find(APP, digest));
  });

  test("an empty blob keeps its no bytes", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("", { location: inline("") });
    expect(await subject.store.blobs.find(APP, digest)).toMatchObject({ size: 0, location: inline("") });
  });

  test("what `from` does not show cannot be mounted, and begins no repository", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("mine");
    expect(await store.blobs.mount(OTHER, OTHER, digest)).toBe(false);
    expect(await store.blobs.mount(OTHER, repositoryName("nobody/here"), digest)).toBe(false);
    expect(await store.blobs.mount(OTHER, APP, textDigest("absent"))).toBe(false);
    expect(await store.blobs.find(OTHER, digest)).toBeUndefined();
    expect(await store.repositories.exists(OTHER)).toBe(false);
  });

  test("a mount into the same repository renews its promise", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("mine");
    subject.clock.ms += 10;
    expect(await subject.store.blobs.mount(APP, APP, digest)).toBe(true);
    expect((await subject.store.blobs.find(APP, digest))?.leasedAt).toBe(subject.clock.ms);
  });

  test("unlinking leaves other repositories and the bytes alone", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("shared");
    await store.blobs.mount(OTHER, APP, digest);
    expect(await store.blobs.unlink(APP, digest)).toBe("done");
    expect(await store.blobs.unlink(APP, digest)).toBe("absent");
    expect(await store.blobs.unlink(repositoryName("nobody/here"), digest)).toBe("absent");
    expect(await store.blobs.find(APP, digest)).toBeUndefined();
    expect(await store.blobs.find(OTHER, digest)).toBeDefined();
    expect(await store.blobs.mount(APP, OTHER, digest)).toBe(true);
    expect(await subject.trash()).toEqual([]);
  });

  test("repositories that show a blob are named, the oldest first", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("shared", { to: repositoryName("b") });
    for (const name of ["a/c", "a-c", "a"])
      await subject.store.blobs.mount(repositoryName(name), repositoryName("b"), digest);
    await subject.push("something else", { to: repositoryName("aa") });
    expect<string[]>([...(await subject.store.blobs.repositoriesWith(digest, 10))]).toEqual(["b", "a/c", "a-c", "a"]);
    expect<string[]>([...(await subject.store.blobs.repositoriesWith(digest, 2))]).toEqual(["b", "a/c"]);
    expect(await subject.store.blobs.repositoriesWith(textDigest("absent"), 10)).toEqual([]);
  });
}

function testDamage(open: OpenMetadata): void {
  test("a corrupt blob is shown to no client", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("flipped");
    await store.blobs.mount(OTHER, APP, layer.digest);
    await store.blobs.markCorrupt(layer.digest, layer.key);
    expect(await store.blobs.find(APP, layer.digest)).toBeUndefined();
    expect(await store.blobs.find(OTHER, layer.digest)).toBeUndefined();
    expect(await store.blobs.locate(layer.digest)).toBeUndefined();
    expect(await store.blobs.renewLease(APP, layer.digest)).toBe(false);
    expect(await store.blobs.mount(repositoryName("third"), APP, layer.digest)).toBe(false);
    expect(await subject.put("manifest", { blobs: [needs(layer)] })).toEqual({
      kind: "missing",
      digests: [layer.digest],
    });
  });

  test("only the bytes under the key that was looked at are damaged", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("well");
    await subject.store.blobs.markCorrupt(digest, "a key of yesterday");
    expect(await subject.store.blobs.find(APP, digest)).toBeDefined();
  });

  test("bytes in the row can be damaged too", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("flipped", { location: inline("flipped") });
    await store.blobs.markCorrupt(digest, "a key that it does not have");
    expect(await store.blobs.find(APP, digest)).toBeDefined();
    await store.blobs.markCorrupt(digest, new Uint8Array(7)); // they were replaced since they were read
    expect(await store.blobs.find(APP, digest)).toBeDefined();
    await store.blobs.markCorrupt(digest, bytes("flipped"));
    expect(await store.blobs.find(APP, digest)).toBeUndefined();
    await subject.push("flipped", { location: inline("flipped") });
    expect((await store.blobs.find(APP, digest))?.location).toEqual(inline("flipped"));
    expect(await subject.trash()).toEqual([]);
  });

  test("damaged bytes that turn out to be good are shown again", async () => {
    await using subject = await Subject.open(open);
    const { digest, key } = await subject.push("restored");
    await subject.store.blobs.markCorrupt(digest, key);
    await subject.store.blobs.markIntact(digest, "a key of yesterday", "99");
    expect(await subject.store.blobs.find(APP, digest)).toBeUndefined();
    await subject.store.blobs.markIntact(digest, key, "99");
    expect((await subject.store.blobs.find(APP, digest))?.location).toMatchObject({
      storageKey: key,
      fingerprint: "99",
    });
  });

  test("pushing a damaged blob again puts it right everywhere and throws the bad bytes away", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const bad = await subject.push("flipped");
    await subject.image("manifest", { blobs: [needs(bad)] });
    await store.blobs.markCorrupt(bad.digest, bad.key);
    const good = await subject.push("flipped", { to: OTHER });
    for (const name of [APP, OTHER]) {
      expect((await store.blobs.find(name, bad.digest))?.location).toMatchObject({
        kind: "stored",
        storageKey: good.key,
      });
    }
    expect(await subject.trash()).toEqual([bad.key]);
    subject.clock.ms += UNLINK_DELAY_MS;
    expect(await store.trash.due(10)).toEqual([bad.key]);
  });

  test("bytes that a reader may be about to open are kept for a moment", async () => {
    await using subject = await Subject.open(open);
    const bad = await subject.push("flipped");
    await subject.store.blobs.markCorrupt(bad.digest, bad.key);
    await subject.push("flipped");
    expect(await subject.store.trash.due(10)).toEqual([]);
  });

  test("a damaged file may be followed by bytes in the row, and those by none", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const bad = await subject.push("flipped");
    await store.blobs.markCorrupt(bad.digest, bad.key);
    await subject.push("flipped", { location: inline("flipped") });
    expect((await store.blobs.find(APP, bad.digest))?.location).toEqual(inline("flipped"));
    await subject.change("update blob set state = 'damaged' where digest = $1", bad.digest);
    const good = await subject.push("flipped");
    expect((await store.blobs.find(APP, bad.digest))?.location).toMatchObject({ kind: "stored", storageKey: good.key });
    expect(await subject.query("select * from blob where payload is not null")).toEqual([]);
  });
}

function testDuplicates(open: OpenMetadata): void {
  test("a second push of the same bytes replaces the file of the first everywhere", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const old = await subject.push("twice");
    const begun = clock.ms;
    clock.ms += 1000;
    const fresh = await subject.push("twice", { to: OTHER });
    for (const name of [APP, OTHER]) {
      expect(await store.blobs.find(name, old.digest)).toMatchObject({
        createdAt: begun,
        location: { storageKey: fresh.key },
      });
    }
    expect(await subject.trash()).toEqual([old.key]);
    expect(await store.trash.due(10)).toEqual([]); // a reader may be about to open it
    clock.ms += UNLINK_DELAY_MS;
    expect(await store.trash.due(10)).toEqual([old.key]);
  });

  test("bytes in the row are replaced by a file", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("twice", { location: inline("twice") });
    const { key } = await subject.push("twice");
    expect((await subject.store.blobs.find(APP, digest))?.location).toMatchObject({ storageKey: key });
    expect(await subject.query("select * from blob where payload is not null")).toEqual([]);
    expect(await subject.trash()).toEqual([]);
  });

  test("a file is replaced by bytes in the row", async () => {
    await using subject = await Subject.open(open);
    const { digest, key } = await subject.push("twice");
    await subject.push("twice", { location: inline("twice") });
    expect((await subject.store.blobs.find(APP, digest))?.location).toEqual(inline("twice"));
    expect(await subject.trash()).toEqual([key]);
  });

  test("a bit that flipped in the row is put right by the next push", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("twice", { location: inline("twice") });
    await subject.change("update blob set payload = $2 where digest = $1", digest, new Uint8Array(1));
    await subject.push("twice", { location: inline("twice") });
    expect((await subject.store.blobs.find(APP, digest))?.location).toEqual(inline("twice"));
  });

  test("concurrent pushes of the same bytes leave one file", async () => {
    await using subject = await Subject.open(open);
    const pushed = await Promise.all(Array.from({ length: 8 }, () => subject.push("eightfold")));
    const blob = await subject.store.blobs.find(APP, textDigest("eightfold"));
    const kept = blob?.location.kind === "stored" ? blob.location.storageKey : "none";
    const keys = pushed.map(({ key }) => key);
    expect(keys).toContain(kept);
    expect(await subject.trash()).toEqual(keys.filter((key) => key !== kept).toSorted());
  });

  test("a later push counts as a new promise", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("twice");
    subject.clock.ms += 1000;
    await subject.push("twice");
    expect((await subject.store.blobs.find(APP, digest))?.leasedAt).toBe(subject.clock.ms);
  });
}
