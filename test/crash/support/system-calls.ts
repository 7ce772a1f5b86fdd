/** The order in which a server asks the system for things, as strace tells it. */
import { readFile } from "node:fs/promises";

export interface SystemCall {
  readonly name: string;
  /** As strace writes them, with the path behind each descriptor. */
  readonly args: string;
  /** Lines of the trace: where it began and where it had been carried out. */
  readonly start: number;
  readonly end: number;
}

const CALLS =
  "fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile";

/** The words to put before a command so that its calls are written to `file`. Throws when strace is not there. */
export function tracing(file: string): readonly string[] {
  const strace = Bun.which("strace");
  if (strace === null) throw new Error("strace is missing, which this test needs: apt-get install strace");
  return [strace, "-f", "-y", "-s", "64", "-o", file, "-e", `trace=${CALLS}`, "-e", "signal=none"];
}

/** The calls that succeeded, in the order in which they began. */
export async function readTrace(file: string): Promise<readonly SystemCall[]> {
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, Omit<SystemCall, "end">>();
  for (const [line, text] of (await readFile(file, "utf8")).split("\n").entries()) {
    const [, process = "", rest = ""] = /^(\d+) +(.*)$/.exec(text) ?? [];
    const begun = /^(\w+)\((.*) <unfinished \.\.\.>$/.exec(rest);
    const resumed = /^<\.\.\. (\w+) resumed>(.*) = (-?\d+)/.exec(rest);
    const whole = /^(\w+)\((.*)\) += (-?\d+)/.exec(rest);
    if (begun) {
      unfinished.set(process, { name: begun[1] ?? "", args: begun[2] ?? "", start: line });
    } else if (resumed) {
      const call = unfinished.get(process);
      unfinished.delete(process);
      if (call && Number(resumed[3]) >= 0) calls.push({ ...call, args: `${call.args}${resumed[2]}`, end: line });
    } else if (whole && Number(whole[3]) >= 0) {
      calls.push({ name: whole[1] ?? "", args: whole[2] ?? "", start: line, end: line });
    }
  }
  return calls.toSorted((a, b) => a.start - b.start);
}
