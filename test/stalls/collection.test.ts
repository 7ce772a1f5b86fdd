/**
 * Garbage collection keeps no client waiting, whatever there is to collect: it works in steps with a bounded number of rows, in
 * turns of the event loop of their own, and its work grows with what it looks at. Work is counted, and not timed.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { queryFolder } from "../support/data-folder.ts";
import { scratchFolder } from "../support/scratch.ts";
import { seed } from "./support/seeder.ts";
import type { Seeder } from "./support/seeder.ts";
import { TurnLog } from "./support/turn-log.ts";

setDefaultTimeout(60_000);

const NOW = { leaseMs: 0, graceMs: 0, undoMs: 0, freshMs: 0 };

/** Statements of one turn: some for each of the manifests that a step removes. */
const MOST_STATEMENTS = 300;
/** Rows that the statements of one turn return. */
const MOST_ROWS = 1000;
/** Rows that those of one turn change: several for each of what a step takes. */
const MOST_CHANGES = 3000;

const NUMBERS = `with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < $1)`;
const DIGEST = (of: string): string => `unhex('01' || printf('%064x', ${of}))`;
const IMAGE = "application/vnd.oci.image.manifest.v1+json";

/** Adds rows to a folder; `$1` is how many. */
function add(folder: string, count: number, ...texts: readonly string[]): void {
  for (const text of texts) queryFolder(folder, text.replace("NUMBERS", NUMBERS), count);
}

/** One blob that so many repositories show, and no manifest references. */
function addSharedBlob(folder: string, repositories: number): void {
  const digest = DIGEST("1 << 40");
  add(
    folder,
    repositories,
    `insert into repo (id, name, created_at) NUMBERS select 100000 + i, printf('shows/%06d', i), 1 from n`,
  );
  queryFolder(
    folder,
    `insert into blob (digest, size, state, created_at, touched_at, unref_at, payload)
     values (${digest}, 5, 'live', 1, 1, 1, zeroblob(5))`,
  );
  queryFolder(
    folder,
    `insert into repo_blob (repo, blob, touched_at, unref_at, review_after)
     select r.id, b.id, 1, 1, 1 from repo r, blob b where r.id >= 100000 and b.digest = ${digest}`,
  );
}

/** Untagged manifests in one repository. */
function addManifests(folder: string, count: number): void {
  add(
    folder,
    count,
    `insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload)
     NUMBERS select (select min(id) from repo), ${DIGEST("i")}, '${IMAGE}', 2, 1, 1, x'7b7d' from n`,
  );
}

async function withFolder(
  fill: (seeder: Seeder) => void,
  work: (registry: Registry, log: TurnLog) => Promise<void>,
  more: (folder: string) => void = () => {},
): Promise<void> {
  const folder = await scratchFolder();
  await seed(folder, fill);
  more(folder);
  await using registry = await createRegistry({ storage: { folder } });
  using log = new TurnLog();
  await work(registry, log);
}

describe("a dry run", () => {
  test("of 1,500 blobs, one of them in 1,500 repositories, reads some rows in each turn and writes none", async () => {
    await withFolder(
      (seeder) => seeder.blobs({ repository: "team/app", count: 1499, bytes: 16 }),
      async (registry, log) => {
        const found = { link: 0, blob: 0, manifest: 0 };
        const turns = await log.during(async () => {
          for await (const { kind } of registry.collectable(NOW)) found[kind]++;
        });
        expect(found).toEqual({ link: 1499 + 1500, blob: 1500, manifest: 0 });
        expect(turns.total("changes")).toBe(0);
        expect(turns.most("rows")).toBeLessThanOrEqual(MOST_ROWS);
        expect(turns.most("statements")).toBeLessThanOrEqual(10);
        expect(turns.total("rows")).toBeLessThanOrEqual(5 * 3000);
        expect(turns.busy.length).toBeGreaterThanOrEqual(30);
      },
      (folder) => addSharedBlob(folder, 1500),
    );
  });

  test("of 3,000 untagged manifests reads some rows in each turn and writes none", async () => {
    await withFolder(
      (seeder) => seeder.image("team/app", "tagged"),
      async (registry, log) => {
        const found = { link: 0, blob: 0, manifest: 0 };
        const turns = await log.during(async () => {
          for await (const { kind } of registry.collectable({ ...NOW, untagged: true })) found[kind]++;
        });
        expect(found).toEqual({ link: 0, blob: 0, manifest: 3000 });
        expect(turns.total("changes")).toBe(0);
        expect(turns.most("rows")).toBeLessThanOrEqual(MOST_ROWS);
        expect(turns.total("rows")).toBeLessThanOrEqual(5 * 3000);
      },
      (folder) => addManifests(folder, 3000),
    );
  });
});

describe("a collection", () => {
  test("of 800 blobs, one of them in 400 repositories, changes some rows in each turn", async () => {
    await withFolder(
      (seeder) => seeder.blobs({ repository: "team/app", count: 799, bytes: 16 }),
      async (registry, log) => {
        const turns = await log.during(async () => {
          expect(await registry.collect(NOW)).toMatchObject({ links: 799 + 400, blobs: 800 });
        });
        expect(turns.most("changes")).toBeLessThanOrEqual(MOST_CHANGES);
        expect(turns.most("rows")).toBeLessThanOrEqual(MOST_ROWS);
        expect(turns.total("statements")).toBeLessThanOrEqual(6 * 1200); // three for each repository that is forgotten
        expect(turns.busy.length).toBeGreaterThanOrEqual(1199 / 200);
      },
      (folder) => addSharedBlob(folder, 400),
    );
  });

  test("of 400 untagged manifests changes some rows in each turn", async () => {
    await withFolder(
      (seeder) => seeder.image("team/app", "tagged"),
      async (registry, log) => {
        const turns = await log.during(async () => {
          expect(await registry.collect({ ...NOW, untagged: true })).toMatchObject({ manifests: 400 });
        });
        expect(turns.most("statements")).toBeLessThanOrEqual(MOST_STATEMENTS);
        expect(turns.most("changes")).toBeLessThanOrEqual(MOST_CHANGES);
        expect(turns.most("rows")).toBeLessThanOrEqual(MOST_ROWS);
        expect(turns.total("statements")).toBeLessThanOrEqual(30 * 400);
      },
      (folder) => addManifests(folder, 400),
    );
  });

  test("of manifests that name many blobs takes few of them in one turn", async () => {
    await withFolder(
      (seeder) => seeder.blobs({ repository: "team/app", count: 100, bytes: 16 }),
      async (registry, log) => {
        const turns = await log.during(async () => {
          expect(await registry.collect({ ...NOW, untagged: true })).toMatchObject({ manifests: 50, blobs: 100 });
        });
        expect(turns.most("changes")).toBeLessThanOrEqual(MOST_CHANGES);
      },
      (folder) => {
        addManifests(folder, 50);
        queryFolder(
          folder,
          `insert into manifest_blob (repo, manifest, blob) select m.repo, m.id, b.id from manifest m, blob b`,
        );
      },
    );
  });

  test("of a chain of 100 indexes looks at each a few times, not at all of them again for each", async () => {
    await withFolder(
      (seeder) => seeder.image("team/app", "tagged"),
      async (registry, log) => {
        const turns = await log.during(async () => {
          expect(await registry.collect({ ...NOW, untagged: true })).toMatchObject({ manifests: 100 });
        });
        expect(turns.total("rows")).toBeLessThanOrEqual(20 * 100);
      },
      (folder) => {
        addManifests(folder, 100);
        // In any order: each goes after the one that names it.
        queryFolder(
          folder,
          `insert into manifest_child (repo, parent, child)
           select repo, parent, child from (
             select repo, id as parent, lead(digest) over (order by substr(digest, -1), digest) as child
             from manifest where payload = x'7b7d')
           where child is not null`,
        );
      },
    );
  });
});

test("what waits is counted up to a bound", async () => {
  await withFolder(
    (seeder) => seeder.image("team/app", "tagged"),
    async (registry) => {
      expect(await registry.backlog()).toMatchObject({ entries: 100_000, nextReviewAt: 7, files: 1 });
    },
    (folder) => {
      add(
        folder,
        100_001,
        `insert into blob (digest, size, state, created_at, touched_at, unref_at, review_after, payload)
         NUMBERS select ${DIGEST("i")}, 1, 'live', 1, 1, 1, 7, x'00' from n`,
      );
      queryFolder(folder, `insert into trash (storage_key, after) values ('blobs/none', 1)`);
    },
  );
});
