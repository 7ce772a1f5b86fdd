/**
 * Stowage and its peers side by side, in turns, on this machine.
 *
 *   tools/bun bench/run.ts [--rows PATTERN] [--peers stowage,nginx,…] [--rounds N] [--seconds N] [--json FILE] [--svg FILE]
 *
 * It builds the peers that are written in Go, and needs wrk and nginx. For each row it starts all peers on the same
 * content, warms each up, and measures them one after the other, as many rounds as are asked for.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeContents } from "./contents.ts";
import { measureInTurns } from "./measure.ts";
import { peersOf } from "./peers/all.ts";
import { PEERS } from "./peers/peer.ts";
import { startPeer } from "./peers/server.ts";
import type { PeerServer } from "./peers/server.ts";
import { plotOf } from "./plot.ts";
import { settingOf } from "./setting.ts";
import type { Results, RowResult } from "./results.ts";
import { blobs } from "./rows/blobs.ts";
import { images } from "./rows/images.ts";
import { lists } from "./rows/lists.ts";
import { manifests } from "./rows/manifests.ts";
import { pushes } from "./rows/pushes.ts";
import type { Contents, Row } from "./rows/row.ts";
import { starts } from "./rows/starts.ts";
import { TABLE_HEAD, tableOf } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "" },
    peers: { type: "string", default: PEERS.join(",") },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "3" },
    json: { type: "string" },
    svg: { type: "string" },
  },
});
const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)];
const peers = peersOf(options.peers);
const rows = [...blobs, ...manifests, ...lists, ...images, ...pushes, ...starts].filter(({ name }) =>
  new RegExp(options.rows).test(name),
);

/** Rows that only read share a registry with those that need the same content. */
function groupOf(row: Row): string {
  const isAlone = row.kind === "load" && row.pushes;
  return `${isAlone ? row.name : ""} ${row.needs.join(" ")}`;
}

async function measureGroup(group: readonly Row[], folder: string): Promise<readonly RowResult[]> {
  const repositories = await makeContents(new Set(group.flatMap(({ needs }) => needs)), folder);
  const contents: Contents = new Map(repositories.map((repository) => [repository.name, repository]));
  await using stack = new AsyncDisposableStack();
  const servers: PeerServer[] = [];
  for (const peer of peers) servers.push(stack.use(await startPeer(peer, folder, repositories)));
  const measured: RowResult[] = [];
  for (const row of group) {
    const result = await measureInTurns(row, servers, contents, { rounds, seconds });
    console.log(tableOf(result));
    measured.push(result);
  }
  return measured;
}

function resultsOf(measured: readonly RowResult[]): Results {
  return {
    ...settingOf(peers),
    rounds,
    seconds,
    rows: measured,
  };
}

const measured: RowResult[] = [];
console.log(TABLE_HEAD);
for (const group of Map.groupBy(rows, groupOf).values()) {
  const folder = await mkdtemp(join(tmpdir(), "stowage-bench-run-"));
  try {
    measured.push(...(await measureGroup(group, folder)));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  // Again after each group: a long run that is broken off is not lost.
  const results = resultsOf(measured);
  if (options.json !== undefined) await Bun.write(options.json, `${JSON.stringify(results, null, 2)}\n`);
  if (options.svg !== undefined) await Bun.write(options.svg, plotOf(results));
}
