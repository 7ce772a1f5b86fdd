/** What Linux tells of processes: which others one has started, and which connections it holds. */
import { readFile, readdir, readlink } from "node:fs/promises";

/** The processes that `pid` has started and that have not ended. */
export async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const lists = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, "utf8")));
  return lists.join(" ").split(" ").filter(Boolean).map(Number);
}

/** How many connections that came to `port` the process holds. */
export async function countConnections(pid: number, port: number): Promise<number> {
  const sockets = await connectionsTo(port);
  const folder = `/proc/${pid}/fd`;
  const files = await readdir(folder);
  const targets = await Promise.all(files.map((file) => readlink(`${folder}/${file}`).catch(() => ""))); // closed by now
  return targets.filter((target) => sockets.has(target)).length;
}

const ESTABLISHED = "01";

/** As the links in /proc name them: the kernel's table has one line for each, with ports in hexadecimal. */
async function connectionsTo(port: number): Promise<ReadonlySet<string>> {
  const lines = (await readFile("/proc/net/tcp", "utf8")).trim().split("\n").slice(1);
  const hexadecimal = port.toString(16).toUpperCase().padStart(4, "0");
  return new Set(
    lines
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => local?.endsWith(`:${hexadecimal}`) && state === ESTABLISHED)
      .map((fields) => `socket:[${fields[9]}]`),
  );
}
