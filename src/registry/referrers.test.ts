/** Lists of referrers, read in steps: which they give, and what they read for that. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import * as fc from "fast-check";
import { MemoryEngine } from "../metadata/memory/memory-engine.ts";
import { Metadata } from "../metadata/metadata.ts";
import { APP, Subject, inByteOrder, textDigest } from "../metadata/testing/subject.ts";
import type { Digest } from "../oci/digest.ts";
import type { Backend } from "./backend.ts";
import { LocalReferrers } from "./referrers.ts";
import type { ReferrersFilter } from "./referrers.ts";

const [SBOM, SIGNATURE, RARE, NONE] = ["a/sbom", "a/signature", "a/rare", "a/none"];
const ABOUT = textDigest("image");
const FEW = textDigest("another image");

/** More than a few steps have. */
const MANY = 2000;

let subject: Subject;

/** Referrers of `FEW`, with their types; "" when they have none. */
const typesOfFew = new Map<Digest, string>();

beforeAll(async () => {
  subject = await Subject.open(async (clock) => {
    const engine = await MemoryEngine.open();
    return { store: new Metadata(engine, clock), engine };
  });
  for (let at = 0; at < 30; at++) {
    const artifactType = [SBOM, SIGNATURE, undefined][at % 3];
    const annotations = at % 2 === 0 ? JSON.stringify({ note: "x".repeat(at * 100) }) : undefined;
    typesOfFew.set(await subject.image(`${at}`, { subject: FEW, artifactType, annotations }), artifactType ?? "");
  }
  await subject.change(
    `
    with recursive n(i) as (select 1 union all select i + 1 from n where i < $1)
    insert into manifest (repo, digest, media_type, artifact_type, subject, size, pushed_at, touched_at, payload)
    select m.repo, unhex('01' || printf('%064d', i)), m.media_type, iif(i % 400 = 0, $2, $3), $4, 2, 1, 1, x'7b7d'
    from n, manifest m where m.digest = $5`,
    MANY,
    RARE,
    SBOM,
    ABOUT,
    textDigest("0"),
  );
});
afterAll(() => subject[Symbol.asyncDispose]());

/** A list of referrers that counts what it reads. */
class Counted {
  readonly read = { candidates: 0, referrers: 0 };
  readonly referrers: LocalReferrers;

  constructor(store: Metadata = subject.store) {
    const manifests: Pick<Metadata["manifests"], "referrerSizes" | "referrers"> = {
      referrerSizes: async (...asked) => {
        const found = await store.manifests.referrerSizes(...asked);
        this.read.candidates += found.length;
        return found;
      },
      referrers: async (...asked) => {
        const found = await store.manifests.referrers(...asked);
        this.read.referrers += found.length;
        return found;
      },
    };
    this.referrers = new LocalReferrers({ metadata: { manifests } as Backend["metadata"] }, APP);
  }

  async page(about: Digest, filter: ReferrersFilter, maxBytes: number) {
    const { referrers, more } = await this.referrers.page(about, filter, maxBytes);
    return { digests: referrers.map(({ digest }) => digest), referrers, more };
  }
}

test("pages of any bound, with any filter, give each referrer once, in order", async () => {
  const types = fc.option(fc.array(fc.constantFrom(SBOM, SIGNATURE, NONE, ""), { maxLength: 5 }), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(types, fc.integer({ min: 0, max: 8000 }), async (artifactTypes, maxBytes) => {
      const walked: Digest[] = [];
      for (let more = true; more;) {
        const after = walked.at(-1);
        const filter = { ...(artifactTypes && { artifactTypes }), ...(after !== undefined && { after }) };
        const page = await new Counted().page(FEW, filter, maxBytes);
        expect(page.digests.length).toBeGreaterThan(page.more ? 0 : -1);
        if (page.digests.length > 1) expect(JSON.stringify(page.referrers).length).toBeLessThanOrEqual(maxBytes);
        walked.push(...page.digests);
        ({ more } = page);
      }
      const expected = [...typesOfFew].filter(([, type]) => artifactTypes?.includes(type) ?? true);
      expect(walked).toEqual(inByteOrder(expected.map(([digest]) => digest)));
    }),
    { numRuns: 12 },
  );
});

const PLENTY = 4_000_000;

test.each([
  ["of a type that few have", [RARE], MANY / 400, MANY / 400],
  ["of a type that none has", [NONE], 0, 0],
  ["of two types that few have", [RARE, NONE], MANY / 400, MANY / 400],
  ["of all types", undefined, MANY, MANY],
] as const)("a page %s reads what it gives", async (_title, artifactTypes, given, read) => {
  const counted = new Counted();
  const { digests, more } = await counted.page(ABOUT, artifactTypes ? { artifactTypes } : {}, PLENTY);
  expect({ given: digests.length, more, ...counted.read }).toEqual({
    given,
    more: false,
    candidates: read,
    referrers: read,
  });
});

test("a page that is full reads on for one step at most", async () => {
  const counted = new Counted();
  const { digests, more } = await counted.page(ABOUT, {}, 30_000);
  expect(more).toBe(true);
  expect(digests.length).toBeWithin(50, 76);
  expect(counted.read).toEqual({ candidates: 100, referrers: digests.length });
});

test("a list is read in steps, with turns of the event loop between them", async () => {
  let turns = 0;
  const count = (): void => void (turns++, (counting = setImmediate(count)));
  let counting = setImmediate(count);
  expect(await Array.fromAsync(new Counted().referrers.list(ABOUT))).toHaveLength(MANY);
  clearImmediate(counting);
  expect(turns).toBeGreaterThan(MANY / 200 - 2);
});

test("a page whose first referrers are deleted while it is read goes on to those that are there", async () => {
  const manifests = {
    referrerSizes: subject.store.manifests.referrerSizes.bind(subject.store.manifests),
    referrers: async (name: typeof APP, digests: readonly Digest[]) =>
      await subject.store.manifests.referrers(
        name,
        digests.filter((digest) => digest > all[4]!),
      ),
  };
  const all = inByteOrder([...typesOfFew.keys()]);
  const { digests, more } = await new Counted({ manifests } as unknown as Metadata).page(FEW, {}, 1);
  expect({ digests, more }).toEqual({ digests: [all[5]!], more: true });
});
