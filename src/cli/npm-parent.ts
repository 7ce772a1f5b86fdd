/** Detects that the npm process that started this program has ended: nothing else would stop the program then. */
import { readFileSync } from "node:fs";

/** How often it is looked whether npm is still there. */
const LOOK_MS = 500;

/** Whether npm, or a program like it, runs this one as a script of a package. */
export function isStartedByNpm(environment: Readonly<Record<string, string | undefined>>): boolean {
  return environment["npm_lifecycle_event"] !== undefined;
}

/**
 * Calls `gone` when the npm that started this program, or the shell between the two, has ended: neither passes on the
 * signal that ended it. Call it only when npm did.
 */
export function watchNpm(environment: Readonly<Record<string, string | undefined>>, gone: () => void): void {
  // `npm start` ends in `exec`, so npm is the parent; `npx` has a shell in between, which cannot be told to do that.
  const generations = environment["npm_command"] === "exec" ? 2 : 1;
  const chain = ancestors(generations);
  const looking = setInterval(() => {
    if (ancestors(generations) === chain) return;
    clearInterval(looking);
    gone();
  }, LOOK_MS);
  looking.unref();
}

/** The numbers of the process that started this one, and of the one before it where Linux tells. */
function ancestors(generations: number): string {
  const parent = process.ppid;
  return generations === 1 ? `${parent}` : `${parent} ${parentOf(parent)}`;
}

function parentOf(pid: number): string {
  try {
    // "pid (name) state ppid …": the name may hold anything.
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")[1] ?? "";
  } catch {
    return "";
  }
}
