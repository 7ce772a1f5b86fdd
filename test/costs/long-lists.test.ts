/** A list of 100,000 tags is read from the database as its reader takes it, and is never all in memory. */
import { beforeAll, expect, test } from "bun:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createRegistry } from "../../src/create-registry.ts";
import { pushImage } from "../support/client.ts";
import { residentMb } from "../support/resident.ts";
import { startReading } from "../support/slow-reader.ts";
import { useRegistry } from "../support/use-registry.ts";
import { addTags } from "./support/many-tags.ts";
import { StatementLog } from "./support/statement-log.ts";

const TAGS = 100_000;

/** What ten readers may make the server need, in megabytes; all that they ask for is five times as much. */
const BOUND_MB = 24;

const server = useRegistry();

beforeAll(async () => {
  await pushImage(server().url, "app", "v1");
  addTags(server().dataDir, "app", "v1", TAGS - 1);
});

const path = "/v2/app/tags/list";

test("who has taken the beginning has made the registry read the beginning", async () => {
  await using registry = await createRegistry({ storage: { folder: server().dataDir } });
  using log = new StatementLog();
  const reply = await registry.fetch(new Request(`http://registry${path}`));
  const body = reply.body!.getReader();
  const atFirst = await log.during(async () => {
    await body.read();
    for (let turn = 0; turn < 100; turn++) await nextTurn(); // time to read on, if the reader need not ask for more
  });
  expect(atFirst.length).toBeLessThan(10); // of 100 pages
  const atEnd = await log.during(async () => {
    while (!(await body.read()).done);
  });
  expect(atEnd.length).toBeGreaterThan(90); // the others
});

test("ten readers that stopped in the middle cost little memory", async () => {
  const { url, port, pid } = server();
  const all = (await (await fetch(url + path)).json()) as { readonly tags: readonly string[] };
  expect(all.tags).toHaveLength(TAGS);
  const bytes = JSON.stringify(all).length;
  const before = await residentMb(pid);

  const readers = await Promise.all(Array.from({ length: 10 }, () => startReading(port, path)));
  expect(bytes * readers.length).toBeGreaterThan(5 * BOUND_MB * 1024 * 1024);
  // What is garbage goes a little later; what waits for its reader would stay.
  for (let tries = 0; tries < 200 && (await residentMb(pid)) - before >= BOUND_MB; tries++) await Bun.sleep(50);
  expect((await residentMb(pid)) - before).toBeLessThan(BOUND_MB);

  const { body } = await readers[0]!.finish();
  expect(body.length).toBeGreaterThan(bytes); // with the lengths of its chunks
  expect(Buffer.from(body.subarray(-100)).toString("latin1")).toEndWith("]}\r\n0\r\n\r\n");
});
