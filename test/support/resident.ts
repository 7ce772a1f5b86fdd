/** How much memory a process uses. */
import { readFile } from "node:fs/promises";

/** Megabytes of memory that are the process's now. */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
