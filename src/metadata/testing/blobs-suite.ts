/** Blobs in a MetadataStore: who may show them, and where their bytes are. */
import { expect, test } from "bun:test";
import { repositoryName } from "../../oci/repository-name.ts";
import { APP, HOUR_MS, OTHER, Subject, bytes, inline, needs, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

/** Longer than any reader may take between looking up a key and opening what it names. */
const READERS_MS = HOUR_MS;

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
    expect(await store.touchBlob(APP, digest)).toBe(true);
    expect(await store.findBlob(APP, digest)).toMatchObject({ createdAt: begun, touchedAt: clock.ms });
  });

  test("a blob that a manifest needs is not touched", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const layer = await subject.push("needed");
    expect(await store.findBlob(APP, layer.digest)).toMatchObject({ needed: false });
    await subject.image("manifest", { blobs: [needs(layer)] });
    const begun = clock.ms;
    clock.ms += 1000;
    expect(await store.touchBlob(APP, layer.digest)).toBe(true);
    expect(await store.findBlob(APP, layer.digest)).toMatchObject({ needed: true, touchedAt: begun });
  });

  test("what one repository needs is promised anew in another", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const layer = await subject.push("needed");
    await subject.image("manifest", { blobs: [needs(layer)] });
    await store.mountBlob(OTHER, APP, layer.digest);
    clock.ms += 1000;
    expect(await store.touchBlob(OTHER, layer.digest)).toBe(true);
    expect(await store.findBlob(OTHER, layer.digest)).toMatchObject({ needed: false, touchedAt: clock.ms });
  });

  test("the promise of one repository is not that of another", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const { digest } = await subject.push("leased");
    await store.mountBlob(OTHER, APP, digest);
    const begun = clock.ms;
    clock.ms += 1000;
    await store.touchBlob(OTHER, digest);
    expect((await store.findBlob(OTHER, digest))?.touchedAt).toBe(clock.ms);
    expect((await store.findBlob(APP, digest))?.touchedAt).toBe(begun);
  });

  test("nothing is promised of a blob that is not shown", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("leased");
    expect(await subject.store.touchBlob(OTHER, digest)).toBe(false);
    expect(await subject.store.touchBlob(APP, textDigest("absent"))).toBe(false);
    await subject.store.unlinkBlob(APP, digest);
    expect(await subject.store.touchBlob(APP, digest)).toBe(false);
  });

  test("bytes that were hashed again are good as of their new time", async () => {
    await using subject = await Subject.open(open);
    const { digest, key } = await subject.push("touched");
    await subject.store.confirmBlob(digest, "a key of yesterday", 99);
    expect((await subject.store.findBlob(APP, digest))?.at).toMatchObject({ mtimeMs: 12.5 });
    await subject.store.confirmBlob(digest, key, 1_700_000_000_123.25);
    expect((await subject.store.findBlob(APP, digest))?.at).toMatchObject({ mtimeMs: 1_700_000_000_123.25 });
  });
}

function testLinks(open: OpenMetadata): void {
  test("a blob is found only where it was pushed or mounted", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("shared");
    expect(await store.findBlob(APP, digest)).toBeDefined();
    expect(await store.findBlob(OTHER, digest)).toBeUndefined();
    expect(await store.findBytes(digest)).toEqual((await store.findBlob(APP, digest))!.at);
    expect(await store.mountBlob(OTHER, APP, digest)).toBe(true);
    expect(await store.findBlob(OTHER, digest)).toEqual(await store.findBlob(APP, digest));
  });

  test("an empty blob keeps its no bytes", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("", { at: inline("") });
    expect(await subject.store.findBlob(APP, digest)).toMatchObject({ size: 0, at: inline("") });
  });

  test("what `from` does not show cannot be mounted, and begins no repository", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("mine");
    expect(await store.mountBlob(OTHER, OTHER, digest)).toBe(false);
    expect(await store.mountBlob(OTHER, repositoryName("nobody/here"), digest)).toBe(false);
    expect(await store.mountBlob(OTHER, APP, textDigest("absent"))).toBe(false);
    expect(await store.findBlob(OTHER, digest)).toBeUndefined();
    expect(await store.repositoryExists(OTHER)).toBe(false);
  });

  test("a mount into the same repository renews its promise", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("mine");
    subject.clock.ms += 10;
    expect(await subject.store.mountBlob(APP, APP, digest)).toBe(true);
    expect((await subject.store.findBlob(APP, digest))?.touchedAt).toBe(subject.clock.ms);
  });

  test("unlinking leaves other repositories and the bytes alone", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("shared");
    await store.mountBlob(OTHER, APP, digest);
    expect(await store.unlinkBlob(APP, digest)).toBe("done");
    expect(await store.unlinkBlob(APP, digest)).toBe("absent");
    expect(await store.unlinkBlob(repositoryName("nobody/here"), digest)).toBe("absent");
    expect(await store.findBlob(APP, digest)).toBeUndefined();
    expect(await store.findBlob(OTHER, digest)).toBeDefined();
    expect(await store.mountBlob(APP, OTHER, digest)).toBe(true);
    expect(await subject.trash()).toEqual([]);
  });

  test("repositories that show a blob are named, the oldest first", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("shared", { to: repositoryName("b") });
    for (const name of ["a/c", "a-c", "a"])
      await subject.store.mountBlob(repositoryName(name), repositoryName("b"), digest);
    await subject.push("something else", { to: repositoryName("aa") });
    expect<string[]>([...(await subject.store.repositoriesWithBlob(digest, 10))]).toEqual(["b", "a/c", "a-c", "a"]);
    expect<string[]>([...(await subject.store.repositoriesWithBlob(digest, 2))]).toEqual(["b", "a/c"]);
    expect(await subject.store.repositoriesWithBlob(textDigest("absent"), 10)).toEqual([]);
  });
}

function testDamage(open: OpenMetadata): void {
  test("a damaged blob is shown to nobody", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("flipped");
    await store.mountBlob(OTHER, APP, layer.digest);
    await store.markDamaged(layer.digest, layer.key);
    expect(await store.findBlob(APP, layer.digest)).toBeUndefined();
    expect(await store.findBlob(OTHER, layer.digest)).toBeUndefined();
    expect(await store.findBytes(layer.digest)).toBeUndefined();
    expect(await store.touchBlob(APP, layer.digest)).toBe(false);
    expect(await store.mountBlob(repositoryName("third"), APP, layer.digest)).toBe(false);
    expect(await subject.put("manifest", { blobs: [needs(layer)] })).toEqual({
      kind: "missing",
      digests: [layer.digest],
    });
  });

  test("only the bytes under the key that was looked at are damaged", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("well");
    await subject.store.markDamaged(digest, "a key of yesterday");
    expect(await subject.store.findBlob(APP, digest)).toBeDefined();
  });

  test("bytes in the row can be damaged too", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest } = await subject.push("flipped", { at: inline("flipped") });
    await store.markDamaged(digest, "a key that it does not have");
    expect(await store.findBlob(APP, digest)).toBeDefined();
    await store.markDamaged(digest, new Uint8Array(7)); // they were replaced since somebody looked at them
    expect(await store.findBlob(APP, digest)).toBeDefined();
    await store.markDamaged(digest, bytes("flipped"));
    expect(await store.findBlob(APP, digest)).toBeUndefined();
    await subject.push("flipped", { at: inline("flipped") });
    expect((await store.findBlob(APP, digest))?.at).toEqual(inline("flipped"));
    expect(await subject.trash()).toEqual([]);
  });

  test("damaged bytes that turn out to be good are shown again", async () => {
    await using subject = await Subject.open(open);
    const { digest, key } = await subject.push("restored");
    await subject.store.markDamaged(digest, key);
    await subject.store.confirmBlob(digest, "a key of yesterday", 99);
    expect(await subject.store.findBlob(APP, digest)).toBeUndefined();
    await subject.store.confirmBlob(digest, key, 99);
    expect((await subject.store.findBlob(APP, digest))?.at).toMatchObject({ storageKey: key, mtimeMs: 99 });
  });

  test("pushing a damaged blob again puts it right everywhere and throws the bad bytes away", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const bad = await subject.push("flipped");
    await subject.image("manifest", { blobs: [needs(bad)] });
    await store.markDamaged(bad.digest, bad.key);
    const good = await subject.push("flipped", { to: OTHER });
    for (const name of [APP, OTHER]) {
      expect((await store.findBlob(name, bad.digest))?.at).toMatchObject({ kind: "stored", storageKey: good.key });
    }
    expect(await subject.trash()).toEqual([bad.key]);
    subject.clock.ms += READERS_MS;
    expect(await store.dueTrash(10)).toEqual([bad.key]);
  });

  test("bytes that somebody may be about to open are kept for a moment", async () => {
    await using subject = await Subject.open(open);
    const bad = await subject.push("flipped");
    await subject.store.markDamaged(bad.digest, bad.key);
    await subject.push("flipped");
    expect(await subject.store.dueTrash(10)).toEqual([]);
  });

  test("a damaged file may be followed by bytes in the row, and those by none", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const bad = await subject.push("flipped");
    await store.markDamaged(bad.digest, bad.key);
    await subject.push("flipped", { at: inline("flipped") });
    expect((await store.findBlob(APP, bad.digest))?.at).toEqual(inline("flipped"));
    await subject.change("update blob set state = 'damaged' where digest = $1", bad.digest);
    const good = await subject.push("flipped");
    expect((await store.findBlob(APP, bad.digest))?.at).toMatchObject({ kind: "stored", storageKey: good.key });
    expect(await subject.query("select * from blob_inline")).toEqual([]);
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
      expect(await store.findBlob(name, old.digest)).toMatchObject({
        createdAt: begun,
        at: { storageKey: fresh.key },
      });
    }
    expect(await subject.trash()).toEqual([old.key]);
    expect(await store.dueTrash(10)).toEqual([]); // a reader may be about to open it
    clock.ms += READERS_MS;
    expect(await store.dueTrash(10)).toEqual([old.key]);
  });

  test("bytes in the row are replaced by a file", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("twice", { at: inline("twice") });
    const { key } = await subject.push("twice");
    expect((await subject.store.findBlob(APP, digest))?.at).toMatchObject({ storageKey: key });
    expect(await subject.query("select * from blob_inline")).toEqual([]);
    expect(await subject.trash()).toEqual([]);
  });

  test("a file is replaced by bytes in the row", async () => {
    await using subject = await Subject.open(open);
    const { digest, key } = await subject.push("twice");
    await subject.push("twice", { at: inline("twice") });
    expect((await subject.store.findBlob(APP, digest))?.at).toEqual(inline("twice"));
    expect(await subject.trash()).toEqual([key]);
  });

  test("a bit that flipped in the row is put right by the next push", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("twice", { at: inline("twice") });
    await subject.change("update blob_inline set payload = x'00' where digest = $1", digest);
    await subject.push("twice", { at: inline("twice") });
    expect((await subject.store.findBlob(APP, digest))?.at).toEqual(inline("twice"));
  });

  test("concurrent pushes of the same bytes leave one file", async () => {
    await using subject = await Subject.open(open);
    const pushed = await Promise.all(Array.from({ length: 8 }, () => subject.push("eightfold")));
    const blob = await subject.store.findBlob(APP, textDigest("eightfold"));
    const kept = blob?.at.kind === "stored" ? blob.at.storageKey : "none";
    const keys = pushed.map(({ key }) => key);
    expect(keys).toContain(kept);
    expect(await subject.trash()).toEqual(keys.filter((key) => key !== kept).toSorted());
  });

  test("a later push counts as a new promise", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("twice");
    subject.clock.ms += 1000;
    await subject.push("twice");
    expect((await subject.store.findBlob(APP, digest))?.touchedAt).toBe(subject.clock.ms);
  });
}
