/** Which repositories a filtered list gives, and how many it reads for that. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { globSeek, seekAny } from "../lib/glob-seek.ts";
import { glob } from "../lib/glob.ts";
import { NAME_CHARACTERS, repositoryName } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { ListedRepository, RepositoryRange } from "../metadata/repositories.ts";
import type { PageStart } from "./pages.ts";
import { listRepositories } from "./repository-list.ts";
import type { RepositoryFilter } from "./repository-list.ts";

/** A list that counts what is read of it; repositories called `…/empty` have no manifest. */
function listOf(names: readonly string[]) {
  const sorted = [...new Set(names)].map(repositoryName).toSorted();
  const read = { pages: 0, names: 0 };
  return {
    read,
    async list({ from = "", until = "{", limit }: RepositoryRange): Promise<readonly ListedRepository[]> {
      const page = sorted.slice(indexIn(sorted, from), indexIn(sorted, until)).slice(0, limit);
      read.pages++;
      read.names += page.length;
      return page.map((name) => ({ name, hasManifests: !isEmpty(name) }));
    },
  };
}

/** How many names of an ordered list come before a text. */
function indexIn(names: readonly string[], text: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] ?? "") < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isEmpty(name: string): boolean {
  return name.endsWith("/empty");
}

function allowing(...patterns: readonly string[]): RepositoryFilter {
  const globs = patterns.map(glob);
  return {
    allows: (name) => globs.some((matches) => matches(name)),
    seek: seekAny(patterns.map((pattern) => globSeek(pattern, NAME_CHARACTERS))),
  };
}

async function listed(
  list: ReturnType<typeof listOf>,
  filter: RepositoryFilter | undefined,
  from: PageStart = {},
): Promise<readonly RepositoryName[]> {
  return await Array.fromAsync(listRepositories(list, from, filter));
}

const MANY = Array.from({ length: 20_000 }, (_, number) => `owner${number % 100}/app${number}`);

const BOUNDS: readonly (readonly [patterns: readonly string[], pages: number, names: number])[] = [
  [["owner42/app1042"], 1, 1],
  [["owner42/**"], 1, 200],
  [["owner42/**", "owner42/app1042"], 1, 200],
  [["owner7/**", "owner42/*", "owner9*/app9*"], 10, 2600],
  [["nobody/**"], 1, 0],
  [["zzz"], 1, 0],
  [[], 0, 0],
  [["*"], 200, 2600],
  [["*/app5000"], 200, 2600],
  [["*/*/app"], 90, 20_000], // nothing can be skipped: pages grow
];

for (const [patterns, pages, names] of BOUNDS) {
  test(`what ${JSON.stringify(patterns)} allows among 20,000 is found in at most ${pages} pages`, async () => {
    const list = listOf(MANY);
    const filter = allowing(...patterns);
    expect(await listed(list, filter)).toEqual(
      MANY.map(repositoryName)
        .filter((name) => filter.allows(name))
        .toSorted(),
    );
    expect(list.read.pages).toBeLessThanOrEqual(pages);
    expect(list.read.names).toBeLessThanOrEqual(names);
  });
}

test("a page that is full ends the list", async () => {
  const list = listOf(MANY);
  expect(await listed(list, allowing("owner42/**"), { after: "owner42/app1042", limit: 3 })).toHaveLength(3);
  expect(list.read).toEqual({ pages: 1, names: 3 });
  const unfiltered = listOf(MANY);
  expect(await listed(unfiltered, undefined, { limit: 101 })).toHaveLength(101);
  expect(unfiltered.read).toEqual({ pages: 1, names: 101 });
});

test("20,000 repositories without a manifest are read in pages, and none is listed", async () => {
  const list = listOf([...MANY.map((name) => `${name}/empty`), "zzz"]);
  expect(await listed(list, undefined, { limit: 1 })).toEqual([repositoryName("zzz")]);
  expect(list.read).toEqual({ pages: 27, names: 20_001 });
});

const part = fc.string({ unit: fc.constantFrom("a", "b", "1"), minLength: 1, maxLength: 3 });
const name = fc
  .array(fc.oneof(part, fc.constant("empty")), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"));
const pattern = fc.string({ unit: fc.constantFrom("/", "a", "b", "1", "*", "**"), minLength: 1, maxLength: 6 });

test("the list is what filtering all names gives, from any place on and of any length", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(name, { maxLength: 300 }),
      fc.array(pattern, { maxLength: 3 }),
      fc.option(fc.oneof(name, fc.string()), { nil: undefined }),
      fc.integer({ min: 1, max: 400 }),
      async (names, patterns, after, limit) => {
        const filter = allowing(...patterns);
        const from = { ...(after === undefined ? {} : { after }), limit };
        const expected = [...new Set(names)]
          .map(repositoryName)
          .filter((each) => !isEmpty(each) && filter.allows(each) && (after === undefined || each > after))
          .toSorted()
          .slice(0, limit);
        expect(await listed(listOf(names), filter, from)).toEqual(expected);
      },
    ),
    { numRuns: 300 },
  );
});
