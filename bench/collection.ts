/**
 * What collection costs: `tools/bun bench/collection.ts [ROUNDS] [SECONDS]`, with wrk on the machine.
 *
 *   by hand        unreferenced blobs collected per second, with few and with many referenced ones beside them; images without a tag
 *   beside load    latency of manifest GET with collection running and without, in turns
 *   beside pushes  latency of pushes of small images, likewise
 *   start          from the start of the process to its first answer, with few rows and with a million
 *
 * Ratios are what counts: the machine is the same for all rows, and never quiet.
 */
import { Database } from "bun:sqlite";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../src/create-registry.ts";
import { startRegistry } from "../test/support/registry.ts";
import { smallImages } from "./loads/bodies.ts";
import { Connection } from "./loads/connection.ts";
import { latencyOf } from "./loads/load.ts";
import { pushImage } from "./loads/pusher.ts";
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

/** Collects images that no tag points at: manifests, links and blobs. */
async function collectUntagged(images: number): Promise<void> {
  await withFolder({ images, unreferenced: 0, files: 0 }, async (folder) => {
    const database = new Database(join(folder, "registry.db"), { strict: true });
    database.run("delete from tag");
    database.run("delete from tag_count");
    database.close();
    await using registry = await createRegistry({ storage: { folder } });
    const started = performance.now();
    const { manifests, links, blobs } = await registry.collect({
      ...NOTHING_IS_PROMISED,
      freshMs: 0,
      undoMs: 0,
      untagged: true,
    });
    const took = (performance.now() - started) / 1000;
    if (manifests !== images) throw new Error("not all of it was collected");
    console.log(
      `${String(images).padStart(9)} images without a tag  ${took.toFixed(2).padStart(7)} s  ` +
        `${((manifests + links + blobs) / took).toFixed(0)} manifests, links and blobs a second`,
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

/** Pushes of small images, so many a second, by several clients. */
async function pushes(url: string): Promise<Latency> {
  const images = smallImages(PUSHES_PER_SECOND * seconds);
  const millis: number[] = [];
  const started = performance.now();
  let next = 0;
  const write = async (writer: number): Promise<void> => {
    using connection = await Connection.open(Number(new URL(url).port));
    for (let at = next++; at < images.length; at = next++) {
      await Bun.sleep(Math.max(0, started + (at * 1000) / PUSHES_PER_SECOND - performance.now()));
      const begun = performance.now();
      await pushImage(connection, `push/writer-${writer}`, `v${at}`, images[at]!);
      millis.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)));
  return { ...latencyOf(millis), perSecond: (millis.length * 1000) / (performance.now() - started) };
}

const PUSHES_PER_SECOND = 25;

async function beside(clients: (url: string) => Promise<Latency>, collecting: boolean): Promise<Latency> {
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
    return await clients(server.url);
  });
}

/** Clients with collection running and without, in turns. */
async function compareBeside(words: string, clients: (url: string) => Promise<Latency>): Promise<void> {
  console.log(words);
  const [without, collecting]: [Latency[], Latency[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    without.push(await beside(clients, false));
    collecting.push(await beside(clients, true));
  }
  const show = (name: string, all: readonly Latency[]): void => {
    const of = (pick: (one: Latency) => number): number => median(all.map(pick));
    console.log(
      `${name.padEnd(20)} p50 ${of(({ p50 }) => p50).toFixed(2)} ms  p99 ${of(({ p99 }) => p99).toFixed(2)} ms  ` +
        `${of(({ perSecond }) => perSecond).toFixed(0)} a second`,
    );
  };
  show("without collection", without);
  show("with collection", collecting);
  const ratios = collecting.map(({ p99 }, round) => p99 / (without[round]?.p99 ?? NaN));
  console.log(
    `p99 with / without: median ${median(ratios).toFixed(2)} of ${ratios.map((ratio) => ratio.toFixed(2)).join(", ")}`,
  );
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
await collectUntagged(10_000);

await compareBeside("beside load (manifest GET by tag, 16 connections)", (url) =>
  load(`${url}/v2/${REPOSITORY}/manifests/v0000007`),
);
await compareBeside(`beside ${PUSHES_PER_SECOND} pushes of small images a second`, pushes);

console.log("start");
await startsWith({ images: 10, unreferenced: 0, files: 0 });
await startsWith({ images: 170_000, unreferenced: 0, files: 0 });
