/**
 * Integrity checks and the scrub keep no client waiting: of small blobs one page of rows is read in a turn, without their
 * bytes, and of large ones the bytes of one.
 */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { queryFolder } from "../support/data-folder.ts";
import { scratchFolder } from "../support/scratch.ts";
import { seed } from "./support/seeder.ts";
import { TurnLog } from "./support/turn-log.ts";
import type { Turns } from "./support/turn-log.ts";

setDefaultTimeout(60_000);

const SMALL = 3000;
const LARGE = 100;
const LARGE_BYTES = 256 * 1024;
const SHOWN_BY = 20_000;

/** A page of rows without bytes. */
const MOST_ROWS = 210;
/** The bytes of a large blob, and the digests of a page. */
const MOST_BYTES = LARGE_BYTES + 100 * 1024;

const dataDir = await scratchFolder();

beforeAll(async () => {
  await seed(dataDir, (seeder) => {
    seeder.image("shared/app", "v0");
    seeder.blobs({ repository: "small/app", count: SMALL });
    seeder.blobs({ repository: "large/app", count: LARGE, bytes: LARGE_BYTES });
  });
});

async function turnsOf(options: { readonly deep: boolean; readonly repair: boolean }): Promise<Turns> {
  await using registry = await createRegistry({ storage: { folder: dataDir } });
  using log = new TurnLog();
  return await log.during(async () => {
    expect(await Array.fromAsync(registry.check(options))).toEqual([]);
  });
}

test("a check of inline blobs reads their rows in pages, and none of their bytes", async () => {
  const turns = await turnsOf({ deep: false, repair: false });
  expect(turns.total("rows")).toBeGreaterThan(SMALL + LARGE);
  expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
  expect(turns.total("bytes")).toBeLessThan((SMALL + LARGE) * 200);
});

test.each([false, true])(
  "a deep check of inline blobs reads the bytes of one large blob in a turn (repair: %p)",
  async (repair) => {
    const turns = await turnsOf({ deep: true, repair });
    expect(turns.total("bytes")).toBeGreaterThan(LARGE * LARGE_BYTES);
    expect(turns.most("bytes")).toBeLessThan(MOST_BYTES);
  },
);

test("a scrub reads inline blobs as slowly as it is told, and the bytes of one large blob in a turn", async () => {
  await using registry = await createRegistry({ storage: { folder: dataDir } });
  using log = new TurnLog();
  const stopping = new AbortController();
  const turns = await log.during(async () => {
    const scrubbing = registry.scrubInBackground({ bytesPerSecond: 4 * 1024 * 1024, pauseMs: 1 }, stopping.signal);
    await Bun.sleep(1500);
    stopping.abort();
    await scrubbing;
  });
  expect(turns.total("bytes")).toBeGreaterThan(0);
  expect(turns.total("bytes")).toBeLessThan(LARGE * LARGE_BYTES);
  expect(turns.most("bytes")).toBeLessThan(MOST_BYTES);
});

test("of a corrupt blob that 20,000 repositories need, 100 manifests are looked at", async () => {
  queryFolder(
    dataDir,
    `insert into repo (name, created_at)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${SHOWN_BY}) select 'many/' || i, 1 from n`,
  );
  queryFolder(
    dataDir,
    `insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload)
    select r.id, m.digest, m.media_type, m.size, 1, 1, m.payload from repo r, manifest m where r.name > 'many/' and r.name < 'many0'`,
  );
  queryFolder(
    dataDir,
    `insert into manifest_blob (repo, manifest, blob)
    select m.repo, m.id, e.blob from manifest m join repo r on r.id = m.repo
    join manifest o on o.digest = m.digest and o.repo <> m.repo join manifest_blob e on e.manifest = o.id
    where r.name > 'many/' and r.name < 'many0' and o.repo in (select id from repo where name < 'many/' or name > 'many0')`,
  );
  queryFolder(dataDir, "update blob set state = 'damaged' where id in (select blob from manifest_blob)");
  await using registry = await createRegistry({ storage: { folder: dataDir } });
  using log = new TurnLog();
  const turns = await log.during(async () => {
    const findings = await Array.fromAsync(registry.check({ deep: false }));
    expect(findings.map(({ kind }) => kind)).toEqual(["marked damaged", "marked damaged"]);
    for (const finding of findings) {
      expect("images" in finding && finding.images.map(({ repository }) => repository)).toContain(
        "shared/app" as never,
      );
      expect("images" in finding && finding.images).toHaveLength(100);
    }
  });
  expect(turns.most("rows")).toBeLessThan(2 * MOST_ROWS);
});
