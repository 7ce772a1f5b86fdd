/**
 * What each statement reads on PostgreSQL in a large registry: which pages, and which tables it walks.
 *
 *   tools/bun bench/postgres-plans.ts [--repositories 100000] [--manifests 1000000] [--blobs 10] [--all]
 *
 * A server of its own is filled by SQL, with so many manifests, each with a tag and so many blobs, and every operation runs once. One
 * line for each statement that reads more than a hundred pages or walks a table; each with `--all`.
 */
import { parseArgs } from "node:util";
import { measureStatements } from "../test/postgres/support/measured-statements.ts";

const { values: options } = parseArgs({
  options: {
    repositories: { type: "string", default: "100000" },
    manifests: { type: "string", default: "1000000" },
    blobs: { type: "string", default: "10" },
    all: { type: "boolean", default: false },
  },
});

const sizes = {
  repositories: Number(options.repositories),
  manifests: Number(options.manifests),
  blobs: Number(options.blobs),
};

const began = performance.now();
const costs = await measureStatements(sizes, (step) => {
  console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${step}`);
});
const shown = costs.filter(({ pages, scans }) => options.all || pages > 100 || scans.length > 0);
for (const { pages, scans, text } of shown) {
  console.log(
    `${`${pages}`.padStart(9)} pages  ${scans.length > 0 ? `[${scans.join(", ")}] ` : ""}${text.slice(0, 240)}`,
  );
}
console.log(`${costs.length} statements`);
