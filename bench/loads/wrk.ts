/** GET by wrk, a load in C that costs little itself. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemProgram } from "../peers/programs.ts";
import { ACCEPT, latencyOf } from "./load.ts";
import type { Load } from "./load.ts";

export interface GetTarget {
  readonly path: string;
  /** Such as `bytes=0-9`. */
  readonly range?: string;
}

export interface GetOptions {
  readonly port: number;
  /** Asked for one after the other, again and again. */
  readonly targets: readonly GetTarget[];
  readonly connections: number;
  readonly seconds: number;
}

interface Printed {
  readonly requests: number;
  readonly micros: number;
  readonly bytes: number;
  readonly failed: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Rejects when an answer was not a success. */
export async function get({ port, targets, connections, seconds }: GetOptions): Promise<Load> {
  const [first] = targets;
  if (!first) throw new Error("nothing to ask for");
  await using list = await listOf(targets);
  const words = [
    "-t1",
    `-c${connections}`,
    `-d${seconds}s`,
    "--timeout",
    "60s",
    "-s",
    join(import.meta.dir, "wrk.lua"),
  ];
  words.push("-H", `Accept: ${ACCEPT}`, `http://127.0.0.1:${port}${first.path}`);
  if (list.path !== undefined) words.push("--", list.path);
  const wrk = Bun.spawn([systemProgram("wrk"), ...words], { stdout: "pipe", stderr: "inherit" });
  const text = await wrk.stdout.text();
  const [, json] = /^JSON (.*)$/m.exec(text) ?? [];
  if ((await wrk.exited) !== 0 || json === undefined) throw new Error(`wrk failed:\n${text}`);
  const { requests, micros, bytes, failed, p50, p90, p99 } = JSON.parse(json) as Printed;
  if (failed > 0) throw new Error(`${failed} of ${requests} requests failed, the first for ${first.path}:\n${text}`);
  return {
    operations: requests,
    seconds: micros / 1e6,
    bytes,
    latencyMs: requests === 0 ? latencyOf([]) : { p50: p50 / 1000, p90: p90 / 1000, p99: p99 / 1000 },
  };
}

/** The file that the script reads; none for a single path, which wrk asks for with less work. */
async function listOf(targets: readonly GetTarget[]): Promise<AsyncDisposable & { readonly path?: string }> {
  if (targets.length === 1 && targets[0]?.range === undefined)
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), "stowage-bench-wrk-"));
  const path = join(folder, "paths");
  await Bun.write(path, targets.map((target) => `${target.path} ${target.range ?? ""}\n`).join(""));
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}
