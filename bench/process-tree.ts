/** What a process and all that it started have used, as Linux counts it in /proc. */
import { readdir, readFile } from "node:fs/promises";

/** Linux tells times to programs in hundredths of a second, on every machine. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, in user and kernel mode, of a process, its descendants, and those of them that have ended. */
export async function cpuSeconds(pid: number): Promise<number> {
  const tree = await treeOf(pid);
  return tree.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND;
}

/** Memory of a process and its descendants in MB; what several processes share counts once (PSS). */
export async function memoryMb(pid: number): Promise<number> {
  let kilobytes = 0;
  for (const process of await treeOf(pid)) {
    const rollup = await factsOf(process.pid, "smaps_rollup");
    kilobytes += Number(/^Pss:\s+(\d+) kB/m.exec(rollup ?? "")?.[1] ?? 0);
  }
  return (kilobytes * 1024) / 1e6;
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

async function treeOf(root: number): Promise<readonly ProcessStat[]> {
  const entries = await readdir("/proc");
  const pids = entries.map(Number).filter((pid) => pid > 0);
  const all = (await Promise.all(pids.map(statOf))).filter((stat) => stat !== undefined);
  const tree = all.filter(({ pid }) => pid === root);
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

async function statOf(pid: number): Promise<ProcessStat | undefined> {
  const text = await factsOf(pid, "stat");
  if (text === undefined) return undefined;
  // Behind the name, which may hold anything: state, parent, …, and as 12th to 15th utime, stime, cutime, cstime.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { pid, parent: Number(fields[1]), ticks };
}

/** Undefined when there is no such process any more. */
async function factsOf(pid: number, file: "stat" | "smaps_rollup"): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/${file}`, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
