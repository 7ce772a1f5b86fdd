/** Events with PostgreSQL: whatever is committed late, killed or restarted, a reader gets each of them, in order. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Metadata } from "../../src/metadata/metadata.ts";
import { insertEvent } from "../../src/metadata/outbox.ts";
import type { StoredEvent } from "../../src/metadata/outbox.ts";
import { APP, Subject } from "../../src/metadata/testing/subject.ts";
import { tag } from "../../src/oci/tag.ts";
import { createRecorder } from "../../src/registry/events/recorder.ts";
import { Receiver } from "../../src/registry/events/testing/receiver.ts";
import { OCI_INDEX } from "../support/content.ts";
import { PROGRAM } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import { Lockstep } from "./support/lockstep.ts";
import { PostgresServer, openEngine, sharedServer } from "./support/postgres-server.ts";

setDefaultTimeout(120_000);

const scratch = await scratchFolder();

const PAGE = { limit: 100, maxBytes: 1e9 };

const recorder = createRecorder({
  endpoints: [],
  forReaders: true,
  audit: false,
  events: { source: { addr: "", instanceID: "" }, includeReferences: false, base: "" },
});

/** A database with a manifest for tags to point at, and two processes that record what they change. */
async function openWriters() {
  const url = await (await sharedServer()).createMigratedDatabase();
  const subject = await Subject.open(async (clock) => {
    const engine = await openEngine(url);
    return { store: new Metadata(engine, clock), engine };
  });
  const { engine, clock } = subject;
  const other = await openEngine(url);
  return {
    subject,
    one: new Metadata(engine, clock, { recorder }),
    other: new Metadata(other, clock, { recorder }),
    async [Symbol.asyncDispose]() {
      await subject.store.close();
      await other.close();
    },
  };
}

function digestsOf(events: readonly StoredEvent[]): readonly string[] {
  return events.map(({ payload }) => (JSON.parse(payload) as { target: { digest: string } }).target.digest);
}

function tagsOf(events: readonly StoredEvent[]): readonly string[] {
  return events.map(({ payload }) => (JSON.parse(payload) as { target: { tag: string } }).target.tag);
}

describe("a reader", () => {
  test("gets the event of a transaction that commits late behind those that came before", async () => {
    await using writers = await openWriters();
    const { subject, one, other } = writers;
    const images = [await subject.image("one"), await subject.image("other")] as const;
    using lockstep = new Lockstep();
    const slow = await lockstep.upToCommit(() => one.tags.put(APP, tag("slow"), images[0]));
    await other.tags.put(APP, tag("quick"), images[1]);
    const seen = await other.outbox.after(0, PAGE);
    expect(tagsOf(seen)).toEqual(["quick"]);
    await slow.commit();
    expect(tagsOf(await other.outbox.after(seen.at(-1)!.seq, PAGE))).toEqual(["slow"]);
    expect((await one.outbox.after(0, PAGE)).map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("gets two moves of a tag in their order, though the later one began first and a third transaction runs", async () => {
    await using writers = await openWriters();
    const { subject, one, other } = writers;
    const [first, last] = [await subject.image("first"), await subject.image("last")];
    const third = await subject.image("third");
    using lockstep = new Lockstep();
    // Its transaction has its number, which is the smallest, and does not have the lock of the tag.
    const beforeLock = lockstep.hold(/pg_advisory_xact_lock/);
    const later = one.tags.put(APP, tag("moving"), last);
    await beforeLock.reached;
    const open = await lockstep.upToCommit(() => other.tags.put(APP, tag("open"), third));
    await other.tags.put(APP, tag("moving"), first);
    beforeLock.go();
    await later;
    const seen = await other.outbox.after(0, PAGE);
    expect(tagsOf(seen)).toEqual(["moving", "moving"]);
    expect(digestsOf(seen)).toEqual([first, last]);
    expect((await other.manifests.findByTag(APP, tag("moving")))?.digest).toBe(last);
    await open.commit();
    expect(tagsOf(await other.outbox.after(2, PAGE))).toEqual(["open"]);
  });

  test("gets every event once, in order, while eight writers commit at any time and two readers number", async () => {
    await using writers = await openWriters();
    const { one, other, subject } = writers;
    const [WRITERS, EVENTS] = [8, 25];
    let isDone = false;
    const read = async (store: Metadata): Promise<readonly StoredEvent[]> => {
      const events: StoredEvent[] = [];
      for (let wasDone = false; !wasDone;) {
        wasDone = isDone;
        const page = await store.outbox.after(events.at(-1)?.seq ?? 0, { ...PAGE, limit: 7 });
        events.push(...page);
        if (page.length > 0) wasDone = false;
      }
      return events;
    };
    const reading = Promise.all([read(one), read(other)]);
    const write = async (writer: number): Promise<void> => {
      for (let at = 0; at < EVENTS; at++) {
        await subject.engine.write(function* () {
          yield insertEvent(`[${writer},${at}]`, 1);
          yield { text: "select pg_sleep(random() * 0.01)", values: [] };
        });
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
    isDone = true;
    for (const events of await reading) {
      expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: WRITERS * EVENTS }, (_, at) => at + 1));
      const parsed = events.map(({ payload }) => JSON.parse(payload) as [writer: number, at: number]);
      for (let writer = 0; writer < WRITERS; writer++) {
        const ofWriter = parsed.filter(([by]) => by === writer).map(([, at]) => at);
        expect(ofWriter).toEqual(Array.from({ length: EVENTS }, (_, at) => at));
      }
    }
  });
});

/** A server of its own, which a test stops, and registries on it that send events to a receiver. */
async function openSenders(receiver: Receiver) {
  const postgres = await PostgresServer.start();
  const dataDir = await mkdtemp(join(scratch, "blobs-"));
  const config = join(dataDir, "..", `${dataDir.split("/").at(-1)}.yml`);
  const endpoint = { name: "hook", url: receiver.url, ignore: { actions: ["pull"] }, backoff: "50ms" };
  await writeFile(config, JSON.stringify({ notifications: { endpoints: [endpoint] }, events: { keep: "1h" } }));
  const env = { REGISTRY_DATABASE_URL: await postgres.createDatabase() };
  return {
    postgres,
    config,
    env,
    dataDir,
    start: () => startListening({ dataDir, env, words: ["serve", "--config", config] }),
    [Symbol.asyncDispose]: () => postgres.end(),
  };
}

/** Pushes a manifest without blobs, and says whether it was answered with 201. */
async function push(url: string, name: string, at: number): Promise<boolean> {
  const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], annotations: { at: `${at}` } });
  const reply = await fetch(`${url}/v2/${name}/manifests/v${at}`, {
    method: "PUT",
    body,
    headers: { "content-type": OCI_INDEX },
  }).catch(() => undefined);
  return reply?.status === 201;
}

test("an endpoint gets every event in order, when the server that sends is killed and PostgreSQL is restarted", async () => {
  await using receiver = await Receiver.start((_, at) => (at % 7 === 3 ? 503 : 200));
  await using senders = await openSenders(receiver);
  const first = await senders.start();
  const acknowledged = new Set<string>();
  const pushTo = async (url: string, from: number, until: number): Promise<void> => {
    for (let at = from; at < until; at++) if (await push(url, "team/app", at)) acknowledged.add(`v${at}`);
  };
  await pushTo(first.url, 0, 20);
  while (receiver.taken.length < 5) await sleep(5);
  await using second = await senders.start();
  const pushing = Promise.all([pushTo(first.url, 100, 140), pushTo(second.url, 200, 240)]);
  while (receiver.taken.length < 30) await sleep(5);
  first.signal("SIGKILL");
  await pushing;
  await senders.postgres.stop("crash");
  const during = pushTo(second.url, 300, 310);
  await senders.postgres.run();
  await during;
  await pushTo(second.url, 400, 410);
  await using third = await senders.start();
  await pushTo(third.url, 500, 510);
  const expected = async (): Promise<number> => {
    const reply = await fetch(`${third.url}/api/v1/events?limit=1000`);
    return ((await reply.json()) as { events: readonly unknown[] }).events.length;
  };
  while (receiver.events.length < (await expected())) await sleep(50);

  const taken = receiver.taken.map(({ headers, event }) => ({
    seq: Number(headers["x-registry-event-seq"]),
    id: event.id,
    tag: event.target.tag ?? "",
  }));
  // One id for each number, and the numbers in order, some of them more than once.
  expect(new Set(taken.map(({ seq, id }) => `${seq} ${id}`)).size).toBe(new Set(taken.map(({ seq }) => seq)).size);
  const seqs = [...new Set(taken.map(({ seq }) => seq))];
  expect(seqs).toEqual(seqs.map((_, at) => at + 1));
  const told = new Set(taken.map(({ tag: each }) => each));
  expect([...acknowledged].filter((each) => !told.has(each))).toEqual([]);
  expect(acknowledged.size).toBeGreaterThan(80);

  // What the commands say of it.
  const run = (...words: readonly string[]): string =>
    Bun.spawnSync([PROGRAM, ...words, "--config", senders.config, "--data", senders.dataDir], {
      env: { PATH: process.env["PATH"] ?? "", ...senders.env },
    }).stdout.toString();
  expect(JSON.parse(run("events", "status", "--json"))).toMatchObject({ endpoint: "hook", pending: 0, dead: 0 });
});
