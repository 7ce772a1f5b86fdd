/**
 * A job outlives `kill -9` at any of its steps: what a client was told is gone stays gone, what it pushed meanwhile stays, and
 * the job comes to its end. STOWAGE_CRASH_SEED repeats the choices of a run (not its timing).
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { randomInt } from "node:crypto";
import { seed } from "../stalls/support/seeder.ts";
import { queryFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { Servers } from "./support/servers.ts";

setDefaultTimeout(600_000);

const SEED = Number(process.env["STOWAGE_CRASH_SEED"] ?? randomInt(2 ** 31));
const ROUNDS = 6;
/** Kills of one job at most. */
const KILLS = 3;
const TAGS = 5000;
const REPOSITORY = "many/tags";

test(`no kill -9 brings back a tag of a deleted manifest, or takes one that was pushed since (seed ${SEED})`, async () => {
  const dataDir = await scratchFolder();
  const random = new Random(SEED);
  await seed(dataDir, (seeder) => {
    seeder.image(REPOSITORY, "image");
    seeder.image(REPOSITORY, "other");
  });
  await using servers = new Servers(dataDir, 1);
  const killAll = async (): Promise<void> => {
    await servers.kill();
    queryFolder(dataDir, "delete from lease"); // as if the time were over for which others leave the job to the server
  };
  for (let round = 0; round < ROUNDS; round++) {
    await seed(dataDir, (seeder) => {
      seeder.tags(REPOSITORY, "image-0", TAGS);
    });
    await servers.startMissing(random);
    const client = (): RepositoryClient => new RepositoryClient(servers.any(random).url, REPOSITORY);
    const [image, other] = [await manifestOf(client(), "image-0"), await manifestOf(client(), "other-0")];
    const all = [...tagNames(), "image-0", "other-0"].toSorted();
    expect(await client().tags()).toEqual(all);

    // A client that is told nothing finds all of them, or none.
    const deletion = client()
      .delete(`manifests/${image.digest}`)
      .catch(() => undefined);
    if (random.chance(0.5)) {
      await Bun.sleep(random.next() * 10);
      await killAll();
      await deletion;
      await servers.startMissing(random);
      const left = await client().tags();
      if (left.length > 1) {
        expect(left).toEqual(all);
        expect((await client().delete(`manifests/${image.digest}`)).status).toBe(202);
      }
    } else {
      expect((await deletion)?.status).toBe(202);
    }

    const pushed = new Map([["other-0", other]]);
    for (let kills = random.between(1, KILLS); kills > 0; kills--) {
      expect(await client().tags()).toEqual([...pushed.keys()].toSorted());
      if (pushed.values().some(({ digest }) => digest === image.digest) && random.chance(0.3)) {
        expect((await client().delete(`manifests/${image.digest}`)).status).toBe(202);
        for (const [name, { digest }] of pushed) if (digest === image.digest) pushed.delete(name);
      }
      for (const manifest of [image, other]) {
        const name = `t${String(random.between(0, TAGS - 1)).padStart(7, "0")}`;
        await manifest.push(client(), name);
        pushed.set(name, manifest);
      }
      await untilDone(dataDir, random.between(0, TAGS));
      await killAll();
      await servers.startMissing(random);
    }
    await untilDone(dataDir, Infinity);

    expect(await client().tags()).toEqual([...pushed.keys()].toSorted());
    for (const [name, { digest }] of pushed) expect((await manifestOf(client(), name)).digest).toBe(digest);
    expect(queryFolder(dataDir, "select name from tag order by name")).toEqual(
      [...pushed.keys()].toSorted().map((name) => ({ name })),
    );
    const counts = "select (select sum(tags) from tag_count) as counted, (select sum(tags) from repo) as used";
    expect(queryFolder(dataDir, counts)).toEqual([{ counted: pushed.size, used: pushed.size }]);
    const checked = await runProgram(dataDir, ["check", "--deep"]);
    expect(checked).toMatchObject({ exitCode: 0, stderr: "" });

    // For the next round.
    for (const name of pushed.keys()) if (name !== "other-0") await client().delete(`manifests/${name}`);
    await image.push(client(), "image-0");
    await killAll();
  }
});

interface PulledManifest {
  readonly digest: string;
  push(client: RepositoryClient, tag: string): Promise<void>;
}

async function manifestOf(client: RepositoryClient, reference: string): Promise<PulledManifest> {
  const reply = await client.get(`manifests/${reference}`);
  expect(reply.status).toBe(200);
  const body = new Uint8Array(await reply.arrayBuffer());
  const headers = { "content-type": reply.headers.get("content-type") ?? "" };
  return {
    digest: reply.headers.get("docker-content-digest") ?? "",
    async push(to, tag) {
      expect((await to.send("PUT", `manifests/${tag}`, { headers, body })).status).toBe(201);
    },
  };
}

function tagNames(): readonly string[] {
  return Array.from({ length: TAGS }, (_, at) => `t${String(at).padStart(7, "0")}`);
}

/** Waits until the job, if there is still one, has removed so many rows. */
async function untilDone(dataDir: string, rows: number): Promise<void> {
  for (;;) {
    const [job] = queryFolder(dataDir, "select done from job order by id limit 1");
    if (!job || Number(job["done"]) >= rows) return;
    await Bun.sleep(1);
  }
}
