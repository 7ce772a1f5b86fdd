/**
 * What events cost pushes: small images are pushed to a server without them, to one that keeps them for
 * readers, and to one that sends each of them to an endpoint.
 *
 *   tools/bun bench/events.ts [--rounds N] [--images N]
 *
 * Their rounds alternate, so that whatever else the machine does meets all of them. One line for each: images per second, and
 * CPU of the server per image, as medians of the rounds.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Receiver } from "../src/registry/events/testing/receiver.ts";
import { startRegistry } from "../test/support/registry.ts";
import type { RunningRegistry } from "../test/support/registry.ts";
import { smallImages } from "./loads/bodies.ts";
import { Connection } from "./loads/connection.ts";
import { percentile } from "./loads/load.ts";
import { pushImage } from "./loads/pusher.ts";
import { cpuSeconds } from "./process-tree.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, images: { type: "string", default: "800" } },
});
const rounds = Number(values.rounds);
const images = Number(values.images);

const WRITERS = 16;
/** Of a small image: its layer, its configuration and its manifest. */
const EVENTS_PER_IMAGE = 3;

interface Subject {
  readonly name: string;
  readonly server: RunningRegistry;
  /** Resolves once all events of so many images were taken. */
  settled(pushed: number): Promise<void>;
  readonly perSecond: number[];
  readonly cpu: number[];
}

async function measure(subject: Subject, round: number): Promise<void> {
  const { server, perSecond, cpu } = subject;
  const bodies = smallImages(images).values();
  const connections = await Promise.all(Array.from({ length: WRITERS }, () => Connection.open(server.port)));
  const [startedAt, cpuBefore] = [performance.now(), await cpuSeconds(server.pid)];
  await Promise.all(
    connections.map(async (connection, writer) => {
      for (const image of bodies) await pushImage(connection, `push/${writer}`, crypto.randomUUID(), image);
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  await subject.settled((round + 1) * images);
  for (const connection of connections) connection[Symbol.dispose]();
  if (round === 0) return; // to warm up
  perSecond.push(images / seconds);
  cpu.push(((await cpuSeconds(server.pid)) - cpuBefore) / images);
}

const median = (numbers: readonly number[]): number =>
  percentile(
    numbers.toSorted((a, b) => a - b),
    0.5,
  );

const folder = await mkdtemp(join(tmpdir(), "stowage-bench-events-"));
try {
  await using receiver = await Receiver.start();
  const endpoints = JSON.stringify([{ name: "hook", url: receiver.url, ignore: { actions: ["pull"] } }]);
  const env = { REGISTRY_LOG_LEVEL: "info", REGISTRY_GC_ENABLED: "false" };
  await using without = await startRegistry({ dataDir: join(folder, "without"), env });
  await using sending = await startRegistry({
    dataDir: join(folder, "sending"),
    env: { ...env, REGISTRY_NOTIFICATIONS_ENDPOINTS: endpoints },
  });
  await using keeping = await startRegistry({
    dataDir: join(folder, "keeping"),
    env: { ...env, REGISTRY_EVENTS_KEEP: "1h" },
  });
  const subjects: readonly Subject[] = [
    { name: "without events", server: without, settled: async () => {}, perSecond: [], cpu: [] },
    { name: "with events that are kept", server: keeping, settled: async () => {}, perSecond: [], cpu: [] },
    {
      name: "with events that are sent",
      server: sending,
      async settled(pushed) {
        while (receiver.taken.length < pushed * EVENTS_PER_IMAGE) await Bun.sleep(20);
      },
      perSecond: [],
      cpu: [],
    },
  ];
  for (let round = 0; round <= rounds; round++) for (const subject of subjects) await measure(subject, round);
  const [base] = subjects;
  for (const { name, perSecond, cpu } of subjects) {
    const [speed, used] = [median(perSecond), median(cpu)];
    const ratios = `${(speed / median(base?.perSecond ?? [])).toFixed(2)} ×, ${(used / median(base?.cpu ?? [])).toFixed(2)} ×`;
    console.log(`${name}: ${speed.toFixed(0)} images/s, ${(used * 1000).toFixed(2)} ms of CPU per image (${ratios})`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
