/** Collection without a pause beside clients that push, mount, rely on and delete the same few digests. */
import { expect, test } from "bun:test";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../../src/index.ts";
import { filesBesideDatabase, queryFolder } from "../support/data-folder.ts";
import { runProgram, startServerGroup } from "../support/program.ts";
import type { ServerGroup } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { newTally, race } from "./support/racers.ts";
import type { Race, Send, Tally } from "./support/racers.ts";

const SEED = Number(process.env["STOWAGE_COLLECTION_SEED"] ?? randomInt(2 ** 31));
const CLIENTS = 6;
const LASTS_MS = Number(process.env["STOWAGE_COLLECTION_SECONDS"] ?? 2) * 1000;
const REPOSITORIES = ["race/one", "race/two", "race/three"];
const TABLES = ["blob", "repo_blob", "manifest", "manifest_blob", "upload", "trash"];
const TIMEOUT = { timeout: 120_000 };
const COLLECTOR = join(import.meta.dir, "support/collector.ts");

/** Goes on for some seconds, and on a slow machine until all that it is about has happened. */
function raceOf(leaseMs: number, tally: Tally, collected: () => number): Race {
  const end = performance.now() + LASTS_MS;
  const hasBeenOne = (): boolean => tally.images > 20 && tally.relied > 5 && tally.pulled > 5 && collected() > 0;
  const isOn = (): boolean => performance.now() < end || (tally.wrong.length === 0 && !hasBeenOne());
  return { repositories: REPOSITORIES, leaseMs, isOn, tally };
}

test("collection in a tight loop in the process that serves", TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const rules = { leaseMs: 2000, graceMs: 0 };
  await using registry = await createRegistry({ storage: { folder: folder.path }, collection: rules });
  const send: Send = (method, path, { body, headers = {} } = {}) =>
    registry.fetch(
      new Request(`http://localhost${path}`, { method, headers, ...(body === undefined ? {} : { body }) }),
    );
  const tally = newTally();
  const random = new Random(SEED);
  let gone = 0;
  const running = raceOf(rules.leaseMs, tally, () => gone);
  const collecting = async (): Promise<void> => {
    while (running.isOn()) {
      gone += (await registry.collect(rules)).blobs;
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
  };
  const clients = Array.from({ length: CLIENTS }, () => race(send, random.fork(), running));
  await Promise.all([...clients, collecting()]);
  expectSound(tally);
  await registry.collect({ leaseMs: 0, graceMs: 0 });
  await expectEmpty(folder.path);
});

test("two servers on one folder, each collecting, and the command beside them", TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const leaseMs = 2000;
  const settings = {
    REGISTRY_GC_INTERVAL: "1s",
    REGISTRY_GC_LEASE: "2s",
    REGISTRY_GC_GRACE: "2s",
  };
  const servers = await Promise.all([0, 1].map(() => startServerGroup(folder.path, settings)));
  const tally = newTally();
  try {
    const random = new Random(SEED);
    let gone = 0;
    const running = raceOf(leaseMs, tally, () => gone);
    const clients = Array.from({ length: CLIENTS }, () => race(toAny(servers, random.fork()), random.fork(), running));
    const commands = async (): Promise<void> => {
      while (running.isOn()) {
        const command = await runProgram(folder.path, ["gc", "--grace", "2s", "--json"]);
        expect(command).toMatchObject({ exitCode: 0, stderr: "" });
        gone += (JSON.parse(command.stdout) as { blobs: number }).blobs;
      }
    };
    await Promise.all([commands(), ...clients]);
    expectSound(tally);
    // What was collected last waits for its readers, for as long as the grace was then.
    do expect(await runProgram(folder.path, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0, stderr: "" });
    while (queryFolder(folder.path, "select * from trash").length > 0);
    expect(await runProgram(folder.path, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
  } finally {
    await Promise.all(servers.map((server) => server.kill()));
  }
  expectNoFaults(servers);
  await expectEmpty(folder.path);
});

test("two servers on one folder, and a third process that collects in a tight loop", TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const leaseMs = 2000;
  const settings = { REGISTRY_GC_ENABLED: "false", REGISTRY_GC_LEASE: "2s", REGISTRY_GC_GRACE: "0s" };
  const servers = await Promise.all([0, 1].map(() => startServerGroup(folder.path, settings)));
  const collector = Bun.spawn([process.execPath, COLLECTOR, folder.path, `${leaseMs}`], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const tally = newTally();
  try {
    const random = new Random(SEED);
    // What the collector took is known when it ends: by then it must have been everything.
    const running = raceOf(leaseMs, tally, () => 1);
    await Promise.all(
      Array.from({ length: CLIENTS }, () => race(toAny(servers, random.fork()), random.fork(), running)),
    );
    expectSound(tally);
    // The last leases end, and then nothing holds anything any more.
    while (TABLES.some((table) => queryFolder(folder.path, `select 1 from ${table} limit 1`).length > 0)) {
      await Bun.sleep(50);
    }
    void collector.stdin.end();
    const taken = (await collector.stdout.json()) as { blobs: number; files: number };
    expect(taken.blobs).toBeGreaterThan(0);
    expect(taken.files).toBeGreaterThan(0);
    expect(await collector.exited).toBe(0);
    expect(await runProgram(folder.path, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
  } finally {
    collector.kill();
    await Promise.all(servers.map((server) => server.kill()));
  }
  expectNoFaults(servers);
  await expectEmpty(folder.path);
});

/** Each request goes to any of the servers: they must agree about everything. */
function toAny(servers: readonly ServerGroup[], choices: Random): Send {
  return (method, path, { body, headers = {} } = {}) =>
    fetch(`${choices.pick(servers)?.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
}

function expectNoFaults(servers: readonly ServerGroup[]): void {
  const lines = servers.flatMap((server) => server.output().split("\n"));
  expect(lines.filter((line) => /"level":"(?:error|fatal)"/.test(line))).toEqual([]);
}

function expectSound(tally: Tally): void {
  expect({ seed: SEED, wrong: tally.wrong.slice(0, 10), count: tally.wrong.length }).toEqual({
    seed: SEED,
    wrong: [],
    count: 0,
  });
  expect(tally.deleted).toBe(tally.images);
}

/** Everything unreferenced is gone: the folder holds nothing but the database, and that nothing of a blob. */
async function expectEmpty(folder: string): Promise<void> {
  for (const table of TABLES) {
    expect({ table, rows: queryFolder(folder, `select * from ${table}`) }).toEqual({ table, rows: [] });
  }
  expect(await filesBesideDatabase(folder)).toEqual([]);
}

async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "stowage-race-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
