/** Starts the real program on a folder and a port of its own, for tests that speak to it from outside. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The root of the checkout. */
export const ROOT: string = resolve(import.meta.dir, "../..");

/** The program as a user starts it. */
export const PROGRAM: string = join(ROOT, "bin/stowage");

/** How many workers a server of a test has, on every machine; a developer may say otherwise. */
export const WORKERS: string = process.env["REGISTRY_WORKERS"] ?? "1";

export interface RegistryOptions {
  /** Settings by environment, such as `REGISTRY_STORAGE_DELETE_ENABLED`. */
  readonly env?: Readonly<Record<string, string>>;
  /** More words of the command line, after `serve`. */
  readonly args?: readonly string[];
  /** The data folder; a fresh one, removed at the end, when absent. */
  readonly dataDir?: string;
}

/** A running `bin/stowage serve`. Disposing it stops it and removes the folder that it was given. */
export interface RunningRegistry extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40123`, without a slash at the end. */
  readonly url: string;
  readonly hostname: string;
  readonly port: number;
  readonly dataDir: string;
  readonly pid: number;
  /** All that it has printed so far. */
  output(): string;
  /** Sends a signal and gives the exit code; null when the signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Resolves when the program says where it listens; rejects with its output when it ends before. */
export async function startRegistry(options: RegistryOptions = {}): Promise<RunningRegistry> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "stowage-test-")));
  let printed = "";
  const child = Bun.spawn([PROGRAM, "serve", ...(options.args ?? [])], {
    cwd: tmpdir(),
    env: {
      PATH: process.env["PATH"] ?? "",
      REGISTRY_HTTP_ADDR: "127.0.0.1:0",
      REGISTRY_WORKERS: WORKERS,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: dataDir,
      ...options.env,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const listening = Promise.withResolvers<URL>();
  const drain = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const piece of stream) {
      printed += decoder.decode(piece, { stream: true });
      const address = /Listening on (https?:\/\/[^\s"]+)["\n]/.exec(printed);
      if (address?.[1]) listening.resolve(new URL(address[1]));
    }
  };
  const drained = Promise.all([drain(child.stdout), drain(child.stderr)]);
  const failWhenItEnds = async (): Promise<void> => {
    const code = await child.exited;
    await drained;
    listening.reject(new Error(`stowage serve ended with ${code} before it listened:\n${printed}`));
  };
  void failWhenItEnds();
  const url = await listening.promise;
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> => {
    child.kill(signal);
    await child.exited;
    await drained;
    return child.signalCode === null ? child.exitCode : null;
  };
  return {
    url: url.origin,
    hostname: url.hostname,
    port: Number(url.port),
    dataDir,
    pid: child.pid,
    output: () => printed,
    stop,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await stop("SIGKILL");
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}
