/** Referrers in the metadata, and signatures beside a manifest. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Digest } from "../../oci/digest.ts";
import { APP, IMAGE_TYPE, OTHER, Subject, bytes, inByteOrder, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const SBOM = "application/spdx+json";
const SIGNATURE = "application/vnd.example.signature";

/** More than all lists of these tests. */
const PLENTY = 1_000_000;

export function testReferrers(open: OpenMetadata): void {
  test("whatever names a subject is among its referrers, whether or not the subject is here", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("not pushed yet");
    const annotations = '{"a":"b"}';
    const one = await subject.image("one", { subject: about, artifactType: SBOM, annotations });
    const two = await subject.image("two", { subject: about });
    await subject.image("about something else", { subject: textDigest("something else") });
    await subject.image("elsewhere", { subject: about, to: OTHER });
    const { referrers, more } = await subject.store.manifests.referrers(APP, about, { maxBytes: PLENTY });
    const expected = [
      { digest: one, mediaType: IMAGE_TYPE, size: 3, artifactType: SBOM, annotations },
      { digest: two, mediaType: IMAGE_TYPE, size: 3, artifactType: undefined, annotations: undefined },
    ];
    expect(referrers).toEqual(expected.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)));
    expect(more).toBe(false);
    const nothing = { referrers: [], more: false };
    expect(await subject.store.manifests.referrers(APP, textDigest("absent"), { maxBytes: PLENTY })).toEqual(nothing);
    expect(await subject.store.manifests.referrers("nobody" as typeof APP, about, { maxBytes: PLENTY })).toEqual(
      nothing,
    );
  });

  test("referrers of one or of several types are picked out", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const sbom = await subject.image("sbom", { subject: about, artifactType: SBOM });
    const signature = await subject.image("signature", { subject: about, artifactType: SIGNATURE });
    await subject.image("without a type", { subject: about });
    const of = async (...artifactTypes: string[]): Promise<Digest[]> => {
      const { referrers } = await subject.store.manifests.referrers(APP, about, { artifactTypes, maxBytes: PLENTY });
      return referrers.map(({ digest }) => digest);
    };
    expect(await of(SBOM)).toEqual([sbom]);
    expect(await of(SBOM, SIGNATURE)).toEqual(inByteOrder([sbom, signature]));
    expect(await of("application/vnd.nobody")).toEqual([]);
  });

  test("all are listed that were put at the same moment", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const put = await Promise.all(
      Array.from({ length: 25 }, (_, at) => subject.image(`referrer ${at}`, { subject: about })),
    );
    const { referrers } = await subject.store.manifests.referrers(APP, about, { maxBytes: PLENTY });
    expect(referrers.map(({ digest }) => digest)).toEqual(inByteOrder(put));
  });

  test("a list ends at the bound of bytes, but never before the first", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const annotations = JSON.stringify({ note: "x".repeat(2000) });
    for (let at = 0; at < 6; at++) await subject.image(`referrer ${at}`, { subject: about, annotations });
    const one = await subject.store.manifests.referrers(APP, about, { maxBytes: 1 });
    expect(one.referrers).toHaveLength(1);
    expect(one.more).toBe(true);
    const some = await subject.store.manifests.referrers(APP, about, { maxBytes: 8000 });
    const size = JSON.stringify(some.referrers).length;
    expect(some.more).toBe(true);
    expect(some.referrers.length).toBeGreaterThan(1);
    expect(size).toBeLessThanOrEqual(8000);
    const all = await subject.store.manifests.referrers(APP, about, { maxBytes: PLENTY });
    expect(all.referrers).toHaveLength(6);
    expect(all.more).toBe(false);
  });

  test("pages of any bound, with or without a filter, give each once", async () => {
    await using subject = await Subject.open(open);
    const about = textDigest("image");
    const expected: Digest[] = [];
    for (let at = 0; at < 15; at++) {
      const isSbom = at % 3 !== 0;
      const annotations = at % 2 === 0 ? JSON.stringify({ note: "x".repeat(at * 100) }) : undefined;
      const artifactType = isSbom ? SBOM : SIGNATURE;
      const digest = await subject.image(`referrer ${at}`, { subject: about, artifactType, annotations });
      if (isSbom) expected.push(digest);
    }
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 5000 }), async (maxBytes) => {
        const walked: Digest[] = [];
        for (;;) {
          const last = walked.at(-1);
          const filter = { artifactTypes: [SBOM], maxBytes, ...(last === undefined ? {} : { after: last }) };
          const { referrers, more } = await subject.store.manifests.referrers(APP, about, filter);
          walked.push(...referrers.map(({ digest }) => digest));
          if (!more) break;
        }
        expect(walked).toEqual(inByteOrder(expected));
      }),
      { numRuns: 20 },
    );
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
