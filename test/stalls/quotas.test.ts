/** A new quota is counted in steps, however many repositories lie below its prefix, and no request counts. */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { queryFolder } from "../support/data-folder.ts";
import { scratchFolder } from "../support/scratch.ts";
import { TurnLog } from "./support/turn-log.ts";
import { seed } from "./support/seeder.ts";

setDefaultTimeout(60_000);

const REPOSITORIES = 100_000;
const QUOTA = { prefix: "team", bytes: 10 * REPOSITORIES + 1000 };

/** Repositories of a step, and a few rows for the requests of the same turn. */
const MOST_ROWS = 520;

const dataDir = await scratchFolder();

beforeAll(async () => {
  await seed(dataDir, () => undefined);
  queryFolder(
    dataDir,
    `insert into repo (name, created_at, bytes, tags)
    with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ${REPOSITORIES})
    select printf('team/%07d', i), 1, 10, 0 from n`,
  );
});

test("100,000 repositories are counted 500 in a turn, while pushes begin", async () => {
  using log = new TurnLog();
  const turns = await log.during(async () => {
    await using registry = await createRegistry({ storage: { folder: dataDir }, quotas: [QUOTA] });
    const begin = (): Promise<Response> =>
      registry.fetch(new Request("http://registry/v2/team/app/blobs/uploads/", { method: "POST" }));
    expect((await begin()).status).toBe(202);
    expect(await registry.quotaUsage("team")).toMatchObject({ isCounted: false });
    expect((await registry.overview()).countingQuotas).toEqual(["team"]);
    for (; !(await registry.quotaUsage("team"))?.isCounted; await Bun.sleep(10))
      expect((await begin()).status).toBe(202);
    expect(await registry.quotaUsage("team")).toEqual({
      bytes: 10 * REPOSITORIES,
      tags: 0,
      repositories: REPOSITORIES + 1,
      isCounted: true,
    });
  });
  expect(turns.total("rows")).toBeGreaterThan(REPOSITORIES);
  expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
});

test("counting goes on where a process that died had come to", async () => {
  queryFolder(
    dataDir,
    `update quota set bytes = 10 * 60000, repositories = 60000, counted_to = 'team/0059999' where prefix = 'team'`,
  );
  using log = new TurnLog();
  const turns = await log.during(async () => {
    await using registry = await createRegistry({ storage: { folder: dataDir }, quotas: [QUOTA] });
    while (!(await registry.quotaUsage("team"))?.isCounted) await Bun.sleep(1);
    expect(await registry.quotaUsage("team")).toMatchObject({
      bytes: 10 * REPOSITORIES,
      repositories: REPOSITORIES + 1,
    });
  });
  expect(turns.total("rows")).toBeLessThan(REPOSITORIES / 2);
});

test("what was counted is forgotten with the setting", async () => {
  await using registry = await createRegistry({ storage: { folder: dataDir }, quotas: [] });
  while (await registry.quotaUsage("team")) await Bun.sleep(1);
  expect(queryFolder(dataDir, "select * from quota")).toEqual([]);
});
