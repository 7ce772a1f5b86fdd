/**
 * Replays a trace against Stowage and its peers, faster and faster, and tells for each the highest speed that it sustains.
 *
 *   tools/bun bench/replay.ts [--mix ibm|modern] [--trace FILE] [--peers stowage,distribution,olareg] [--seed N]
 *     [--requests N] [--cap BYTES] [--seconds N] [--rounds N] [--first SPEED] [--reads-only] [--json FILE]
 *
 * The trace is made up unless there is a file of one (bench/trace.ts). Every attempt lasts as many seconds, or until the
 * trace is over. With nginx among the peers only what reads can be played; it shows what the player can do.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { comeToRest } from "./measure.ts";
import { peersOf } from "./peers/all.ts";
import { startPeer } from "./peers/server.ts";
import type { PeerServer } from "./peers/server.ts";
import { cpuSeconds, memoryMb } from "./process-tree.ts";
import { generateTrace } from "./replay/generator.ts";
import { mixOf } from "./replay/mixes.ts";
import { isSustained, outcomeOf } from "./replay/outcome.ts";
import { play } from "./replay/player.ts";
import { makePrefill, prefillOf } from "./replay/prefill.ts";
import { ATTEMPT_HEAD, attemptLine, summaryOf } from "./replay/report.ts";
import type { Attempt, PeerAttempt } from "./replay/report.ts";
import { findSustained } from "./replay/saturation.ts";
import { scriptOf } from "./replay/script.ts";
import type { Step } from "./replay/script.ts";
import { parseTrace, requestsIn } from "./replay/trace.ts";
import type { Op, TraceLine } from "./replay/trace.ts";
import { settingOf } from "./setting.ts";
import { short } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    mix: { type: "string", default: "ibm" },
    trace: { type: "string" },
    peers: { type: "string", default: "stowage,distribution,olareg" },
    seed: { type: "string", default: "1" },
    requests: { type: "string", default: "40000" },
    cap: { type: "string", default: String(2 ** 20) },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "1" },
    first: { type: "string", default: "32" },
    "reads-only": { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const [seconds, rounds, capBytes] = [Number(options.seconds), Number(options.rounds), Number(options.cap)];
const peers = peersOf(options.peers);

const READS: ReadonlySet<Op> = new Set(["ping", "head-manifest", "get-manifest", "head-blob", "get-blob"]);

/** A shorter attempt says nothing. */
const LEAST_SECONDS = 2;

async function readTrace(): Promise<readonly TraceLine[]> {
  const lines =
    options.trace === undefined
      ? generateTrace({ mix: mixOf(options.mix), requests: Number(options.requests), seed: Number(options.seed) })
      : parseTrace(await Bun.file(options.trace).text());
  // None of the peers is set up to ask for tokens, and so none issues them.
  return lines.filter(({ op }) => op !== "token" && (!options["reads-only"] || READS.has(op)));
}

async function attempt(server: PeerServer, script: readonly Step[], speed: number): Promise<Attempt> {
  Bun.spawnSync(["sync"]); // what was written before must not be written back meanwhile
  const [before, own] = [await cpuSeconds(server.pid), process.cpuUsage()];
  const outcome = outcomeOf(speed, await play(script, { port: server.port, speed }));
  const { user, system } = process.cpuUsage(own);
  const serverCpu = (await cpuSeconds(server.pid)) - before;
  await comeToRest(server.pid);
  return {
    ...outcome,
    isSustained: isSustained(outcome),
    cpuMsPerRequest: (serverCpu * 1000) / outcome.requests,
    playerCpuShare: (user + system) / 1e6 / outcome.seconds,
    memoryMb: await memoryMb(server.pid),
  };
}

const reader = peers.find(({ name }) => name === "nginx" || name === "bun");
if (reader && !options["reads-only"]) {
  throw new Error(`${reader.name} takes no pushes: add --reads-only`);
}
const lines = await readTrace();
const prefill = prefillOf(lines, capBytes);
const spanSeconds = (lines.at(-1)?.t_ms ?? 0) / 1000;
const requestsPerSecond = requestsIn(lines) / spanSeconds;
const highest = spanSeconds / LEAST_SECONDS;
const attempts: PeerAttempt[] = [];
const folder = await mkdtemp(join(tmpdir(), "stowage-bench-replay-"));
try {
  await mkdir(join(folder, "blobs"));
  const made = await makePrefill(prefill, join(folder, "blobs"));
  const bytes = made.digests.keys().reduce((sum, ref) => sum + (prefill.sizes.get(ref) ?? 0), 0);
  console.log(
    `${requestsIn(lines)} requests in ${Math.round(spanSeconds)} s, ${requestsPerSecond.toFixed(1)} a second at 1×. ` +
      `There before: ${made.repositories.length} repositories, ${made.digests.size} blobs, ${short(bytes / 1e9)} GB.\n`,
  );
  await using stack = new AsyncDisposableStack();
  const servers: PeerServer[] = [];
  for (const peer of peers) servers.push(stack.use(await startPeer(peer, folder, made.repositories)));
  console.log(ATTEMPT_HEAD);
  let run = 0;
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      await findSustained(
        async (speed) => {
          const due = lines.filter(({ t_ms }) => t_ms <= seconds * 1000 * speed);
          const result = await attempt(server, scriptOf(due, prefill, made, run++), speed);
          attempts.push({ peer: server.peer.name, round, attempt: result });
          console.log(attemptLine(server.peer.name, result));
          return result.isSustained;
        },
        { first: Math.min(Number(options.first), highest), bisections: 2, lowest: 1, highest },
      );
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(`\n${summaryOf(attempts, requestsPerSecond)}`);
if (options.json !== undefined) {
  const { mix, trace, seed, requests } = options;
  const results = {
    ...settingOf(peers),
    trace: trace ?? { mix, seed: Number(seed), requests: Number(requests) },
    readsOnly: options["reads-only"],
    capBytes,
    seconds,
    rounds,
    requestsPerSecond,
    attempts,
  };
  await Bun.write(options.json, `${JSON.stringify(results, null, 2)}\n`);
}
