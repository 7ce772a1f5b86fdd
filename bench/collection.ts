/**
 * What collection costs: `tools/bun bench/collection.ts [ROUNDS] [SECONDS]`, with wrk on the machine.
 *
 *   by hand      unreferenced blobs collected per second, with few and with many referenced ones beside them
 *   beside load  latency of manifest GET with collection running and without, in turns
 *   start        from the start of the process to its first answer, with few rows and with a million
 *
 * Ratios are what counts: the machine is the same for all rows, and never quiet.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../src/create-registry.ts";
import { startRegistry } from "../test/support/registry.ts";
import { REPOSITORY, seed } from "./support/seed.ts";
import type { Contents } from "./support/seed.ts";

const [rounds = 5, seconds = 8] = process.argv.slice(2).map(Number);

const NOTHING_IS_PROMISED = { leaseMs: 0, graceMs: 0 };

async function withFolder<Result>(contents: Contents, work: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-bench-"));
  try {
    await seed(folder, contents);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

async function collectByHand(contents: Contents): Promise<void> {
  await withFolder(contents, async (folder) => {
    await using registry = await createRegistry({ storage: { folder } });
    const started = performance.now();
    const { blobs, files } = await registry.collect(NOTHING_IS_PROMISED);
    const took = performance.now() - started;
    if (blobs !== contents.unreferenced || files !== contents.files) throw new Error("not all of it was collected");
    console.log(
      `${String(contents.unreferenced).padStart(9)} unreferenced (${contents.files} files) beside ` +
        `${String(contents.images).padStart(7)} images  ${(took / 1000).toFixed(2).padStart(7)} s  ` +
        `${((took * 1000) / contents.unreferenced).toFixed(0).padStart(5)} µs each`,
    );
  });
}

interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
}

/** What wrk measures in milliseconds, with 16 connections. */
async function load(url: string): Promise<Latency> {
  const wrk = Bun.spawn(["wrk", "--latency", "-t1", "-c16", `-d${seconds}s`, url], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await wrk.stdout.text();
  if ((await wrk.exited) !== 0 || /Non-2xx/.test(text)) throw new Error(`wrk failed:\n${text}`);
  const percentile = (name: string): number => {
    const [, number = "", unit = ""] = new RegExp(`${name}%\\s+([\\d.]+)(us|ms|s)`).exec(text) ?? [];
    return Number(number) * (unit === "us" ? 1e-3 : unit === "s" ? 1e3 : 1);
  };
  return {
    p50: percentile("50"),
    p99: percentile("99"),
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
  };
}

async function besideLoad(collecting: boolean): Promise<Latency> {
  return await withFolder({ images: 1000, unreferenced: 200_000, files: 20_000 }, async (folder) => {
    const env = {
      REGISTRY_LOG_LEVEL: "warn",
      REGISTRY_GC_ENABLED: String(collecting),
      REGISTRY_GC_LEASE: "0",
      REGISTRY_GC_GRACE: "0",
      REGISTRY_GC_INTERVAL: "1s",
    };
    await using server = await startRegistry({ dataDir: folder, env });
    await Bun.sleep(1500); // the first round has begun
    return await load(`${server.url}/v2/${REPOSITORY}/manifests/v0000007`);
  });
}

async function startsWith(contents: Contents): Promise<void> {
  await withFolder(contents, async (folder) => {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      await using server = await startRegistry({ dataDir: folder });
      const answer = await fetch(`${server.url}/v2/${REPOSITORY}/manifests/v0000007`);
      if (answer.status !== 200) throw new Error(`the first answer is ${answer.status}`);
      times.push(performance.now() - started);
    }
    const rows = contents.images * 6 + contents.unreferenced * 5;
    console.log(
      `first answer with ${String(rows).padStart(8)} rows  median ${median(times).toFixed(0)} ms of ${rounds} starts`,
    );
  });
}

console.log("by hand");
await collectByHand({ images: 0, unreferenced: 25_000, files: 5000 });
await collectByHand({ images: 0, unreferenced: 100_000, files: 20_000 });
await collectByHand({ images: 200_000, unreferenced: 100_000, files: 20_000 });

console.log("beside load (manifest GET by tag, 16 connections)");
const [without, beside]: [Latency[], Latency[]] = [[], []];
for (let round = 0; round < rounds; round++) {
  without.push(await besideLoad(false));
  beside.push(await besideLoad(true));
}
const show = (name: string, all: readonly Latency[]): void => {
  const of = (pick: (one: Latency) => number): number => median(all.map(pick));
  console.log(
    `${name.padEnd(20)} p50 ${of(({ p50 }) => p50).toFixed(2)} ms  p99 ${of(({ p99 }) => p99).toFixed(2)} ms  ` +
      `${of(({ perSecond }) => perSecond).toFixed(0)} requests/s`,
  );
};
show("without collection", without);
show("with collection", beside);
const ratios = beside.map(({ p99 }, round) => p99 / (without[round]?.p99 ?? NaN));
console.log(
  `p99 with / without: median ${median(ratios).toFixed(2)} of ${ratios.map((ratio) => ratio.toFixed(2)).join(", ")}`,
);

console.log("start");
await startsWith({ images: 10, unreferenced: 0, files: 0 });
await startsWith({ images: 170_000, unreferenced: 0, files: 0 });
