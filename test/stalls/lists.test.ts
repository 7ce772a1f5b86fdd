/**
 * Lists keep no other client waiting, however long they are: each turn of the event loop reads a page. Work is counted, and
 * not timed; `bench/stalls.ts` prints the times.
 */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { startRegistry } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { Pinger } from "./support/pinger.ts";
import { seed } from "./support/seeder.ts";
import { TurnLog } from "./support/turn-log.ts";

setDefaultTimeout(60_000);

const TAGS = 100_000;

/** Rows of a page, and a few more for the request itself. */
const MOST_ROWS = 1010;

const dataDir = await scratchFolder();

beforeAll(async () => {
  await seed(dataDir, (seeder) => {
    seeder.image("big/app", "v0");
    seeder.tags("big/app", "v0-0", TAGS);
  });
});

test("100,000 tags are read from the database in 100 turns of the event loop", async () => {
  await using registry = await createRegistry({ storage: { folder: dataDir } });
  using log = new TurnLog();
  const turns = await log.during(async () => {
    const reply = await registry.fetch(new Request("http://registry/v2/big/app/tags/list"));
    expect(((await reply.json()) as { readonly tags: readonly string[] }).tags).toHaveLength(TAGS + 1);
  });
  expect(turns.total("rows")).toBeGreaterThanOrEqual(TAGS);
  expect(turns.most("rows")).toBeLessThan(MOST_ROWS);
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
