/** Programs of the system that the image is built with. */

interface Options {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end; rejects when it fails. What it prints is shown as it comes. */
export async function runProgram(words: readonly string[], options: Options = {}): Promise<void> {
  const child = Bun.spawn([...words], { ...childOptions(options), stdin: "ignore", stdout: 2, stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`${words.join(" ")} ended with ${child.exitCode}`);
}

/** Resolves with the standard output of a program; rejects when it fails. */
export async function outputOf(words: readonly string[], options: Options = {}): Promise<string> {
  const child = Bun.spawn([...words], { ...childOptions(options), stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const text = await child.stdout.text();
  if ((await child.exited) !== 0) throw new Error(`${words.join(" ")} ended with ${child.exitCode}`);
  return text;
}

/** Messages and sort orders of programs are the same everywhere. */
function childOptions({ cwd, env = {} }: Options) {
  return { ...(cwd === undefined ? {} : { cwd }), env: { ...process.env, LC_ALL: "C.UTF-8", ...env } };
}
