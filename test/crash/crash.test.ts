/**
 * What was acknowledged outlives `kill -9` at any instant, of one server and of two on the same folder.
 * STOWAGE_CRASH_ROUNDS=5000 goes on for longer than the ordinary run; STOWAGE_CRASH_SEED repeats the choices of a run (not
 * its timing). The folder of a run that failed is kept, and named in the message.
 */
import { expect, test } from "bun:test";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesBesideDatabase, queryFolder } from "../support/data-folder.ts";
import { runProgram, startGroup } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { contentOf } from "./support/content.ts";
import type { Content } from "./support/content.ts";
import { pullAllTags, pullReferrers, settle, settleCollected } from "./support/inspector.ts";
import { Ledger } from "./support/ledger.ts";
import { Pusher } from "./support/pusher.ts";
import type { Surroundings } from "./support/pusher.ts";
import { Servers } from "./support/servers.ts";

const ROUNDS = process.env["STOWAGE_CRASH_ROUNDS"];
const SEED = Number(process.env["STOWAGE_CRASH_SEED"] ?? randomInt(2 ** 31));

/** Rounds that go on with the same repositories; then others begin, so that looking at all of them stays quick. */
const GENERATION = 4;
const REPOSITORIES = 3;
const CLIENTS_EACH = 2;
/** Older generations that are looked at once more when one ends; all are at the very end. */
const OLDER = 2;
/** Requests of a round before the kill, at most. */
const MAX_REQUESTS = 120;
/** Requests that the other server still gets when only one was killed, at most. */
const MAX_AFTERWARDS = 60;

const COMMON: readonly Content[] = [0, 2, 900, 20_000].map((size) => contentOf("common", size));
const SHARED: ReadonlySet<string> = new Set(COMMON.map(({ digest }) => digest));

for (const { what, count, rounds } of [
  { what: "of a server", count: 1, rounds: Number(ROUNDS ?? 60) },
  { what: "of one or both of two servers", count: 2, rounds: Number(ROUNDS ?? 20) },
]) {
  test(
    `what was acknowledged outlives kill -9 ${what} at any instant (${rounds} rounds)`,
    () => crashOften(count, rounds),
    60_000 + rounds * 5000,
  );
}

async function crashOften(count: number, rounds: number): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "stowage-crash-"));
  const random = new Random(SEED);
  const generations: (readonly Ledger[])[] = [];
  let round = 0;
  try {
    await using servers = new Servers(dataDir, count);
    for (; round <= rounds; round++) {
      const current = generations.at(-1) ?? [];
      await servers.startMissing(random);
      await recover(servers, current, random, round);
      const isLast = round === rounds;
      if (round % GENERATION === 0 || isLast) {
        const older = Array.from({ length: OLDER }, () => random.pick(generations) ?? []);
        await collectUnneeded(servers, current, [...new Set(older)].flat(), random);
        generations.push(newLedgers(`g${round / GENERATION}`));
      }
      if (!isLast) await crash(servers, generations.at(-1) ?? [], random, round);
    }
    await deleteEverything(servers, generations.flat(), random);
    await servers.kill();
    await expectEmpty(dataDir, generations.flat());
  } catch (error) {
    throw new Error(`round ${round} of seed ${SEED} (the data lies in ${dataDir}): ${String(error)}`, {
      cause: error,
    });
  }
  await rm(dataDir, { recursive: true });
}

function newLedgers(generation: string): readonly Ledger[] {
  return Array.from({ length: REPOSITORIES * CLIENTS_EACH }, (_, at) => {
    const repository = `crash/${generation}/r${at % REPOSITORIES}`;
    return new Ledger(repository, `${generation}c${at}`, SHARED);
  });
}

/** Lets the clients work and kills one server or all, with all that belongs to them, while requests are in flight. */
async function crash(servers: Servers, ledgers: readonly Ledger[], random: Random, round: number): Promise<void> {
  // As the n-th request begins, or up to some milliseconds after that.
  const untilKill = random.chance(0.2) ? random.between(1, 12) : random.between(1, MAX_REQUESTS);
  const lateness = random.chance(0.3) ? 0 : random.next() * 4;
  const victims = random.chance(0.5) ? servers.running : [servers.any(random)];
  const untilEnd = untilKill + random.between(0, MAX_AFTERWARDS);
  // Beside it trash is emptied, now and then; nothing else is due.
  const collection = random.chance(0.3) ? startGroup(servers.dataDir, ["gc"]) : undefined;
  const killed = Promise.withResolvers<unknown>();
  const kill = (): void => {
    Promise.all([...victims.map((server) => server.kill()), collection?.kill()]).then(killed.resolve, killed.reject);
  };
  let requests = 0;
  const around: Surroundings = {
    target(choices) {
      requests++;
      if (requests === untilKill) {
        if (lateness === 0) kill();
        else setTimeout(kill, lateness);
      }
      return requests > untilEnd && victims.every((server) => server.isKilled())
        ? undefined
        : choices.pick(servers.running);
    },
    common: COMMON,
    ledgers,
  };
  await Promise.all(ledgers.map((ledger) => new Pusher(ledger, random.fork(), around, `${round}`).run()));
  await killed.promise;
}

/** Looks whether everything is there, and ends some of the uploads that were cut off: they go on at once. */
async function recover(servers: Servers, ledgers: readonly Ledger[], random: Random, round: number): Promise<void> {
  await settleAll(servers, ledgers, random);
  await inspect(servers.any(random).url, ledgers);
  await finishSome(servers, ledgers, random, `${round}/after`);
  await settleAll(servers, ledgers, random);
}

/** Each client asks one of the servers. */
async function settleAll(servers: Servers, ledgers: readonly Ledger[], random: Random): Promise<void> {
  await Promise.all(ledgers.map((ledger) => settle(servers.any(random).url, ledger)));
}

/** Goes on with about half of the uploads, to their end. */
async function finishSome(servers: Servers, ledgers: readonly Ledger[], random: Random, mark: string): Promise<void> {
  const around: Surroundings = { target: (choices) => servers.any(choices), common: COMMON, ledgers };
  for (const ledger of ledgers) {
    const pusher = new Pusher(ledger, random.fork(), around, mark);
    for (const path of ledger.state.uploads.keys()) if (random.chance(0.5)) await pusher.finishUpload(path);
  }
}

/** Collects what no image needs, beside the servers, by a command that is killed too, and then by one that is not. */
async function collectUnneeded(
  servers: Servers,
  current: readonly Ledger[],
  older: readonly Ledger[],
  random: Random,
): Promise<void> {
  const { dataDir } = servers;
  const killed = startGroup(dataDir, ["gc", "--grace", "0"]);
  await Promise.race([killed.ended, Bun.sleep(random.next() * 400)]);
  await killed.kill();
  await Promise.all(current.map((ledger) => settleCollected(servers.any(random).url, ledger)));
  expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0, stderr: "" });
  await Promise.all(current.map((ledger) => settleCollected(servers.any(random).url, ledger)));
  const ledgers = [...new Set([...current, ...older])];
  await settleAll(servers, ledgers, random);
  await inspect(servers.any(random).url, ledgers);
}

async function inspect(url: string, ledgers: readonly Ledger[]): Promise<void> {
  const repositories = Map.groupBy(ledgers, (ledger) => ledger.repository);
  await Promise.all([...repositories].map(([repository, clients]) => pullAllTags(url, repository, clients)));
  await Promise.all(ledgers.map((ledger) => pullReferrers(url, ledger)));
}

async function deleteEverything(servers: Servers, ledgers: readonly Ledger[], random: Random): Promise<void> {
  await finishSome(servers, ledgers, random, "end");
  for (const { repository, state } of ledgers) {
    const client = new RepositoryClient(servers.any(random).url, repository);
    for (const digest of state.manifests) {
      expect((await client.delete(`manifests/${digest}`)).status).toBe(202);
    }
  }
  const catalog = await fetch(`${servers.any(random).url}/v2/_catalog`);
  expect(await catalog.json()).toEqual({ repositories: [] });
  // Beside the servers, which go on.
  const collected = await runProgram(servers.dataDir, ["gc", "--grace", "0"]);
  expect(collected).toMatchObject({ exitCode: 0, stderr: "" });
  const checked = await runProgram(servers.dataDir, ["check", "--deep"]);
  expect(checked).toMatchObject({ exitCode: 0, stderr: "" });
}

/** Nothing is left but uploads: those that were acknowledged, and those that no client was told of. */
async function expectEmpty(dataDir: string, ledgers: readonly Ledger[]): Promise<void> {
  // What a writer was about to make when it was killed is in the trash for a while; here that is over.
  queryFolder(dataDir, "update trash set after = 1");
  expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0 });
  for (const table of ["blob", "repo_blob", "manifest", "tag", "trash"]) {
    expect({ table, rows: queryFolder(dataDir, `select * from ${table}`) }).toEqual({ table, rows: [] });
  }
  const uploads = queryFolder(dataDir, "select id, part_key, final_key from upload");
  const keys = new Set(uploads.flatMap((upload) => [upload["part_key"], upload["final_key"]]));
  expect((await filesBesideDatabase(dataDir)).filter((path) => !keys.has(path))).toEqual([]);

  const acknowledged = new Set(ledgers.flatMap(({ state }) => [...state.uploads.keys()].map(idOf)));
  const ids = uploads.map((upload) => String(upload["id"]));
  expect([...acknowledged].filter((id) => !ids.includes(id))).toEqual([]);
  // The others expire in a week; here they do so now.
  for (const id of ids) {
    if (acknowledged.has(id)) continue;
    queryFolder(dataDir, "update upload set expires_at = 1, claimed_by = null where id = ?", id);
  }
  expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0 });
  const left = await filesBesideDatabase(dataDir);
  expect(left.filter((path) => !acknowledged.has(idOf(path)))).toEqual([]);
}

/** The id of an upload: it stands in its path and in every file that is made for it. */
function idOf(path: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(path)?.[0] ?? path;
}
