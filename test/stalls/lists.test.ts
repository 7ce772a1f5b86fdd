/**
 * Lists keep no other client waiting, however long and however many they are: all of them together read a page in each turn
 * of the event loop, and each reads what it gives. Work is counted, and not timed; `bench/stalls.ts` prints the times.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ListedAccounts, user } from "../../src/auth/testing/listed-accounts.ts";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { digest } from "../../src/oci/digest.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import { queryFolder } from "../support/data-folder.ts";
import { startRegistry } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { digestOf } from "./support/content.ts";
import { Pinger } from "./support/pinger.ts";
import { seed } from "./support/seeder.ts";
import { TurnLog } from "./support/turn-log.ts";
import type { Turns } from "./support/turn-log.ts";

setDefaultTimeout(60_000);

const TAGS = 100_000;
/** Of a manifest that is deleted, and for which no job is carried out. */
const DELETED = 20_000;
const TEAMS = 50;
const REPOSITORIES = 20_000;
const REFERRERS = 20_000;

/** Rows of a page, and a few more for the requests themselves. */
const MOST_ROWS = 1010;

/** Rows that a request reads beside its list: of the repository, of its revision, and of what comes next. */
const FEW = 8;

const TYPE = "application/vnd.example.sbom";
const RARE = "application/vnd.example.rare";
const SUBJECT = digest(digestOf("subject"));
const LARGE_SUBJECT = digest(digestOf("subject with large referrers"));

const dataDir = await scratchFolder();

/** Everybody may list everything in it. */
let open: Registry;
/** Each user sees what the patterns say. */
let guarded: Registry;
let log: TurnLog;

const PATTERNS = {
  all: ["**"],
  team: ["team042/**"],
  few: ["team007/app00007", "team0*/app00049", "nobody/**"],
  none: ["*/*/none"],
} as const;

beforeAll(async () => {
  await seed(dataDir, (seeder) => {
    seeder.image("big/app", "v0");
    seeder.tags("big/app", "v0-0", TAGS);
    seeder.image("big/deleted", "v0");
    seeder.tags("big/deleted", "v0-0", DELETED);
    seeder.image("big/deleted", "w0");
  });
  const numbers = `with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < $1)`;
  const run = (text: string, ...values: (string | number)[]): unknown => queryFolder(dataDir, text, ...values);
  run(
    `insert into repo (name, created_at) ${numbers} select printf('team%03d/app%05d', i % ${TEAMS}, i), 1 from n`,
    REPOSITORIES,
  );
  run(`insert into repo (name, created_at) ${numbers} select printf('empty/app%05d', i), 1 from n`, REPOSITORIES);
  run(`
    insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload)
    select id, unhex('01' || printf('%064d', id)), 'a/image', 2, 1, 1, x'7b7d' from repo where name glob 'team*'`);
  const referrers = `
    insert into manifest
      (repo, digest, media_type, artifact_type, subject, size, annotations, pushed_at, touched_at, payload)
    ${numbers}
    select r.id, unhex('01' || printf('%064d', $2 + i)), 'a/image', iif(i % 1000 = 0, '${RARE}', '${TYPE}'), $3, 2,
      json_object('note', printf('%0' || $4 || 'd', i)), 1, 1, x'7b7d'
    from n, repo r where r.name = 'big/app'`;
  run(referrers, REFERRERS, 0, SUBJECT, 10);
  run(referrers, 50, REFERRERS, LARGE_SUBJECT, 50_000);

  open = await createRegistry({ storage: { folder: dataDir } });
  const names = Object.keys(PATTERNS);
  const accounts = new ListedAccounts(names.map((name) => user(name, "secret")));
  const policies = Object.entries(PATTERNS).map(([name, repositories]) => ({
    who: [name],
    repositories,
    actions: ["pull"] as const,
  }));
  guarded = await createRegistry({
    storage: { folder: dataDir },
    access: { kind: "accounts", authenticator: () => accounts, policies, basicRealm: "test" },
  });
  log = new TurnLog();
});
afterAll(async () => {
  log[Symbol.dispose]();
  await open.close();
  await guarded.close();
});

/** What a request returned, and what it made the registry read. */
async function asked(
  registry: Registry,
  path: string,
  { user: name, ...init }: RequestInit & { readonly user?: string } = {},
): Promise<{ readonly body: Record<string, readonly unknown[]>; readonly link: string | null; readonly turns: Turns }> {
  const headers = name === undefined ? {} : { authorization: `Basic ${btoa(`${name}:secret`)}` };
  let result = {};
  let link: string | null = null;
  const turns = await log.during(async () => {
    const reply = await registry.fetch(new Request(`http://registry/v2/${path}`, { ...init, headers }));
    expect(reply.status).toBe(200);
    link = reply.headers.get("link");
    const text = await reply.text();
    result = text === "" ? {} : JSON.parse(text);
  });
  return { body: result, link, turns };
}

describe("tags", () => {
  test("100,000 tags are read in 100 turns of the event loop", async () => {
    const { body, turns } = await asked(open, "big/app/tags/list");
    expect(body["tags"]).toHaveLength(TAGS + 1);
    expect(turns.total("rows")).toBeWithin(TAGS, TAGS + 1 + FEW);
    expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
  });

  test("8 lists at once share the turns", async () => {
    const path = "big/app/tags/list?last=t0090000";
    const list = async (): Promise<unknown> =>
      await (await open.fetch(new Request(`http://registry/v2/${path}`))).json();
    const turns = await log.during(async () => {
      const replies = Array.from({ length: 8 }, list);
      for (const { tags } of (await Promise.all(replies)) as { readonly tags: readonly string[] }[]) {
        expect(tags).toHaveLength(TAGS - 90_001 + 1);
      }
    });
    expect(turns.total("rows")).toBeGreaterThan(8 * 9990);
    expect(turns.most("rows")).toBeLessThan(MOST_ROWS + 8 * FEW);
  });

  test.each([1, 100, 1000])("n=%d reads one tag more than it gives", async (n) => {
    const { body, link, turns } = await asked(open, `big/app/tags/list?n=${n}`);
    expect(body["tags"]).toHaveLength(n);
    expect(link).toContain(`n=${n}`);
    expect(turns.total("rows")).toBeLessThanOrEqual(n + 1 + FEW);
  });

  test("last= of an absent tag reads only what comes after it", async () => {
    const { body, turns } = await asked(open, "big/app/tags/list?n=10&last=t0099999zzz");
    expect(body["tags"]).toEqual(["v0-0"]);
    expect(turns.total("rows")).toBeLessThanOrEqual(1 + FEW);
  });

  test("20,000 tags of a deleted manifest, whose rows are there, are passed over in large pages", async () => {
    const { headers } = await open.fetch(new Request("http://registry/v2/big/deleted/manifests/v0-0"));
    const path = `http://registry/v2/big/deleted/manifests/${headers.get("docker-content-digest")}`;
    expect((await open.fetch(new Request(path, { method: "DELETE" }))).status).toBe(202);
    for (const n of [1, 10, 1000]) {
      const { body, link, turns } = await asked(open, `big/deleted/tags/list?n=${n}`);
      expect([body["tags"], link]).toEqual([["w0-0"], null]);
      expect(turns.total("statements")).toBeLessThan(DELETED / 1000 + FEW);
      expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
    }
  });

  test("HEAD of 100,000 tags reads a few pages, not the list", async () => {
    const { turns } = await asked(open, "big/app/tags/list?head", { method: "HEAD" });
    expect(turns.total("rows")).toBeLessThan(TAGS / 2);
  });

  test("a loop of the library over the tags leaves turns to others", async () => {
    const { tags } = open.namespace.repository(repositoryName("big/app"));
    let count = 0;
    const turns = await log.during(async () => {
      for await (const _ of tags.list({ limit: 20_000 })) count++;
    });
    expect(count).toBe(20_000);
    expect(turns.busy).toHaveLength(20);
  });

  test("others are answered while 100,000 tags are listed", async () => {
    await using server = await startRegistry({ dataDir });
    await using pinger = await Pinger.start(server.url);
    const waits = await pinger.during(async () => {
      const reply = await fetch(`${server.url}/v2/big/app/tags/list`);
      for await (const _ of reply.body!);
    });
    expect(waits.count).toBeGreaterThan(1);
    expect(waits.longestMs).toBeGreaterThan(0);
  });
});

describe("the catalog", () => {
  test.each([
    ["without authentication", undefined],
    ["for a user who sees all", "all"],
  ])("%s reads one repository more than it gives", async (_title, name) => {
    const { body, turns } = await asked(
      name === undefined ? open : guarded,
      "_catalog?n=100&last=team",
      name === undefined ? {} : { user: name },
    );
    expect(body["repositories"]).toHaveLength(100);
    expect(turns.total("rows")).toBeLessThanOrEqual(101 + FEW);
  });

  test("for a user who sees one team of 50 reads that team", async () => {
    const { body, turns } = await asked(guarded, "_catalog?n=1000", { user: "team" });
    expect(body["repositories"]).toHaveLength(REPOSITORIES / TEAMS);
    expect(turns.total("rows")).toBeLessThanOrEqual(REPOSITORIES / TEAMS + FEW);
  });

  test("for a user who sees two repositories of 20,000 reads a few pages", async () => {
    const { body, turns } = await asked(guarded, "_catalog?n=1000", { user: "few" });
    expect(body["repositories"]).toEqual(["team007/app00007", "team049/app00049"]);
    expect(turns.total("rows")).toBeLessThan(REPOSITORIES / 5);
  });

  test("for a user whose pattern has no beginning is read in pages, each in a turn", async () => {
    const { body, turns } = await asked(guarded, "_catalog?n=1000", { user: "none" });
    expect(body["repositories"]).toEqual([]);
    expect(turns.most("rows")).toBeLessThan(MOST_ROWS + 64);
    expect(turns.most("statements")).toBeLessThan(20);
  });

  test("behind 20,000 repositories without a manifest reads a page in each turn", async () => {
    const { body, turns } = await asked(open, "_catalog?n=1&last=empty");
    expect(body["repositories"]).toEqual(["team000/app00000"]);
    expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
  });
});

describe("referrers", () => {
  test.each([
    ["a type that none has", `artifactType=${TYPE}.none`, 0],
    ["a type that few have", `artifactType=${RARE}`, REFERRERS / 1000],
    ["two types that few have", `artifactType=${RARE}&artifactType=${TYPE}.none`, REFERRERS / 1000],
  ])("of %s read those alone", async (_title, query, given) => {
    const { body, turns } = await asked(open, `big/app/referrers/${SUBJECT}?${query}`);
    expect(body["manifests"]).toHaveLength(given);
    expect(turns.total("rows")).toBeLessThanOrEqual(2 * given + FEW); // the size of each, and its descriptor
  });

  test("a page of 4 MiB is read in short steps", async () => {
    const { body, link, turns } = await asked(open, `big/app/referrers/${SUBJECT}`);
    const given = body["manifests"]!.length;
    expect(given).toBeGreaterThan(5000);
    expect(link).not.toBeNull();
    expect(turns.total("rows")).toBeLessThanOrEqual(2 * given + 250 + FEW);
    expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
  });

  test("large annotations are read a few at a time", async () => {
    const { body, turns } = await asked(open, `big/app/referrers/${LARGE_SUBJECT}`);
    expect(body["manifests"]).toHaveLength(50);
    expect(turns.most("bytes")).toBeLessThan(200_000); // of 2.5 MB
  });

  test("a loop of the library over the referrers leaves turns to others", async () => {
    const { referrers } = open.namespace.repository(repositoryName("big/app"));
    let count = 0;
    const turns = await log.during(async () => {
      for await (const _ of referrers.list(SUBJECT)) count++;
    });
    expect(count).toBe(REFERRERS);
    expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
  });

  test("a page of 2 MB is served from the cache", async () => {
    const path = `big/app/referrers/${LARGE_SUBJECT}?cached`;
    await asked(open, path);
    const { body, turns } = await asked(open, path);
    expect(body["manifests"]).toHaveLength(50);
    expect(turns.total("statements")).toBe(0);
  });
});
