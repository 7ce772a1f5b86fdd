/** Measures a row on every server, in turns. */
import type { PeerName } from "./peers/peer.ts";
import type { PeerServer } from "./peers/server.ts";
import { cpuSeconds, memoryMb } from "./process-tree.ts";
import type { RowResult, Sample, Unit } from "./results.ts";
import type { Contents, Row } from "./rows/row.ts";

const WARM_UP_SECONDS = 3;
const GIB = 2 ** 30;

/** A server is at rest when it uses less CPU than that in such a time; the wait is bounded. */
const REST = { cpuSeconds: 0.02, withinMs: 200, mostTries: 100 };

function unitOf(row: Row): Unit {
  if (row.kind === "start") return "start";
  return row.inBytes ? "byte" : "operation";
}

async function measure(row: Row, server: PeerServer, contents: Contents, seconds: number): Promise<Sample> {
  if (row.kind === "start") {
    const value = await server.restart(row.path);
    const cpu = (await cpuSeconds(server.pid)) * 1000;
    return { value, cpu, p50Ms: value, p90Ms: value, p99Ms: value, memoryMb: await memoryMb(server.pid) };
  }
  // What was written before must not be written back while others are measured.
  if (row.pushes) Bun.spawnSync(["sync"]);
  const before = await cpuSeconds(server.pid);
  const { operations, bytes, seconds: took, latencyMs } = await row.load(server, contents, seconds);
  const used = (await cpuSeconds(server.pid)) - before;
  await comeToRest(server.pid);
  return {
    value: row.inBytes ? bytes / 1e6 / took : operations / took,
    p50Ms: latencyMs.p50,
    p90Ms: latencyMs.p90,
    p99Ms: latencyMs.p99,
    cpu: row.inBytes ? (used * 1e3) / (bytes / GIB) : (used * 1e6) / operations,
    memoryMb: await memoryMb(server.pid),
  };
}

/**
 * Warms every server up, and then measures one after the other, as often as there are rounds. What fails on a server is
 * said in its place, and the others go on.
 */
export async function measureInTurns(
  row: Row,
  servers: readonly PeerServer[],
  contents: Contents,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<RowResult> {
  const results = new Map<PeerName, Sample[] | string>();
  for (const { peer } of servers) results.set(peer.name, row.leftOut?.[peer.name] ?? []);
  for (let round = 0; round <= rounds; round++) {
    for (const server of servers) {
      const samples = results.get(server.peer.name);
      if (typeof samples !== "object") continue;
      try {
        if (round > 0) samples.push(await measure(row, server, contents, seconds));
        else if (row.kind === "load") {
          await row.warmUp?.(server);
          await row.load(server, contents, WARM_UP_SECONDS);
          await comeToRest(server.pid);
        }
      } catch (error) {
        results.set(server.peer.name, `failed: ${(error as Error).message.split("\n")[0]}`);
        process.exitCode = 1;
      }
    }
  }
  return { name: row.name, unit: unitOf(row), peers: Object.fromEntries(results) };
}

/** wrk hangs up in the middle of requests, and some servers work on them long after: not in the time of the next one. */
export async function comeToRest(pid: number): Promise<void> {
  let before = await cpuSeconds(pid);
  for (let tries = 0; tries < REST.mostTries; tries++) {
    await Bun.sleep(REST.withinMs);
    const now = await cpuSeconds(pid);
    if (now - before < REST.cpuSeconds) return;
    before = now;
  }
}
