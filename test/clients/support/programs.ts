/** Client programs: where Debian's are, and how any is run. */
import { existsSync } from "node:fs";
import { HopelessError } from "./until.ts";

/** Debian's own folders alone, so that another build of a client in /usr/local is not what gets tested. */
const DEBIAN_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** The Debian package that brings each program; `.ci/debian-packages` lists the same packages. */
const PACKAGE_OF = {
  buildah: "buildah",
  busybox: "busybox-static",
  caddy: "caddy",
  containerd: "containerd",
  ctr: "containerd",
  docker: "docker.io",
  "docker-registry": "docker-registry",
  dockerd: "docker.io",
  gpg: "gnupg",
  gpgconf: "gnupg",
  haproxy: "haproxy",
  nginx: "nginx",
  podman: "podman",
  skopeo: "skopeo",
  tar: "tar",
  umount: "mount",
} as const;

export type Program = keyof typeof PACKAGE_OF;

/** One of Debian's programs, or the path of another one. */
export type Runnable = Program | `/${string}`;

/** Where `program` is; throws with the name of its Debian package when it is not there. */
export function locate(program: Program): string {
  const found = DEBIAN_PATH.split(":")
    .map((folder) => `${folder}/${program}`)
    .find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(`The program ${program} is missing: apt-get install --no-install-recommends ${PACKAGE_OF[program]}`);
}

function pathOf(program: Runnable): string {
  return isPath(program) ? program : locate(program);
}

function isPath(program: Runnable): program is `/${string}` {
  return program.startsWith("/");
}

/** Throws unless all of `programs` are there and the tests run as root, as daemons and mounts need it. */
export function requirePrograms(...programs: readonly Program[]): void {
  for (const program of programs) locate(program);
  if (process.getuid?.() !== 0)
    throw new Error("The tests with real clients start daemons and mount images: run them as root.");
}

type Environment = Readonly<Record<string, string>>;

export interface RunOptions {
  /** More variables, beside a PATH of Debian's folders. Nothing else is inherited. */
  readonly env?: Environment;
  readonly cwd?: string;
  /** The file that it reads as its standard input; none when absent. */
  readonly stdin?: string;
  /** What it prints when it would try again for long: it is killed then, which is a failure. */
  readonly givesUpAt?: RegExp;
  /** When the program is killed and the run rejected. */
  readonly timeoutMs?: number;
}

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; rejects with all that it printed when it fails. */
export async function run(program: Runnable, words: readonly string[], options: RunOptions = {}): Promise<Output> {
  const { code, ...output } = await runToEnd(program, words, options);
  if (code === 0) return output;
  throw new Error(`${program} ${words.join(" ")}: ended with ${code}\n${output.stdout}${output.stderr}`);
}

/** Runs a program that is expected to fail and gives what it printed; rejects when it succeeds. */
export async function runToFailure(
  program: Runnable,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Output> {
  const { code, ...output } = await runToEnd(program, words, options);
  if (code !== 0) return output;
  throw new Error(`${program} ${words.join(" ")}: succeeded, which it must not\n${output.stdout}${output.stderr}`);
}

/** A program that stays. Disposing it asks it to stop and, when it does not, kills it. */
export interface Daemon extends AsyncDisposable {
  /** Undefined while it runs. */
  exitCode(): number | undefined;
  /** All that it has printed so far. */
  output(): string;
}

export function startDaemon(program: Runnable, words: readonly string[], env: Environment = {}): Daemon {
  let printed = "";
  // A signal at the death of this process: a run that is broken off must not leave daemons behind.
  const child = Bun.spawn(["/usr/bin/setpriv", "--pdeathsig", "TERM", pathOf(program), ...words], {
    env: { PATH: DEBIAN_PATH, HOME: "/nonexistent", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const piece of stream) printed += decoder.decode(piece, { stream: true });
  };
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);
  return {
    exitCode: () => child.exitCode ?? undefined,
    output: () => printed,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const stubborn = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await child.exited;
      clearTimeout(stubborn);
      await collected;
    },
  };
}

/** Throws when a daemon that should still run does not. */
export function throwWhenEnded(name: string, daemon: Daemon): void {
  if (daemon.exitCode() === undefined) return;
  throw new HopelessError(`${name} ended with ${daemon.exitCode()}:\n${daemon.output()}`);
}

async function runToEnd(
  program: Runnable,
  words: readonly string[],
  { env = {}, cwd = "/", stdin, givesUpAt, timeoutMs = 120_000 }: RunOptions,
): Promise<Output & { readonly code: number }> {
  const child = Bun.spawn([pathOf(program), ...words], {
    cwd,
    env: { PATH: DEBIAN_PATH, LC_ALL: "C.UTF-8", ...env },
    stdin: stdin === undefined ? "ignore" : Bun.file(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const read = async (stream: ReadableStream<Uint8Array>): Promise<string> => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const piece of stream) {
      text += decoder.decode(piece, { stream: true });
      if (givesUpAt?.test(text)) child.kill("SIGKILL");
    }
    return text;
  };
  const [stdout, stderr, code] = await Promise.all([read(child.stdout), read(child.stderr), child.exited]);
  clearTimeout(timer);
  if (late) throw new Error(`${program} ${words.join(" ")}: not done after ${timeoutMs} ms\n${stdout}${stderr}`);
  return { stdout, stderr, code };
}
