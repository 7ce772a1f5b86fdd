/** Runs commands of the real program to their end, and servers that are killed with all that they started. */
import { tmpdir } from "node:os";
import { PROGRAM, WORKERS } from "./registry.ts";

export interface Ended {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Environment = Readonly<Record<string, string>>;

/**
 * Runs `stowage` with these words on a data folder, with `input` on its standard input, and waits for its end; `under` a
 * program that starts it, such as setpriv.
 */
export async function runProgram(
  dataDir: string,
  words: readonly string[],
  env: Environment = {},
  input: string = "",
  under: readonly string[] = [],
): Promise<Ended> {
  const child = spawn(dataDir, words, env, under, Buffer.from(input));
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  return { exitCode: child.signalCode === null ? child.exitCode : null, stdout, stderr };
}

/** A process with a process group of its own. */
export interface ProcessGroup {
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  /** All that it has printed so far. */
  output(): string;
  /** Resolves when what it has printed matches; rejects when it ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends every process of the group at once, whatever it does, and resolves when it is gone. */
  kill(): Promise<void>;
  /** Asks every process of the group to end and resolves when it has. */
  stop(): Promise<void>;
}

/** Starts a command of `stowage` in a process group of its own, `under` a program that starts it, such as strace. */
export function startGroup(
  dataDir: string,
  words: readonly string[],
  env: Environment = {},
  under: readonly string[] = [],
): ProcessGroup {
  const child = spawn(dataDir, words, env, under);
  let output = "";
  let more = Promise.withResolvers<void>();
  const drain = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const piece of stream) {
      output += decoder.decode(piece, { stream: true });
      more.resolve();
      more = Promise.withResolvers();
    }
  };
  let isOver = false;
  const end = async (): Promise<void> => {
    await Promise.all([drain(child.stdout), drain(child.stderr), child.exited]);
    isOver = true;
    more.resolve();
  };
  const ended = end();
  return {
    ended,
    output: () => output,
    async printed(pattern) {
      for (;;) {
        const match = pattern.exec(output);
        if (match) return match;
        if (isOver) throw new Error(`stowage ${words.join(" ")} ended before it printed ${pattern}:\n${output}`);
        await more.promise;
      }
    },
    kill: () => signalGroup(child.pid, "SIGKILL", ended),
    stop: () => signalGroup(child.pid, "SIGTERM", ended),
  };
}

export interface ServerGroup extends ProcessGroup {
  /** Such as `http://127.0.0.1:40123`, without a slash at the end. */
  readonly url: string;
}

/** Starts `stowage serve` in a process group of its own; resolves when it says where it listens. */
export async function startServerGroup(
  dataDir: string,
  env: Environment = {},
  under: readonly string[] = [],
): Promise<ServerGroup> {
  const group = startGroup(dataDir, ["serve"], { REGISTRY_HTTP_ADDR: "127.0.0.1:0", ...env }, under);
  const [, url = ""] = await group.printed(/Listening on (http:\/\/[^\s"]+)["\n]/);
  return { ...group, url };
}

async function signalGroup(pid: number, signal: NodeJS.Signals, ended: Promise<void>): Promise<void> {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it has ended by itself
  }
  await ended;
}

function spawn(
  dataDir: string,
  words: readonly string[],
  env: Environment,
  under: readonly string[] = [],
  stdin: Uint8Array | "ignore" = "ignore",
) {
  return Bun.spawn([...under, PROGRAM, ...words], {
    cwd: tmpdir(),
    env: {
      PATH: process.env["PATH"] ?? "",
      REGISTRY_WORKERS: WORKERS,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: dataDir,
      ...env,
    },
    stdin,
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
}
