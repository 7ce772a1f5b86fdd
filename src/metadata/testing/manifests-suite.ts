/** Manifests in the metadata: stored whole with all that hangs on them, or not at all. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf, digest as digestIn } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { tag } from "../../oci/tag.ts";
import {
  APP,
  IMAGE_TYPE,
  OTHER,
  STORED,
  Subject,
  bytes,
  inByteOrder,
  needs,
  newManifest,
  textDigest,
} from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const LATEST = tag("latest");

export function testManifests(open: OpenMetadata): void {
  test("a manifest is kept byte by byte, by digest and by tag, in its repository alone", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const payload = '{ "odd":  "spaces",\n"é": 1}';
    const digest = await subject.image(payload, { tags: [LATEST, tag("v1")] });
    const facts = { digest, mediaType: IMAGE_TYPE, size: bytes(payload).length };
    expect(await store.manifests.find(APP, digest)).toEqual(facts);
    expect(await store.manifests.read(APP, digest)).toEqual({ ...facts, payload: bytes(payload) });
    for (const name of [LATEST, tag("v1")]) {
      expect(await store.manifests.findByTag(APP, name)).toEqual(facts);
      expect(await store.manifests.readByTag(APP, name)).toEqual({ ...facts, payload: bytes(payload) });
    }
    expect(await store.manifests.find(OTHER, digest)).toBeUndefined();
    expect(await store.manifests.readByTag(OTHER, LATEST)).toBeUndefined();
    expect(await store.manifests.findByTag(APP, tag("v2"))).toBeUndefined();
    expect(await store.manifests.read(APP, textDigest("absent"))).toBeUndefined();
  });

  test("the same manifest may be put again, under another tag", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("layer");
    const more = { blobs: [needs(layer), needs(layer)] };
    const digest = await subject.image("twice", { ...more, tags: [LATEST] });
    expect(await subject.put("twice", { ...more, tags: [tag("v1")] })).toEqual(STORED);
    expect((await subject.store.manifests.findByTag(APP, LATEST))?.digest).toBe(digest);
    expect((await subject.store.manifests.findByTag(APP, tag("v1")))?.digest).toBe(digest);
    expect(await subject.store.manifests.list(APP, { limit: 10 })).toHaveLength(1);
  });

  test("a size that the manifest does not say is not compared", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("layer");
    const blobs = [{ ...needs({ digest, size: 0 }), size: undefined }];
    expect(await subject.put("without sizes", { blobs })).toEqual(STORED);
  });

  test("the same bytes under two algorithms are two manifests", async () => {
    await using subject = await Subject.open(open);
    const payload = bytes("manifest");
    const digests = [digestOf(payload), digestOf(payload, "sha512")];
    for (const digest of digests) expect(await subject.put("manifest", { digest })).toEqual(STORED);
    await subject.store.manifests.delete(APP, digests[0]!);
    expect(await subject.store.manifests.read(APP, digests[1]!)).toMatchObject({ digest: digests[1]!, payload });
  });

  testNeeds(open);
  testLateContent(open);
  testConditions(open);
  testDeletion(open);

  test("pages of manifests, of any size, give each once in order of the digests", async () => {
    await using subject = await Subject.open(open);
    const digests: Digest[] = [];
    for (let at = 0; at < 17; at++) digests.push(await subject.image(`manifest ${at}`));
    await subject.image("of another repository", { to: OTHER });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), async (limit) => {
        const walked: Digest[] = [];
        for (;;) {
          const after = walked.at(-1);
          const page = await subject.store.manifests.list(APP, after === undefined ? { limit } : { after, limit });
          walked.push(...page.map(({ digest }) => digest));
          if (page.length < limit) break;
        }
        expect(walked).toEqual(inByteOrder(digests));
      }),
      { numRuns: 20 },
    );
  });
}

function testNeeds(open: OpenMetadata): void {
  test("all that is needed and not here is named, once, and nothing is stored", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const here = await subject.push("here");
    const elsewhere = await subject.push("in another repository", { to: OTHER });
    const [layer, child] = [textDigest("no layer"), textDigest("no child")];
    const result = await subject.put("manifest", {
      blobs: [needs(here), needs(elsewhere), needs({ digest: layer, size: 1 }), needs({ digest: layer, size: 1 })],
      children: [needs({ digest: child, size: 1 })],
      tags: [LATEST],
    });
    expect(result.kind === "missing" && result.digests.toSorted()).toEqual([elsewhere.digest, layer, child].toSorted());
    expect(await store.manifests.find(APP, textDigest("manifest"))).toBeUndefined();
    expect(await store.manifests.findByTag(APP, LATEST)).toBeUndefined();
  });

  test("a manifest that is refused begins no repository", async () => {
    await using subject = await Subject.open(open);
    await subject.put("manifest", { blobs: [needs({ digest: textDigest("absent"), size: 1 })] });
    expect(await subject.store.repositories.exists(APP)).toBe(false);
    expect(await subject.query("select * from repo")).toEqual([]);
  });

  test("content of another size than the manifest says is told of, and needed like any other", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("six by");
    const child = await subject.image("a child");
    const blobs = [needs({ digest: layer.digest, size: 7 })];
    const children = [needs({ digest: child, size: 1 })];
    expect<object>(await subject.put("manifest", { blobs, children })).toEqual({
      ...STORED,
      wrongSizes: [
        { path: `of ${layer.digest}`, said: 7, actual: 6 },
        { path: `of ${child}`, said: 1, actual: 7 },
      ],
    });
    await expect(subject.change("delete from blob where digest = $1", layer.digest)).rejects.toThrow(/foreign key/i);
    expect((await subject.store.blobs.find(APP, layer.digest))?.size).toBe(6);
  });

  test("content of another size than the manifest says is refused where sizes have to be exact", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("six by");
    const blobs = [needs({ digest: layer.digest, size: 7 })];
    const size = { kind: "size", path: `of ${layer.digest}`, said: 7, actual: 6 };
    expect<object>(await subject.put("manifest", { blobs, exactSizes: true })).toEqual(size);
    const child = await subject.image("a child");
    const children = [needs({ digest: child, size: 1 })];
    expect<object>(await subject.put("index", { children, exactSizes: true })).toMatchObject({ said: 1, actual: 7 });
    expect(await subject.store.manifests.list(APP, { limit: 10 })).toHaveLength(1);
  });

  test("missing content is named before content of a wrong size", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("six by");
    const blobs = [needs({ digest: layer.digest, size: 7 }), needs({ digest: textDigest("absent"), size: 1 })];
    expect(await subject.put("manifest", { blobs })).toEqual({ kind: "missing", digests: [textDigest("absent")] });
  });

  test("a child may be a manifest or, as in BuildKit's caches, a blob", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("a layer");
    const child = await subject.image("a child");
    const children = [needs(layer), needs({ digest: child, size: 7 })];
    expect(await subject.put("index", { children })).toEqual(STORED);
    await expect(subject.change("delete from blob where digest = $1", layer.digest)).rejects.toThrow(/foreign key/i);
  });

  test("a blob that a manifest needs cannot be forgotten, by whatever statement", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("a layer");
    const loose = await subject.push("loose");
    const digest = await subject.image("manifest", { blobs: [needs(layer)] });
    await subject.store.blobs.unlink(APP, layer.digest);
    await expect(subject.change("delete from blob where digest = $1", layer.digest)).rejects.toThrow(/foreign key/i);
    await subject.change("delete from blob where digest = $1", loose.digest);
    await subject.store.manifests.delete(APP, digest);
    await subject.change("delete from blob where digest = $1", layer.digest);
    expect(await subject.query("select * from blob")).toEqual([]);
  });

  test("a manifest that a tag points at cannot be forgotten behind the tag's back", async () => {
    await using subject = await Subject.open(open);
    const digest = await subject.image("manifest", { tags: [LATEST] });
    await expect(subject.change("delete from manifest where digest = $1", digest)).rejects.toThrow(/foreign key/i);
  });
}

function testLateContent(open: OpenMetadata): void {
  test("what may be missing may be missing", async () => {
    await using subject = await Subject.open(open);
    const unknown = "blake3:0000000000000000000000000000000000000000000000000000000000000000";
    const result = await subject.put("sparse", {
      blobs: [needs({ digest: textDigest("late"), size: 4 }, true), needs({ digest: unknown, size: 1 }, true)],
      children: [needs({ digest: textDigest("late child"), size: 10 }, true)],
    });
    expect<object>(result).toEqual({ ...STORED, missing: [textDigest("late"), unknown, textDigest("late child")] });
    expect(await subject.query("select * from manifest_missing")).toHaveLength(3);
  });

  for (const [how, arrive] of [
    ["pushed", (subject: Subject) => subject.push("late")],
    [
      "mounted",
      async (subject: Subject) => {
        const { digest } = await subject.push("late", { to: OTHER });
        await subject.store.blobs.mount(APP, OTHER, digest);
      },
    ],
  ] as const) {
    test(`a blob that comes late is needed from then on, when it is ${how}`, async () => {
      await using subject = await Subject.open(open);
      const late = { digest: textDigest("late"), size: 4 };
      await subject.image("sparse", { blobs: [needs(late, true)] });
      await arrive(subject);
      await expect(subject.change("delete from blob where digest = $1", late.digest)).rejects.toThrow(/foreign key/i);
      expect(await subject.query("select * from manifest_missing")).toEqual([]);
    });
  }

  test("a blob that comes late to another repository is not what was missing", async () => {
    await using subject = await Subject.open(open);
    const late = { digest: textDigest("late"), size: 4 };
    await subject.image("sparse", { blobs: [needs(late, true)] });
    await subject.push("late", { to: OTHER });
    expect(await subject.query("select * from manifest_missing")).toHaveLength(1);
    await subject.change("delete from blob where digest = $1", late.digest);
  });

  test("a child that comes late is missing no more", async () => {
    await using subject = await Subject.open(open);
    const child = { digest: textDigest("a child"), size: 7 };
    await subject.image("sparse index", { children: [needs(child, true)] });
    await subject.image("a child");
    expect(await subject.query("select * from manifest_missing")).toEqual([]);
  });

  test("what was missing and is here when the manifest is put again is needed", async () => {
    await using subject = await Subject.open(open);
    const [first, second] = [textDigest("first"), textDigest("second")];
    const blobs = [needs({ digest: first, size: 5 }, true), needs({ digest: second, size: 6 }, true)];
    await subject.image("sparse", { blobs });
    await subject.push("first");
    await subject.image("sparse", { blobs });
    expect(await subject.query("select digest from manifest_missing")).toEqual([{ digest: second }]);
    const needed = "select b.digest from manifest_blob e join blob b on b.id = e.blob";
    expect(await subject.query(needed)).toEqual([{ digest: first }]);
  });
}

function testConditions(open: OpenMetadata): void {
  test("a tag is pointed at a new manifest only when it is as the condition says", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const [old, stranger] = [textDigest("old"), textDigest("stranger")];
    const attempt = async (payload: string, condition: Parameters<typeof subject.put>[1]) =>
      (await subject.put(payload, { tags: [LATEST], ...condition })).kind;

    expect(await attempt("old", { condition: { kind: "exists" } })).toBe("condition");
    expect(await attempt("old", { condition: { kind: "is", digests: [old] } })).toBe("condition");
    expect(await store.repositories.exists(APP)).toBe(false);
    expect(await attempt("old", { condition: { kind: "absent" } })).toBe("stored");

    expect(await attempt("new", { condition: { kind: "absent" } })).toBe("condition");
    expect(await attempt("new", { condition: { kind: "is", digests: [stranger] } })).toBe("condition");
    expect(await attempt("new", { condition: { kind: "is not", digests: [stranger, old] } })).toBe("condition");
    expect(await store.manifests.find(APP, textDigest("new"))).toBeUndefined();
    expect((await store.manifests.findByTag(APP, LATEST))?.digest).toBe(old);

    expect(await attempt("new", { condition: { kind: "is", digests: [stranger, old] } })).toBe("stored");
    expect(await attempt("newer", { condition: { kind: "is not", digests: [old] } })).toBe("stored");
    expect(await attempt("newest", { condition: { kind: "exists" } })).toBe("stored");
    expect((await store.manifests.findByTag(APP, LATEST))?.digest).toBe(textDigest("newest"));
  });

  test("of many that put a tag which must not be there, one does", async () => {
    await using subject = await Subject.open(open);
    const puts = Array.from({ length: 8 }, (_, at) =>
      subject.put(`contender ${at}`, { tags: [LATEST], condition: { kind: "absent" } }),
    );
    const results = await Promise.all(puts);
    const winners = results.flatMap(({ kind }, at) => (kind === "stored" ? [textDigest(`contender ${at}`)] : []));
    expect(winners).toHaveLength(1);
    expect(winners).toEqual([(await subject.store.manifests.findByTag(APP, LATEST))!.digest]);
    expect(await subject.store.manifests.list(APP, { limit: 10 })).toHaveLength(1);
  });
}

function testDeletion(open: OpenMetadata): void {
  test("a manifest goes with its tags, and what it needed and what needs it stays", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("layer");
    const digest = await subject.image("manifest", { blobs: [needs(layer)], tags: [LATEST, tag("v1")] });
    const other = await subject.image("other", { blobs: [needs(layer)], tags: [tag("v2")] });
    const index = await subject.image("index", { children: [needs({ digest, size: 8 })] });
    expect(await store.manifests.delete(APP, digest)).toBe("done");
    expect(await store.manifests.find(APP, digest)).toBeUndefined();
    expect(await store.manifests.findByTag(APP, LATEST)).toBeUndefined();
    expect((await store.tags.list(APP, { limit: 10 })).map(({ name }) => name)).toEqual([tag("v2")]);
    expect((await store.manifests.find(APP, other))?.digest).toBe(other);
    expect((await store.manifests.find(APP, index))?.digest).toBe(index);
    expect(await store.blobs.find(APP, layer.digest)).toBeDefined();
    expect(await store.manifests.delete(APP, digest)).toBe("absent");
  });

  test("a tag that stays keeps its manifest, and no other manifest takes the tag", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const fixed = tag("v1");
    const digest = await subject.image("manifest", { tags: [fixed] });
    const tags = [tag("fresh"), fixed];
    expect(await store.manifests.put(APP, newManifest("other", { tags, immutableTags: [fixed] }))).toEqual({
      kind: "immutable",
      tag: fixed,
    });
    expect(await store.manifests.find(APP, textDigest("other"))).toBeUndefined();
    expect(await store.manifests.findByTag(APP, tag("fresh"))).toBeUndefined();
    expect(await store.manifests.put(APP, newManifest("manifest", { tags, immutableTags: [fixed] }))).toMatchObject({
      kind: "stored",
    });
    expect(await store.manifests.delete(APP, digest, [fixed])).toEqual({ immutable: fixed });
    expect((await store.manifests.findByTag(APP, fixed))?.digest).toBe(digest);
    expect(await store.manifests.delete(APP, digest, ["v2"])).toBe("done");
  });

  test("only a manifest of this repository is deleted", async () => {
    await using subject = await Subject.open(open);
    const digest = await subject.image("manifest");
    await subject.image("manifest", { to: OTHER, tags: [LATEST] });
    expect(await subject.store.manifests.delete(digestOwner("nobody"), digest)).toBe("absent");
    expect(await subject.store.manifests.delete(APP, digest)).toBe("done");
    expect((await subject.store.manifests.findByTag(OTHER, LATEST))?.digest).toBe(digest);
  });

  test("it is gone from the referrers of its subject, and takes its own signatures along", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const image = await subject.image("image");
    const referrer = await subject.image("referrer", { subject: image });
    await store.signatures.put(APP, referrer, [{ name: "s", content: bytes("signed") }], {
      maxBytes: 100,
      taken: "refuse",
    });
    await store.manifests.delete(APP, referrer);
    expect(await store.manifests.referrerSizes(APP, image, { limit: 10 })).toEqual([]);
    expect(await store.signatures.list(APP, referrer)).toEqual([]);
    await subject.image("referrer");
    expect(await store.signatures.list(APP, referrer)).toEqual([]);
  });

  test("what refers to it stays, and is found again when it is pushed again", async () => {
    await using subject = await Subject.open(open);
    const image = await subject.image("image");
    const referrer = await subject.image("referrer", { subject: image });
    await subject.store.manifests.delete(APP, image);
    await subject.image("image");
    const referrers = await subject.store.manifests.referrerSizes(APP, image, { limit: 10 });
    expect(referrers.map(({ digest }) => digest)).toEqual([referrer]);
  });

  test("it can be put again", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("layer");
    const digest = await subject.image("manifest", { blobs: [needs(layer)], tags: [LATEST] });
    await subject.store.manifests.delete(APP, digest);
    await subject.image("manifest", { blobs: [needs(layer)], tags: [LATEST] });
    expect((await subject.store.manifests.findByTag(APP, LATEST))?.digest).toBe(digest);
  });

  test("puts and deletes of the same manifest at once leave it whole or gone", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("layer");
    const digest = digestIn(textDigest("contended"));
    const manifest = newManifest("contended", { blobs: [needs(layer)], tags: [LATEST] });
    await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        at % 2 === 0 ? subject.store.manifests.put(APP, manifest) : subject.store.manifests.delete(APP, digest),
      ),
    );
    const there = (await subject.store.manifests.find(APP, digest)) !== undefined;
    expect((await subject.store.manifests.findByTag(APP, LATEST)) !== undefined).toBe(there);
    expect(await subject.query("select * from manifest_blob")).toHaveLength(there ? 1 : 0);
  });
}

function digestOwner(name: string): typeof APP {
  return name as typeof APP;
}
