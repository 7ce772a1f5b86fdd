import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { Fingerprints } from "./fingerprints.ts";

const hash = fc.stringMatching(/^[0-9a-f]{64}$/);

const hashOf = (number: number): string => number.toString(16).padStart(16, "0").padEnd(64, "f");

test("each of any hashes is new once", () => {
  fc.assert(
    fc.property(fc.array(hash, { maxLength: 200 }), (hashes) => {
      const [fingerprints, seen] = [new Fingerprints(), new Set<string>()];
      for (const each of [...hashes, ...hashes]) {
        expect(fingerprints.add(each)).toBe(!seen.has(each));
        seen.add(each);
      }
    }),
  );
});

test("many more than there were places at first, zero among them", () => {
  const fingerprints = new Fingerprints();
  for (let number = 0; number < 20_000; number++) expect(fingerprints.add(hashOf(number))).toBeTrue();
  for (let number = 0; number < 20_000; number++) expect(fingerprints.add(hashOf(number))).toBeFalse();
});
