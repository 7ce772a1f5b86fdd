/**
 * How SQLite finds the rows of each statement: by a key, never by looking through a whole table, which is quick in every
 * test and slow for an operator with a million rows.
 */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Metadata } from "../../src/metadata/metadata.ts";
import { Connection } from "../../src/metadata/sqlite/connection.ts";
import { SqliteEngine } from "../../src/metadata/sqlite/sqlite-engine.ts";
import { Subject } from "../../src/metadata/testing/subject.ts";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { everyOperation } from "./support/every-operation.ts";
import { StatementLog } from "./support/statement-log.ts";

setDefaultTimeout(60_000);

const database = join(await scratchFolder(), "registry.db");

/** Statements that run, without those that only hold transactions together. */
let statements: readonly string[];

beforeAll(async () => {
  using log = new StatementLog();
  await using subject = await Subject.open(async (clock) => {
    const engine = await SqliteEngine.open(database);
    return { store: new Metadata(engine, clock), engine };
  });
  const texts = await log.during(() => everyOperation(subject));
  statements = [...new Set(texts.map(inOneLine))].filter((text) => /^(?:select|insert|update|delete)\b/.test(text));
});

test("every statement in the sources is among those that were run", async () => {
  const written = await writtenStatements();
  expect(written.length).toBeGreaterThan(90); // they were found
  expect(written.filter((text) => !wasRun(text))).toEqual([]);
});

/** What stands in the sources, with `${names}` of parts that several statements have. */
async function writtenStatements(): Promise<readonly string[]> {
  const written: string[] = [];
  for await (const path of new Bun.Glob("src/metadata/*.ts").scan({ cwd: ROOT, absolute: true })) {
    if (OF_SERVERS.test(path) || path.endsWith(".test.ts")) continue;
    const source = await Bun.file(path).text();
    const texts = source.matchAll(/`\s*((?:select|insert|update|delete)\b[^`]*)`/g);
    written.push(...texts.map(([, text = ""]) => inOneLine(text)));
  }
  return written;
}

/** What only an engine on a database server runs. */
const OF_SERVERS = /\/locks\.ts$/;

function wasRun(written: string): boolean {
  const pieces = written.split(/\$\{\w+\}/);
  return statements.some((statement) => pieces.every((piece) => statement.includes(piece)));
}

/** What a plan says when rows are looked through, or put into order, that the request does not need. */
const WALKS: readonly RegExp[] = [
  /^SCAN (?!CONSTANT ROW|json_each )/, // all of a table, or all of an index; a list of the statement itself is none
  /\bAUTOMATIC\b/, // all of a table, to make an index of it for this once
  /\(repo=\?\)$/, // all of a repository
  /^USE TEMP B-TREE/, // all that was found, before the first row is given
];

/** Statements that may walk, by a part of them, and why they may. */
const MAY_WALK: Readonly<Record<string, string>> = {
  "select distinct parent from manifest_child": "it ends at the limit",
  "select t.name from tag t where t.repo = $1 and exists": "all tags of a repository that is to be deleted, up to one",
  "select 1 as found from repo where name = $1 and (": "each `exists` ends at its first row",
  "select name, exists (select 1 from manifest": "`exists` ends at its first row",
  "not exists (select 1 from job) or": "`exists` ends at its first row",
  "delete from tag_history where repo in": "of a repository that goes, all of it goes, when it is short",
  "from ( select id, until from tag_history": "the two hundred oldest entries of a tag",
  "limit $2) returning": "a step of a job takes the first rows that a deleted repository still has",
  "select id, size from manifest where repo = $1 order by digest limit": "a step of a job",
  "select r.id, r.name, exists (select 1 from tag_history": "each `exists` ends at its first row, one at the hundredth",
  "select m.id, m.repo, m.digest, case when r.name": "two hundred rows at most that one manifest names, to count them",
  "order by few.repo limit 50": "of the fifty links that the statement has just read",
  "select ( select count(*) from ( select 1 from blob where review_after":
    "a hundred thousand at most, for a command and no request",
  "select (select count(*) from repo r": "counts everything, for a command and no request",
  "select r.name, (select count(*) from manifest m": "sizes of repositories, for a command and no request",
  "select job, at from last_run": "of those there are four",
  "insert into trash (storage_key, after) select": "empties a registry",
  "where true": "empties a registry",
  "limit 1000) q join repo r": "a thousand rows at most, for a refusal alone",
  "select prefix from quota": "there is one for each quota of the settings",
  "delete from holder where until": "there is one for each process that wrote to uploads in the last seconds",
  "select 1 as found where exists (select 1 from repo)": "each `exists` ends at its first row",
  "from adoption where id = 1": "counts repositories and findings, for a command and a log line now and then",
  "delete from adopted_repository where name in": "it ends at the limit",
  "from audit where logged = 0":
    "in the order of an index that has commands alone, and a server empties it each second",
  ") as oldest where": "the first rows in the order of the key, as many as the limit says",
  ") as newest where": "the last rows in the order of the key, as many as the limit says",
  "limit $2) as found": "a page of events: as many as the limit says",
  "order by m.pushed_at desc limit 1) as last_push":
    "each ends at its first row, for as many repositories as the limit says",
  "select max(name) as name, count(*) as count from (select name from repo": "as many as the limit says",
  "limit 10000) few) as manifests": "each ends at the limit",
  "where b.digest = $1 limit $2) few": "it ends at the limit",
  "from signing_key": "of those there are a few, however large the registry",
};

test("no statement walks, but those of which we know why they may", () => {
  const walks = walksOf(statements);
  const mayWalk = Object.keys(MAY_WALK);
  expect(walks.filter(({ text }) => !mayWalk.some((part) => text.includes(part)))).toEqual([]);
  expect(mayWalk.filter((part) => !walks.some(({ text }) => text.includes(part)))).toEqual([]);
});

test("referrers are found by their subject, and those of a type by their type", () => {
  const [all, ofType] = ["m.digest > $3", "coalesce(m.artifact_type, '') = $5"].map((part) =>
    plansOf(statements.filter((text) => text.includes(`m.subject = $2 and ${part}`))).join(),
  );
  expect(all).toContain("manifest_subject (repo=? AND subject=? AND digest>?)");
  expect(ofType).toContain("manifest_referrer (repo=? AND subject=? AND <expr>=? AND digest>?)");
});

test("when a tag last pointed at a manifest is in the index alone, behind all that did before", () => {
  const reviews = plansOf(statements.filter((text) => text.includes("as last_tagged"))).join();
  expect(reviews).toContain("SEARCH h USING COVERING INDEX tag_history_digest (repo=? AND digest=?)");
});

interface Walk {
  readonly text: string;
  /** What SQLite says that it does. */
  readonly step: string;
}

function walksOf(texts: readonly string[]): readonly Walk[] {
  return texts.flatMap((text) => {
    const steps = plansOf([text]).filter((step) => WALKS.some((walk) => walk.test(step)));
    return steps.map((step) => ({ text, step }));
  });
}

/** The steps by which SQLite runs statements. */
function plansOf(texts: readonly string[]): readonly string[] {
  const connection = Connection.open(database, []); // it prepares statements as the registry does
  try {
    return texts.flatMap((text) =>
      connection.run({ text: `explain query plan ${text}`, values: [] }).map((row) => String(row["detail"])),
    );
  } finally {
    connection.close();
  }
}

function inOneLine(text: string): string {
  return text.trim().replaceAll(/\s+/g, " ");
}
