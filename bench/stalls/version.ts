/** A checkout of Stowage that is measured: its servers, its commands, and what clients of a server waited for. */
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pinger } from "../../test/stalls/support/pinger.ts";
import { residentMb } from "../../test/support/resident.ts";
import { FIRST_TAG, repositoryOf } from "../support/large-registry.ts";
import { Pushers } from "./pushers.ts";

export interface Version {
  readonly name: string;
  /** The root of the checkout. */
  readonly root: string;
  /** The folder with its data. */
  readonly data: string;
}

type Environment = Readonly<Record<string, string>>;

export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Milliseconds from the start of the process until it listened. */
  readonly startedInMs: number;
}

export interface CommandRun {
  readonly seconds: number;
  /** The most memory that it had, in MB. */
  readonly memoryMb: number;
  readonly output: string;
}

/** What clients waited for, and what the server used, while something ran. */
export interface Measured {
  readonly seconds: number;
  readonly healthzLongestMs: number;
  readonly manifestP99Ms: number;
  readonly manifestP999Ms: number;
  readonly pushes: number;
  readonly pushP50Ms: number;
  readonly pushLongestMs: number;
  /** The most that the log of the database had, in MB. */
  readonly logMb: number;
  /** The most memory that the server had, in MB. */
  readonly memoryMb: number;
}

function environmentOf(data: string, env: Environment): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    REGISTRY_HTTP_ADDR: "127.0.0.1:0",
    REGISTRY_LOG_LEVEL: "warn",
    REGISTRY_WORKERS: "1",
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: data,
    ...env,
  };
}

/** Starts a server of the version on one of its folders. */
export async function startServer({ root }: Version, data: string, env: Environment): Promise<Server> {
  const startedAt = performance.now();
  const child = Bun.spawn([join(root, "bin/stowage"), "serve", "--log-level", "info"], {
    cwd: tmpdir(),
    env: environmentOf(data, env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { promise: listening, resolve, reject } = Promise.withResolvers<string>();
  let printed = "";
  void (async () => {
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (printed.length < 10_000) printed += piece;
      const address = /Listening on (http:\/\/[^\s"]+)["\n]/.exec(printed);
      if (address?.[1]) resolve(address[1]);
    }
    reject(new Error(`the server ended before it listened:\n${printed}`));
  })();
  const url = await listening;
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid,
    startedInMs: performance.now() - startedAt,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** Runs a command of the version to its end, whatever its exit code is. */
export async function runCommand(
  { root }: Version,
  data: string,
  words: readonly string[],
  env: Environment = {},
): Promise<CommandRun> {
  const startedAt = performance.now();
  const child = Bun.spawn([join(root, "bin/stowage"), ...words], {
    cwd: tmpdir(),
    env: environmentOf(data, env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const texts = await Promise.all([lastOf(child.stdout), lastOf(child.stderr), child.exited]);
  const bytes = child.resourceUsage()?.maxRSS ?? 0;
  return {
    seconds: (performance.now() - startedAt) / 1000,
    memoryMb: bytes / 1e6,
    output: `${texts[0]}${texts[1]}`,
  };
}

/** The end of what comes: lists of a million lines are read and not kept. */
async function lastOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const piece of stream) text = (text + Buffer.from(piece).toString("latin1")).slice(-2000);
  return text;
}

export interface Beside {
  /** Pushes beside the work in a second, or as many as there can be; 10 when absent. */
  readonly pushesPerSecond?: number;
  /** Clients that push; 8 when absent. */
  readonly pushers?: number;
}

/** Images that pulls go round, so that some are read from the database and others are cached. */
const PULLED = Array.from({ length: 50 }, (_, at) => `/v2/${repositoryOf(at)}/manifests/${FIRST_TAG}`);

/** Runs `work` beside pulls, pushes and a client that asks for `/healthz` every 2 ms, and tells what they waited for. */
export async function measureBeside(
  { url, port, pid }: Server,
  data: string,
  { pushesPerSecond = 10, pushers = 8 }: Beside,
  pulled: readonly string[] | undefined,
  work: () => Promise<unknown>,
): Promise<Measured> {
  await using health = await Pinger.start(url);
  await using pulls = await Pinger.start(url, { paths: pulled ?? PULLED, pauseMs: 5 });
  const pushing = await Pushers.start(port, pushers, pushesPerSecond);
  await Bun.sleep(500);
  await Promise.all([health.waits(), pulls.waits()]);
  pushing.millis.length = 0;
  let [logBytes, memoryMb] = [0, 0];
  const sample = async (): Promise<void> => {
    logBytes = Math.max(logBytes, (await stat(join(data, "registry.db-wal")).catch(() => undefined))?.size ?? 0);
    memoryMb = Math.max(memoryMb, await residentMb(pid).catch(() => 0));
  };
  const sampling = setInterval(() => void sample(), 100);
  const startedAt = performance.now();
  try {
    await work();
  } finally {
    clearInterval(sampling);
  }
  await sample();
  const seconds = (performance.now() - startedAt) / 1000;
  const [healthWaits, pullWaits] = await Promise.all([health.waits(), pulls.waits()]);
  const pushed = (await pushing.stop()).toSorted((a, b) => a - b);
  if (pullWaits.failures > 0) console.error(`${pullWaits.failures} of ${pullWaits.count} pulls were refused`);
  return {
    seconds,
    healthzLongestMs: healthWaits.longestMs,
    manifestP99Ms: pullWaits.p99Ms,
    manifestP999Ms: pullWaits.p999Ms,
    pushes: pushed.length,
    pushP50Ms: pushed[Math.floor(pushed.length / 2)] ?? 0,
    pushLongestMs: pushed.at(-1) ?? 0,
    logMb: logBytes / 1e6,
    memoryMb,
  };
}
