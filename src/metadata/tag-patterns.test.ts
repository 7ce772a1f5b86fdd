/** The database and the program agree which tags a pattern matches. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { glob } from "../lib/glob.ts";
import { MemoryEngine } from "./memory/memory-engine.ts";
import { likePatterns } from "./tag-patterns.ts";
import { rows } from "./testing/raw-sql.ts";

const tag = fc.string({ unit: fc.constantFrom("a", "A", "b", "1", "_", "-", "."), minLength: 1, maxLength: 8 });
const pattern = fc.string({ unit: fc.constantFrom("a", "A", "b", "1", "_", "-", ".", "*", "*", "**"), maxLength: 6 });

const MATCHING =
  "select t.value from json_each($1) t where exists (select 1 from json_each($2) p where t.value like p.value escape '!')";

test("LIKE finds the tags that a pattern matches, and no others", async () => {
  const engine = await MemoryEngine.open();
  await fc.assert(
    fc.asyncProperty(fc.array(pattern, { maxLength: 3 }), fc.array(tag, { maxLength: 20 }), async (patterns, tags) => {
      const found = await engine.read(() =>
        rows<{ value: string }>(MATCHING, JSON.stringify(tags), likePatterns(patterns)),
      );
      const expected = tags.filter((each) => patterns.some((one) => glob(one)(each)));
      expect(found.map(({ value }) => value)).toEqual(expected);
    }),
    { numRuns: 500 },
  );
  await engine.close();
});
