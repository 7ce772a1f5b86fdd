/**
 * How long one client, command or job keeps all others waiting, on a large registry, in two versions side by side.
 *
 *   tools/bun bench/support/large-registry.ts FOLDER        fills the registry, once
 *   tools/bun bench/stalls.ts --seeded FOLDER [--before CHECKOUT] [--rows PATTERN] [--seconds N] [--share N] [--json FILE]
 *
 * `--before` names a checkout of an older version, with its packages; FOLDER must then be filled by that checkout, because an
 * older version does not open a newer database. Each version works on a copy of its own. For each row a server is started,
 * and three clients go on beside it: one asks for /healthz every 2 ms, one pulls manifests, some push.
 */
import { rm } from "node:fs/promises";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { settingOf } from "./setting.ts";
import { ROWS } from "./stalls/rows.ts";
import type { Row } from "./stalls/rows.ts";
import { measureBeside, startServer } from "./stalls/version.ts";
import type { Measured, Version } from "./stalls/version.ts";
import { sizesOf } from "./support/large-registry.ts";

const { values: options } = parseArgs({
  options: {
    seeded: { type: "string" },
    before: { type: "string" },
    rows: { type: "string", default: "" },
    seconds: { type: "string", default: "10" },
    share: { type: "string", default: "1" },
    json: { type: "string" },
  },
});
if (options.seeded === undefined)
  throw new Error("--seeded FOLDER is missing: bench/support/large-registry.ts fills it");
const seeded = resolve(options.seeded);
const sizes = sizesOf(Number(options.share));
const seconds = Number(options.seconds);
const rows = ROWS.filter(({ name }) => new RegExp(options.rows).test(name));

const here = resolve(import.meta.dir, "..");
const versions: readonly Version[] = [
  ...(options.before === undefined ? [] : [{ name: "before", root: resolve(options.before) }]),
  { name: "after", root: here },
].map((version) => ({ ...version, data: `${seeded}-${version.name}` }));

interface RowResult {
  readonly row: string;
  readonly version: string;
  /** Undefined when it failed, and `said` tells how. */
  readonly measured: Measured | undefined;
  readonly startedInMs: number;
  readonly said: string;
  /** Processes that wanted to run in the last minute, on all cores. */
  readonly load: number;
}

async function measureRow(row: Row, version: Version): Promise<RowResult> {
  const data = join(version.data, row.folder ?? "large");
  const load = loadavg()[0] ?? 0;
  const facts = { row: row.name, version: version.name, load };
  let startedInMs = NaN;
  Bun.spawnSync(["sync"]); // what was written before is not written back beside this row
  try {
    await using server = await startServer(version, data, row.env ?? {});
    startedInMs = server.startedInMs;
    let said = "";
    const measured = await measureBeside(server, data, row, row.pulled, async () => {
      said = await row.run({ version, server, data, sizes, seconds });
    });
    return { ...facts, startedInMs, measured, said };
  } catch (error) {
    return { ...facts, startedInMs, measured: undefined, said: `failed: ${String(error)}` };
  }
}

const HEAD = `| row | version | longest /healthz, ms | pulls p99, ms | pushes p50, ms | longest push, ms | log, MB | server, MB | the work itself | start, ms | load |
|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|`;

function figure(value: number | undefined): string {
  if (value === undefined) return "–";
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

function lineOf({ row, version, measured, startedInMs, said, load }: RowResult): string {
  const figures = [
    measured?.healthzLongestMs,
    measured?.manifestP99Ms,
    measured?.pushP50Ms,
    measured?.pushLongestMs,
    measured?.logMb,
    measured?.memoryMb,
  ].map(figure);
  return `| ${[row, version, ...figures, said, figure(startedInMs), load.toFixed(1)].join(" | ")} |`;
}

const results: RowResult[] = [];
try {
  for (const { data } of versions) {
    await rm(data, { recursive: true, force: true });
    const copy = Bun.spawn(["cp", "-a", "--sparse=always", seeded, data]);
    if ((await copy.exited) !== 0) throw new Error(`${seeded} could not be copied`);
  }
  console.log(HEAD);
  for (const row of rows) {
    for (const version of versions) {
      const result = await measureRow(row, version);
      console.log(lineOf(result));
      results.push(result);
      if (options.json === undefined) continue;
      const { commit, date, machine } = settingOf([]);
      await Bun.write(options.json, `${JSON.stringify({ commit, date, machine, seconds, sizes, results }, null, 2)}\n`);
    }
  }
} finally {
  for (const { data } of versions) await rm(data, { recursive: true, force: true });
}
