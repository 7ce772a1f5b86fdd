/** Tag histories are pruned in the background. */
import { expect, test } from "bun:test";
import { silentLogger } from "../../observe/logger.ts";
import { Metrics } from "../../observe/metrics.ts";
import { tag } from "../../oci/tag.ts";
import { collectInBackground } from "./background.ts";
import { HistoryPruning } from "./tag-histories.ts";
import { APP, CollectionSubject, DAY_MS, RULES } from "./testing/collection-subject.ts";

const NAMES = Array.from({ length: 20 }, (_, at) => `v${at}`);
const ENTRIES = 10;

/** A registry whose tags moved to and fro between two images, once a day. */
async function withHistories(): Promise<CollectionSubject> {
  const subject = await CollectionSubject.open("memory");
  const images = [await subject.image({ tags: NAMES }), await subject.image({ note: "another" })];
  for (let move = 1; move <= ENTRIES; move++) {
    subject.later(DAY_MS);
    for (const name of NAMES) await subject.backend.metadata.tags.put(APP, tag(name), images[move % 2]!);
  }
  return subject;
}

async function entries(subject: CollectionSubject): Promise<number> {
  return (await subject.query("select id from tag_history")).length;
}

test("a process goes on with a pass where another one ended, and none before the next day", async () => {
  await using subject = await withHistories();
  const { clock, backend } = subject;
  const killed = new AbortController();
  killed.abort(); // after the first step
  await new HistoryPruning(backend).round(clock.now(), killed.signal);
  expect(await entries(subject)).toBeGreaterThan(NAMES.length * RULES.historyEntries);
  const pruning = new HistoryPruning(backend);
  const { signal } = new AbortController();
  const pruned = await pruning.round(clock.now(), signal);
  expect(pruned).toBeGreaterThan(0);
  // What ended in the last three days can be undone.
  expect(await entries(subject)).toBe(NAMES.length * Math.max(RULES.historyEntries, RULES.undoMs / DAY_MS + 1));
  expect(await pruning.round(clock.now(), signal)).toBe(0);
  subject.later(DAY_MS);
  expect(await pruning.round(clock.now(), signal)).toBe(NAMES.length);
  expect((await backend.metadata.tags.history(APP, tag("v7"), 100)).length).toBe(1 + RULES.historyEntries);
});

test("a server prunes while it collects", async () => {
  await using subject = await withHistories();
  subject.later(DAY_MS);
  const stopping = new AbortController();
  const options = { rules: { ...RULES, leaseMs: 0 }, intervalMs: 1, enabled: true };
  const observers = { log: silentLogger(), metrics: new Metrics("test") };
  const collecting = collectInBackground(subject.backend, options, observers, stopping.signal);
  while ((await entries(subject)) > NAMES.length * RULES.historyEntries) await Bun.sleep(10);
  stopping.abort();
  await collecting;
  expect(await entries(subject)).toBe(NAMES.length * RULES.historyEntries);
});
