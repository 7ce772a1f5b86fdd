/** Referrers in the metadata, and signatures beside a manifest. */
import { expect, test } from "bun:test";
import type { Digest } from "../../oci/digest.ts";
import { APP, IMAGE_TYPE, OTHER, Subject, bytes, inByteOrder, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const SBOM = "application/spdx+json";
const SIGNATURE = "application/vnd.example.signature";

/** More than all lists of these tests. */
const PLENTY = { limit: 100 };

export function testReferrers(open: OpenMetadata): void {
  test("whatever names a subject is among its referrers, whether or not the subject is here", async () => {
    await using subject = await Subject.open(open);
    const { manifests } = subject.store;
    const about = textDigest("not pushed yet");
    const annotations = '{"a":"b"}';
    const one = await subject.image("one", { subject: about, artifactType: SBOM, annotations });
    const two = await subject.image("two", { subject: about });
    await subject.image("about something else", { subject: textDigest("something else") });
    await subject.image("elsewhere", { subject: about, to: OTHER });
    const digests = (await manifests.referrerSizes(APP, about, PLENTY)).map(({ digest }) => digest);
    expect(digests).toEqual(inByteOrder([one, two]));
    expect(await manifests.referrers(APP, [two, textDigest("absent"), one])).toEqual([
      { digest: two, mediaType: IMAGE_TYPE, size: 3, artifactType: undefined, annotations: undefined },
      { digest: one, mediaType: IMAGE_TYPE, size: 3, artifactType: SBOM, annotations },
    ]);
    expect(await manifests.referrerSizes(APP, textDigest("absent"), PLENTY)).toEqual([]);
    expect(await manifests.referrerSizes("nobody" as typeof APP, about, PLENTY)).toEqual([]);
    expect(await manifests.referrers(OTHER, [one, two])).toEqual([]);
  });

  test("referrers of one type are picked out, also those without a type", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const sbom = await subject.image("sbom", { subject: about, artifactType: SBOM });
    const signature = await subject.image("signature", { subject: about, artifactType: SIGNATURE });
    const untyped = await subject.image("without a type", { subject: about });
    const of = async (artifactType: string): Promise<Digest[]> => {
      const found = await subject.store.manifests.referrerSizes(APP, about, { ...PLENTY, artifactType });
      return found.map(({ digest }) => digest);
    };
    expect(await of(SBOM)).toEqual([sbom]);
    expect(await of(SIGNATURE)).toEqual([signature]);
    expect(await of("")).toEqual([untyped]);
    expect(await of("application/vnd.nobody")).toEqual([]);
  });

  test("all are listed that were put at the same moment", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const put = await Promise.all(
      Array.from({ length: 25 }, (_, at) => subject.image(`referrer ${at}`, { subject: about })),
    );
    const found = await subject.store.manifests.referrerSizes(APP, about, PLENTY);
    expect(found.map(({ digest }) => digest)).toEqual(inByteOrder(put));
  });

  test("a page begins after any digest, and has at most so many", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const put: Digest[] = [];
    for (let at = 0; at < 9; at++) {
      put.push(
        await subject.image(`referrer ${at}`, { subject: about, artifactType: at % 3 === 0 ? SIGNATURE : SBOM }),
      );
    }
    const expected = inByteOrder(put);
    for (const after of [undefined, ...expected]) {
      const from = after === undefined ? {} : { after };
      const found = await subject.store.manifests.referrerSizes(APP, about, { ...from, limit: 4 });
      const behind = expected.filter((digest) => after === undefined || digest > after);
      expect(found.map(({ digest }) => digest)).toEqual(behind.slice(0, 4));
      const sboms = await subject.store.manifests.referrerSizes(APP, about, { ...from, limit: 2, artifactType: SBOM });
      const isSbom = (digest: Digest): boolean => put.indexOf(digest) % 3 !== 0;
      expect(sboms.map(({ digest }) => digest)).toEqual(behind.filter(isSbom).slice(0, 2));
    }
  });

  test("the size of a descriptor is at least what it takes in JSON", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    for (const [at, note] of ["", "x".repeat(2000), '"'.repeat(300), "🐳".repeat(100)].entries()) {
      const annotations = JSON.stringify({ note });
      const digest = await subject.image(`referrer ${at}`, { subject: about, artifactType: SBOM, annotations });
      const sizes = await subject.store.manifests.referrerSizes(APP, about, PLENTY);
      const [referrer] = await subject.store.manifests.referrers(APP, [digest]);
      const shown = { ...referrer, annotations: { note } };
      const size = sizes.find((each) => each.digest === digest)?.bytes;
      expect(size).toBeWithin(Buffer.byteLength(JSON.stringify(shown)), Buffer.byteLength(JSON.stringify(shown)) + 400);
    }
  });

  testSignatures(open);
}

/** All signatures of a manifest together. */
const MAX_BYTES = 16;
const LIMITS = { maxBytes: MAX_BYTES, taken: "refuse" } as const;

function testSignatures(open: OpenMetadata): void {
  test("signatures are kept beside a manifest, in order of their names", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const digest = await subject.image("image");
    await subject.image("image", { to: OTHER });
    expect(await store.signatures.list(APP, digest)).toEqual([]);
    const [a, b] = [
      { name: "a", content: bytes("first") },
      { name: "b", content: new Uint8Array() },
    ];
    expect(await store.signatures.put(APP, digest, [b], LIMITS)).toBe("done");
    expect(await store.signatures.put(APP, digest, [a], LIMITS)).toBe("done");
    expect(await store.signatures.put(APP, digest, [], LIMITS)).toBe("done");
    expect(await store.signatures.list(APP, digest)).toEqual([a, b]);
    expect(await store.signatures.list(OTHER, digest)).toEqual([]);
  });

  test("a name that is taken keeps all of them out", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const digest = await subject.image("image");
    const taken = { name: "b", content: bytes("first") };
    await store.signatures.put(APP, digest, [taken], LIMITS);
    const late = ["a", "b", "c"].map((name) => ({ name, content: bytes("late") }));
    expect(await store.signatures.put(APP, digest, late, LIMITS)).toBe("exists");
    expect(await store.signatures.list(APP, digest)).toEqual([taken]);
  });

  test("all of them together may have so many bytes", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const digest = await subject.image("image");
    const first = { name: "a", content: new Uint8Array(MAX_BYTES - 1) };
    const second = { name: "b", content: new Uint8Array(1) };
    expect(await store.signatures.put(APP, digest, [first], LIMITS)).toBe("done");
    const late = ["c", "d"].map((name) => ({ name, content: new Uint8Array(1) }));
    expect(await store.signatures.put(APP, digest, late, LIMITS)).toBe("full");
    expect(await store.signatures.put(APP, digest, [second], LIMITS)).toBe("done");
    expect(await store.signatures.list(APP, digest)).toEqual([first, second]);
  });

  test("names that are taken are skipped on request, and count once", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const digest = await subject.image("image");
    const [first, second] = ["a", "b"].map((name) => ({ name, content: new Uint8Array(MAX_BYTES / 2) }));
    const skipping = { maxBytes: MAX_BYTES, taken: "skip" } as const;
    expect(await store.signatures.put(APP, digest, [first!], skipping)).toBe("done");
    expect(await store.signatures.put(APP, digest, [first!, second!], skipping)).toBe("done");
    expect(await store.signatures.list(APP, digest)).toEqual([first!, second!]);
  });

  test("what is not here cannot be signed", async () => {
    await using subject = await Subject.open(open);
    const signatures = [{ name: "a", content: bytes("x") }];
    expect(await subject.store.signatures.put(APP, textDigest("absent"), signatures, LIMITS)).toBe("absent");
    await subject.image("image");
    expect(await subject.store.signatures.put(APP, textDigest("absent"), signatures, LIMITS)).toBe("absent");
  });
}
