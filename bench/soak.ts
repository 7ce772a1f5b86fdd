/**
 * Hours of pulls, pushes, deletions, collection and backups at once, on a large registry: nothing may grow that should not.
 *
 *   tools/bun bench/soak.ts --seeded FOLDER [--minutes N]
 *
 * FOLDER/large is filled by `bench/support/large-registry.ts`; the soak works on a copy. It prints a line each minute, and at the
 * end how memory, file descriptors and the log of the database at the end compare with those after a quarter of the time.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Pinger } from "../test/stalls/support/pinger.ts";
import { residentMb } from "../test/support/resident.ts";
import { Pushers } from "./stalls/pushers.ts";
import { runCommand, startServer } from "./stalls/version.ts";
import { FIRST_TAG, repositoryOf } from "./support/large-registry.ts";

const { values: options } = parseArgs({
  options: {
    seeded: { type: "string" },
    minutes: { type: "string", default: "60" },
    pushes: { type: "string", default: "20" },
  },
});
if (options.seeded === undefined)
  throw new Error("--seeded FOLDER is missing: bench/support/large-registry.ts fills it");
const minutes = Number(options.minutes);
const data = `${resolve(options.seeded)}-soak`;
const here = { name: "soak", root: resolve(import.meta.dir, ".."), data };

/** So much is collected all the time. The lease is long enough for a push. */
const ENVIRONMENT = {
  REGISTRY_GC_LEASE: "30s",
  REGISTRY_GC_GRACE: "0",
  REGISTRY_GC_UNDO: "0",
  REGISTRY_GC_FRESH: "0",
  REGISTRY_GC_UNTAGGED: "true",
  REGISTRY_GC_INTERVAL: "5s",
  REGISTRY_SCRUB_PAUSE: "1m",
};

/** Images that pulls go round: some are cached, most are read. */
const PULLED = Array.from({ length: 5000 }, (_, at) => `/v2/${repositoryOf(1000 + at)}/manifests/${FIRST_TAG}`);

interface Sample {
  readonly residentMb: number;
  readonly descriptors: number;
  readonly logMb: number;
}

async function sampleOf(pid: number): Promise<Sample> {
  const log = await stat(join(data, "registry.db-wal"));
  return {
    residentMb: await residentMb(pid),
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
    logMb: log.size / 1e6,
  };
}

/** Deletes repositories of the seeded ones, one after the other: their manifests, which collection then takes apart. */
async function deleteAll(url: string, isOver: () => boolean): Promise<number> {
  let deleted = 0;
  for (let at = 10_000; !isOver(); at++) {
    const manifests = `${url}/v2/${repositoryOf(at)}/manifests`;
    for (let image = 0; image < 5; image++) {
      const head = await fetch(`${manifests}/v${image}-0`, { method: "HEAD" });
      const digest = head.headers.get("docker-content-digest");
      if (digest === null) return deleted;
      const reply = await fetch(`${manifests}/${digest}`, { method: "DELETE" });
      if (reply.status !== 202) throw new Error(`DELETE was answered with ${reply.status}`);
      deleted++;
    }
    await Bun.sleep(500);
  }
  return deleted;
}

async function backUpAgain(isOver: () => boolean): Promise<number> {
  const copy = `${data}-backup`;
  let backups = 0;
  while (!isOver()) {
    await rm(copy, { recursive: true, force: true });
    const { output } = await runCommand(here, join(data), ["backup", copy]);
    if (!/backup/i.test(output)) throw new Error(`backup: ${output}`);
    backups++;
    for (let seconds = 0; seconds < 60 && !isOver(); seconds++) await Bun.sleep(1000);
  }
  await rm(copy, { recursive: true, force: true });
  return backups;
}

await rm(data, { recursive: true, force: true });
const copying = Bun.spawn(["cp", "-a", "--sparse=always", join(resolve(options.seeded), "large"), data]);
if ((await copying.exited) !== 0) throw new Error(`${options.seeded} could not be copied`);
try {
  await using server = await startServer(here, data, ENVIRONMENT);
  await using health = await Pinger.start(server.url);
  await using pulls = await Pinger.start(server.url, { paths: PULLED, pauseMs: 5 });
  let ended = false;
  const isOver = (): boolean => ended;
  const pushing = await Pushers.start(server.port, 8, Number(options.pushes));
  const others = Promise.all([deleteAll(server.url, isOver), backUpAgain(isOver)]);
  others.catch(() => (ended = true));
  console.log(
    "| minute | memory, MB | descriptors | log, MB | longest /healthz, ms | pulls p99, ms | pulls p99.9, ms | pushes |",
  );
  console.log("|--:|--:|--:|--:|--:|--:|--:|--:|");
  const samples: Sample[] = [];
  for (let minute = 1; minute <= minutes && !isOver(); minute++) {
    let logMb = 0;
    for (let second = 0; second < 60 && !isOver(); second++) {
      await Bun.sleep(1000);
      logMb = Math.max(logMb, (await sampleOf(server.pid)).logMb);
    }
    const sample = { ...(await sampleOf(server.pid)), logMb };
    const [healthz, pulled] = await Promise.all([health.waits(), pulls.waits()]);
    samples.push(sample);
    const figures = [
      minute,
      sample.residentMb.toFixed(0),
      sample.descriptors,
      logMb.toFixed(0),
      healthz.longestMs.toFixed(0),
      pulled.p99Ms.toFixed(1),
      pulled.p999Ms.toFixed(1),
      pushing.millis.length,
    ];
    console.log(`| ${figures.join(" | ")} |`);
    if (pulled.failures > 0) throw new Error(`${pulled.failures} pulls were refused`);
  }
  ended = true;
  const pushed = await pushing.stop();
  const [deleted, backups] = await others;
  const early = samples[Math.floor(samples.length / 4)]!;
  const late = samples.at(-1)!;
  console.log(`${pushed.length} pushes, ${deleted} deletions, ${backups} backups`);
  for (const what of ["residentMb", "descriptors", "logMb"] as const) {
    console.log(`${what}: ${early[what].toFixed(0)} after a quarter of the time, ${late[what].toFixed(0)} at the end`);
  }
} finally {
  await rm(data, { recursive: true, force: true });
}
