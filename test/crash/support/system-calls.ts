/** The order in which a server asks the system for things, as strace tells it. */
import { readFile } from "node:fs/promises";

export interface SystemCall {
  readonly name: string;
  /** As strace writes them, with the path behind each descriptor. */
  readonly args: string;
  /** Lines of the trace: where it began and where it had been carried out. */
  readonly start: number;
  readonly end: number;
  /** Less than 0 when it failed. */
  readonly result: number;
}

/** Those that make something last, and those that tell of it. */
const LASTING =
  "fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile";

/**
 * The words to put before a command so that `calls` of it, names as strace has them, are written to `file`. Throws when
 * strace is not there.
 */
export function tracing(file: string, calls: string = LASTING): readonly string[] {
  const strace = Bun.which("strace");
  if (strace === null) throw new Error("strace is missing, which this test needs: apt-get install strace");
  return [strace, "-f", "-y", "-s", "64", "-o", file, "-e", `trace=${calls}`, "-e", "signal=none"];
}

/** The calls that succeeded, in the order in which they began. */
export async function readTrace(file: string): Promise<readonly SystemCall[]> {
  return (await readWholeTrace(file)).filter(({ result }) => result >= 0);
}

/** All calls, in the order in which they began. */
export async function readWholeTrace(file: string): Promise<readonly SystemCall[]> {
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, Omit<SystemCall, "end" | "result">>();
  for (const [line, text] of (await readFile(file, "utf8")).split("\n").entries()) {
    const [, process = "", rest = ""] = /^(\d+) +(.*)$/.exec(text) ?? [];
    const begun = /^(\w+)\((.*) <unfinished \.\.\.>$/.exec(rest);
    const resumed = /^<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)/.exec(rest);
    const whole = /^(\w+)\((.*)\) += (-?\d+)/.exec(rest);
    if (begun) {
      unfinished.set(process, { name: begun[1] ?? "", args: begun[2] ?? "", start: line });
    } else if (resumed) {
      const call = unfinished.get(process);
      unfinished.delete(process);
      const result = Number(resumed[3]);
      if (call) calls.push({ ...call, args: `${call.args}${resumed[2]}`, end: line, result });
    } else if (whole) {
      calls.push({ name: whole[1] ?? "", args: whole[2] ?? "", start: line, end: line, result: Number(whole[3]) });
    }
  }
  return calls.toSorted((a, b) => a.start - b.start);
}
