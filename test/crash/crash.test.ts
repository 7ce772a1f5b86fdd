/**
 * What was acknowledged outlives `kill -9` at any instant. STOWAGE_CRASH_ROUNDS=5000 goes on for longer than the ordinary
 * run; STOWAGE_CRASH_SEED repeats the choices of a run (not its timing).
 */
import { expect, test } from "bun:test";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endClaims, filesBesideDatabase, queryFolder } from "../support/data-folder.ts";
import { runProgram, startGroup, startServerGroup } from "../support/program.ts";
import type { ServerGroup } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { contentOf } from "./support/content.ts";
import type { Content } from "./support/content.ts";
import { pullAllTags, pullReferrers, settle, settleCollected } from "./support/inspector.ts";
import { Ledger } from "./support/ledger.ts";
import { Pusher } from "./support/pusher.ts";
import type { Surroundings } from "./support/pusher.ts";

const ROUNDS = Number(process.env["STOWAGE_CRASH_ROUNDS"] ?? 60);
const SEED = Number(process.env["STOWAGE_CRASH_SEED"] ?? randomInt(2 ** 31));

/** Rounds that go on with the same repositories; then others begin, so that looking at all of them stays quick. */
const GENERATION = 4;
const REPOSITORIES = 3;
const CLIENTS_EACH = 2;
/** Older generations that are looked at once more when one ends; all are at the very end. */
const OLDER = 2;
/** Requests of a round before the kill, at most. */
const MAX_REQUESTS = 120;

/** Trash is emptied as often as may be; all else waits for its hour. */
const SETTINGS = { REGISTRY_GC_INTERVAL: "1s", REGISTRY_LOG_LEVEL: "warn" };

/** A line of the log that says that something failed. */
const FAULT = /"level":"?(?:50|60|error|fatal)/;

const COMMON: readonly Content[] = [0, 2, 900, 20_000].map((size) => contentOf("common", size));
const SHARED: ReadonlySet<string> = new Set(COMMON.map(({ digest }) => digest));

test(
  `what was acknowledged outlives kill -9 at any instant (${ROUNDS} rounds)`,
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "stowage-crash-"));
    const random = new Random(SEED);
    const generations: (readonly Ledger[])[] = [];
    let round = 0;
    try {
      for (; round <= ROUNDS; round++) {
        const current = generations.at(-1) ?? [];
        await using server = await startAgain(dataDir, random);
        await recover(server, current, random, round);
        const isLast = round === ROUNDS;
        if (round % GENERATION === 0 || isLast) {
          const older = Array.from({ length: OLDER }, () => random.pick(generations) ?? []);
          await collectUnneeded(server, current, [...new Set(older)].flat(), random);
          generations.push(newLedgers(`g${round / GENERATION}`));
        }
        if (!isLast) await crash(server, generations.at(-1) ?? [], random, round);
      }
      await deleteEverything(dataDir, generations.flat(), random);
      await expectEmpty(dataDir, generations.flat());
    } catch (error) {
      throw new Error(`round ${round} of seed ${SEED} (the data lies in ${dataDir}): ${String(error)}`, {
        cause: error,
      });
    }
    await rm(dataDir, { recursive: true });
  },
  60_000 + ROUNDS * 5000,
);

function newLedgers(generation: string): readonly Ledger[] {
  return Array.from({ length: REPOSITORIES * CLIENTS_EACH }, (_, at) => {
    const repository = `crash/${generation}/r${at % REPOSITORIES}`;
    return new Ledger(repository, `${generation}c${at}`, SHARED);
  });
}

/** Starts a server after another was killed; sometimes one is killed before that while it starts. */
async function startAgain(dataDir: string, random: Random): Promise<Killable> {
  if (random.chance(0.15)) {
    const unlucky = startGroup(dataDir, ["serve"], { ...SETTINGS, REGISTRY_HTTP_ADDR: "127.0.0.1:0" });
    await Bun.sleep(random.next() * 300);
    await unlucky.kill();
  }
  const server = await startServerGroup(dataDir, SETTINGS);
  return {
    ...server,
    dataDir,
    async [Symbol.asyncDispose]() {
      await server.kill();
      expect(server.output()).not.toMatch(FAULT);
    },
  };
}

interface Killable extends ServerGroup, AsyncDisposable {
  readonly dataDir: string;
}

/** Lets the clients work on a server and kills it with all that belongs to it, while requests are in flight. */
async function crash(server: Killable, ledgers: readonly Ledger[], random: Random, round: number): Promise<void> {
  // As the n-th request begins, or up to some milliseconds after that.
  let untilKill = random.chance(0.2) ? random.between(1, 12) : random.between(1, MAX_REQUESTS);
  const lateness = random.chance(0.3) ? 0 : random.next() * 4;
  let isKilled = false;
  // Beside it trash is emptied, now and then; nothing else is due.
  const collection = random.chance(0.3) ? startGroup(server.dataDir, ["gc"]) : undefined;
  const killed = Promise.withResolvers<unknown>();
  const kill = (): void => {
    isKilled = true;
    Promise.all([server.kill(), collection?.kill()]).then(killed.resolve, killed.reject);
  };
  const around: Surroundings = {
    url: server.url,
    onRequest() {
      if (--untilKill !== 0) return;
      if (lateness === 0) kill();
      else setTimeout(kill, lateness);
    },
    isKilled: () => isKilled,
    common: COMMON,
    ledgers,
  };
  await Promise.all(ledgers.map((ledger) => new Pusher(ledger, random.fork(), around, `${round}`).run()));
  await killed.promise;
}

/** Looks whether everything is there, and ends some of the uploads that were cut off. */
async function recover(server: Killable, ledgers: readonly Ledger[], random: Random, round: number): Promise<void> {
  const { url } = server;
  await Promise.all(ledgers.map((ledger) => settle(url, ledger)));
  await inspect(url, ledgers);
  endClaims(server.dataDir);
  await finishSome(url, ledgers, random, `${round}/after`);
  await Promise.all(ledgers.map((ledger) => settle(url, ledger)));
}

/** Goes on with about half of the uploads, to their end. */
async function finishSome(url: string, ledgers: readonly Ledger[], random: Random, mark: string): Promise<void> {
  const around = { url, onRequest: () => {}, isKilled: () => false, common: COMMON, ledgers };
  for (const ledger of ledgers) {
    const pusher = new Pusher(ledger, random.fork(), around, mark);
    for (const path of ledger.state.uploads.keys()) if (random.chance(0.5)) await pusher.finishUpload(path);
  }
}

/** Collects what no image needs, beside a server, by a command that is killed too, and then by one that is not. */
async function collectUnneeded(
  { url, dataDir }: Killable,
  current: readonly Ledger[],
  older: readonly Ledger[],
  random: Random,
): Promise<void> {
  const killed = startGroup(dataDir, ["gc", "--grace", "0"]);
  await Promise.race([killed.ended, Bun.sleep(random.next() * 400)]);
  await killed.kill();
  await Promise.all(current.map((ledger) => settleCollected(url, ledger)));
  expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0, stderr: "" });
  await Promise.all(current.map((ledger) => settleCollected(url, ledger)));
  const ledgers = [...new Set([...current, ...older])];
  await Promise.all(ledgers.map((ledger) => settle(url, ledger)));
  await inspect(url, ledgers);
}

async function inspect(url: string, ledgers: readonly Ledger[]): Promise<void> {
  const repositories = Map.groupBy(ledgers, (ledger) => ledger.repository);
  await Promise.all([...repositories].map(([repository, clients]) => pullAllTags(url, repository, clients)));
  await Promise.all(ledgers.map((ledger) => pullReferrers(url, ledger)));
}

async function deleteEverything(dataDir: string, ledgers: readonly Ledger[], random: Random): Promise<void> {
  const server = await startServerGroup(dataDir, SETTINGS);
  try {
    await finishSome(server.url, ledgers, random, "end");
    for (const { repository, state } of ledgers) {
      const client = new RepositoryClient(server.url, repository);
      for (const digest of state.manifests) {
        expect((await client.delete(`manifests/${digest}`)).status).toBe(202);
      }
    }
    const catalog = await fetch(`${server.url}/v2/_catalog`);
    expect(await catalog.json()).toEqual({ repositories: [] });
    // Beside the server, which goes on.
    const collected = await runProgram(dataDir, ["gc", "--grace", "0"]);
    expect(collected).toMatchObject({ exitCode: 0, stderr: "" });
    const checked = await runProgram(dataDir, ["check", "--deep"]);
    expect(checked).toMatchObject({ exitCode: 0, stderr: "" });
  } finally {
    await server.kill();
  }
}

/** Nothing is left but uploads: those that were acknowledged, and those that nobody was told of. */
async function expectEmpty(dataDir: string, ledgers: readonly Ledger[]): Promise<void> {
  // What a writer was about to make when it was killed is in the trash for a while; here that is over.
  queryFolder(dataDir, "update trash set after = 1");
  expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0 });
  for (const table of ["blob", "blob_inline", "repo_blob", "manifest", "tag", "trash"]) {
    expect({ table, rows: queryFolder(dataDir, `select * from ${table}`) }).toEqual({ table, rows: [] });
  }
  const uploads = queryFolder(dataDir, "select id, storage_key, final_key from upload");
  const keys = new Set(uploads.flatMap((upload) => [upload["storage_key"], upload["final_key"]]));
  expect((await filesBesideDatabase(dataDir)).filter((path) => !keys.has(path))).toEqual([]);

  const acknowledged = new Set(ledgers.flatMap(({ state }) => [...state.uploads.keys()].map(idOf)));
  const ids = uploads.map((upload) => String(upload["id"]));
  expect([...acknowledged].filter((id) => !ids.includes(id))).toEqual([]);
  // The others expire in a week; here they do so now.
  for (const id of ids) {
    if (acknowledged.has(id)) continue;
    queryFolder(dataDir, "update upload set expires_at = 1, claimed_until = null where id = ?", id);
  }
  expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0 });
  const left = await filesBesideDatabase(dataDir);
  expect(left.filter((path) => !acknowledged.has(idOf(path)))).toEqual([]);
}

/** The id of an upload: it stands in its path and in every file that is made for it. */
function idOf(path: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(path)?.[0] ?? path;
}
