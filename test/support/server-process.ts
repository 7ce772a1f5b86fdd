/** A server on any address, whose output can be waited for and which can be signalled while it works. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROGRAM, WORKERS } from "./registry.ts";

export interface ServerProcessOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is started; `bin/stowage` of the checkout when absent. */
  readonly program?: string;
  /** The command line after the program; `serve` when absent. */
  readonly words?: readonly string[];
  /** What is put before the program, such as `setpriv` with its options. */
  readonly wrapper?: readonly string[];
  /** The data folder; a fresh one, removed at the end, when absent. */
  readonly dataDir?: string;
  /** The umask that the program starts with. */
  readonly umask?: number;
  /** The folder that the program starts in; the one for temporary files when absent. */
  readonly cwd?: string;
  /** The number of an open file that its standard output is; what it prints there is then not in `output`. */
  readonly stdout?: number;
}

/** Disposing it kills it, and removes the folder that it was given. */
export interface ServerProcess extends AsyncDisposable {
  readonly dataDir: string;
  readonly pid: number;
  /** Its exit code when it has ended; null when a signal ended it. */
  readonly ended: Promise<number | null>;
  /** All that it has printed so far, on both of its outputs. */
  output(): string;
  /** What it has printed on standard error so far. */
  errors(): string;
  /** Resolves when what it has printed matches; rejects when it ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  signal(name: NodeJS.Signals): void;
  /** Asks it to stop and gives its exit code. */
  stop(): Promise<number | null>;
}

export interface Listening extends ServerProcess {
  /** Such as `http://127.0.0.1:40123` or `unix:/tmp/socket`. */
  readonly url: string;
  readonly port: number;
}

/** Starts the program; it may still end by itself. */
export async function startProcess(options: ServerProcessOptions = {}): Promise<ServerProcess> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "stowage-program-")));
  const child = spawn(options, dataDir);
  const printed = { all: "", errors: "" };
  let more = Promise.withResolvers<void>();
  const drain = async (stream: ReadableStream<Uint8Array>, isError: boolean): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const piece of stream) {
      const text = decoder.decode(piece, { stream: true });
      printed.all += text;
      if (isError) printed.errors += text;
      more.resolve();
      more = Promise.withResolvers();
    }
  };
  let isOver = false;
  const end = async (): Promise<number | null> => {
    const drained = typeof child.stdout === "object" ? drain(child.stdout, false) : undefined;
    await Promise.all([drained, drain(child.stderr, true), child.exited]);
    isOver = true;
    more.resolve();
    return child.signalCode === null ? child.exitCode : null;
  };
  const ended = end();
  return {
    dataDir,
    pid: child.pid,
    ended,
    output: () => printed.all,
    errors: () => printed.errors,
    async printed(pattern) {
      for (;;) {
        const match = pattern.exec(printed.all);
        if (match) return match;
        if (isOver) throw new Error(`it ended before it printed ${pattern}:\n${printed.all}`);
        await more.promise;
      }
    },
    signal: (name) => child.kill(name),
    async stop() {
      child.kill("SIGTERM");
      return await ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Starts a server; resolves when it says where it listens. */
export async function startListening(options: ServerProcessOptions = {}): Promise<Listening> {
  const server = await startProcess(options);
  try {
    const [, url = ""] = await server.printed(/Listening on ([^\s"]+)["\n]/);
    return { ...server, url, port: Number(/:(\d+)$/.exec(url)?.[1] ?? 0) };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

function spawn(
  { program = PROGRAM, words = ["serve"], wrapper = [], env = {}, umask, cwd = tmpdir(), stdout }: ServerProcessOptions,
  dataDir: string,
) {
  const before = umask === undefined ? undefined : process.umask(umask);
  try {
    return Bun.spawn([...wrapper, program, ...words], {
      cwd,
      env: {
        PATH: process.env["PATH"] ?? "",
        REGISTRY_HTTP_ADDR: "127.0.0.1:0",
        REGISTRY_WORKERS: WORKERS,
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: dataDir,
        ...env,
      },
      stdin: "ignore",
      stdout: stdout ?? "pipe",
      stderr: "pipe",
    });
  } finally {
    if (before !== undefined) process.umask(before);
  }
}
