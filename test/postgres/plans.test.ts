/**
 * What statements read in PostgreSQL: pages whose number does not grow with the registry. The sample is small; `bench/postgres-plans.ts`
 * does the same with ten million blobs.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { measureStatements } from "./support/measured-statements.ts";

setDefaultTimeout(300_000);

/** The tables of the sample have thousands of pages; what a request reads has some dozens. */
const MOST_PAGES = 1000;

/** Statements that may read more, by a part of them, and why they may. */
const MAY_READ_MORE: Readonly<Record<string, string>> = {
  "select (select count(*) from repo r": "counts everything, for a command and no request",
  "delete from event where seq in": "five hundred events",
  "update manifest set review_after = $2 where id in": "five hundred manifests",
  "insert into tag (repo, name, manifest, since, updated_at) select $1, value": "a thousand tags in one push",
};

test("no statement reads more pages than it may, in a registry of 100,000 blobs", async () => {
  const costs = await measureStatements({ repositories: 2000, manifests: 20_000, blobs: 5 });
  expect(costs.length).toBeGreaterThan(300); // they were logged
  const mayRead = Object.keys(MAY_READ_MORE);
  const expensive = costs.filter(
    ({ pages, text }) => pages > MOST_PAGES && !mayRead.some((part) => text.includes(part)),
  );
  expect(expensive).toEqual([]);
});
