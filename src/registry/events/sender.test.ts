/** Senders: what a receiver gets that is down, slow, failing or killed: every event, in order, once per id. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHmac } from "node:crypto";
import { insertEvent } from "../../metadata/outbox.ts";
import { silentLogger } from "../../observe/logger.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { CollectionSubject } from "../gc/testing/collection-subject.ts";
import type { Endpoint } from "./endpoint.ts";
import { eventsOf } from "./event.ts";
import type { RegistryEvent } from "./event.ts";
import { keepWithinBounds } from "./retention.ts";
import { sendEvents } from "./sender.ts";
import type { SenderParts } from "./sender.ts";
import type { EventCount, NotificationCounts } from "./counts.ts";
import { Receiver } from "./testing/receiver.ts";

setDefaultTimeout(30_000);

const APP = repositoryName("team/app");
const OPTIONS = { source: { addr: "here", instanceID: "one" }, includeReferences: false, base: "http://registry" };

function endpointTo(url: string, changed: Partial<Endpoint> = {}): Endpoint {
  return {
    name: "hook",
    url,
    headers: {},
    timeoutMs: 2000,
    threshold: 3,
    backoffMs: 20,
    attempts: 0,
    ignoredMediaTypes: [],
    ignoredActions: [],
    pushes: "all",
    heads: true,
    envelope: "distribution",
    ...changed,
  };
}

const RULES = { endpoints: ["hook"], readersMs: 0, rows: 1000, bytes: 1e9 };

class Counts implements NotificationCounts {
  readonly events: Partial<Record<EventCount, number>> = {};
  readonly statuses: Record<string, number> = {};
  event(type: EventCount, _endpoint: string, count = 1): void {
    this.events[type] = (this.events[type] ?? 0) + count;
  }
  status(code: string): void {
    this.statuses[code] = (this.statuses[code] ?? 0) + 1;
  }
  pending(): void {}
}

/** A registry with events in its outbox, and the senders of a process. */
class Sending implements AsyncDisposable {
  readonly subject: CollectionSubject;
  readonly counts = new Counts();
  #stopping = new AbortController();
  #running: Promise<unknown>[] = [];

  constructor(subject: CollectionSubject) {
    this.subject = subject;
  }

  static async open(endpoint = "hook"): Promise<Sending> {
    const subject = await CollectionSubject.open("memory");
    await subject.backend.metadata.outbox.begin([endpoint]);
    return new Sending(subject);
  }

  async add(count: number, changed: Partial<RegistryEvent> = {}): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let each = 0; each < count; each++) {
      const [event] = eventsOf({ action: "delete", object: "repository", repository: APP }, undefined, each, OPTIONS);
      const told = { ...event!, ...changed };
      ids.push(told.id);
      await this.subject.engine.write(function* () {
        yield insertEvent(JSON.stringify(told), 1);
      });
    }
    return ids;
  }

  start(endpoint: Endpoint, changed: Partial<SenderParts> = {}): void {
    const { backend } = this.subject;
    const { counts } = this;
    const log = silentLogger();
    const parts = { backend, endpoint, log, counts, userAgent: "test", keepDead: 2, intervalMs: 5, ...changed };
    this.#running.push(sendEvents(parts, this.#stopping.signal));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
    [this.#stopping, this.#running] = [new AbortController(), []];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.subject[Symbol.asyncDispose]();
  }
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await Bun.sleep(5);
}

const idsOf = (receiver: Receiver): readonly string[] => receiver.events.map(({ id }) => id);

let open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.toReversed()) await each[Symbol.asyncDispose]();
  open = [];
});

async function opened<Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> {
  const made = await resource;
  open.push(made);
  return made;
}

describe("a receiver", () => {
  test("gets every event once, in order, with headers that name and sign it", async () => {
    const receiver = await opened(Receiver.start());
    const sending = await opened(Sending.open());
    const ids = await sending.add(250);
    sending.start(endpointTo(receiver.url, { secret: "key", headers: { "X-Hook": ["a", "b"] } }));
    await until(() => sending.counts.events.Successes === 250);
    await sending.stop();
    expect(receiver.taken.map(({ event }) => event.id)).toEqual([...ids]);
    const { headers, body } = receiver.taken[0]!;
    expect(headers["content-type"]).toBe("application/vnd.docker.distribution.events.v2+json");
    expect(headers["x-hook"]).toBe("a, b");
    expect(headers["x-registry-event-id"]).toBe(ids[0]);
    expect(receiver.taken.map((each) => Number(each.headers["x-registry-event-seq"]))).toEqual(
      Array.from({ length: 250 }, (_, index) => index + 1),
    );
    expect(headers["x-registry-signature"]).toBe(`sha256=${createHmac("sha256", "key").update(body).digest("hex")}`);
    expect(sending.counts.events).toEqual({ Events: 250, Successes: 250 });
    expect(sending.counts.statuses).toEqual({ "200 OK": 250 });
  });

  test("that fails in every way at times gets every event in order, with the id of the first try", async () => {
    const answers = [500, 404, "breaks", 429, 200, 302, "hangs", 401, 204] as const;
    const receiver = await opened(Receiver.start((_delivery, at) => answers[at % answers.length] ?? 200));
    const sending = await opened(Sending.open());
    const ids = await sending.add(30);
    sending.start(endpointTo(receiver.url, { timeoutMs: 50 }));
    await until(() => receiver.events.length === 30);
    expect(idsOf(receiver)).toEqual(ids);
    expect(receiver.tries.length).toBeGreaterThan(30);
    expect(await sending.subject.backend.metadata.outbox.dead(0, 10)).toEqual([]);
  });

  test("that is down when events come gets them once it is up", async () => {
    const first = await Receiver.start();
    const { port, url } = first;
    await first[Symbol.asyncDispose]();
    const sending = await opened(Sending.open());
    const ids = await sending.add(5);
    sending.start(endpointTo(url));
    await until(() => (sending.counts.events.Errors ?? 0) > 3);
    const receiver = await opened(Receiver.start(() => 200, port));
    await until(() => receiver.events.length === 5);
    expect(idsOf(receiver)).toEqual(ids);
  });

  test("gets each event from one of two senders at a time", async () => {
    const receiver = await opened(Receiver.start());
    const sending = await opened(Sending.open());
    const endpoint = endpointTo(receiver.url);
    sending.start(endpoint);
    sending.start(endpoint);
    const ids = [...(await sending.add(40)), ...(await sending.add(40))];
    await until(() => receiver.events.length === 80);
    await sending.stop();
    expect(receiver.taken.map(({ event }) => event.id)).toEqual(ids); // none twice
  });

  test("whose sender stops in the midst gets the rest from the next one", async () => {
    const receiver = await opened(Receiver.start((_delivery, at) => (at === 3 ? "hangs" : 200)));
    const sending = await opened(Sending.open());
    const ids = await sending.add(6);
    sending.start(endpointTo(receiver.url));
    await until(() => receiver.tries.length === 3);
    await sending.stop();
    expect(receiver.events.length).toBe(2);
    sending.start(endpointTo(receiver.url));
    await until(() => receiver.events.length === 6);
    expect(idsOf(receiver)).toEqual(ids);
    expect(receiver.tries.length).toBe(7); // the third one twice
  });

  test("is told what its endpoint wants, and the rest passes by", async () => {
    const receiver = await opened(Receiver.start());
    const sending = await opened(Sending.open());
    const push = { action: "push", target: { mediaType: "a/b", digest: "", size: 0, repository: "team/app" } } as const;
    await sending.add(1);
    await sending.add(1, push);
    const [tagged] = await sending.add(1, { ...push, target: { ...push.target, mediaType: "c/d", tag: "v1" } });
    await sending.add(1, { ...push, target: { ...push.target, mediaType: "a/b", tag: "v1" } });
    sending.start(
      endpointTo(receiver.url, { ignoredActions: ["delete"], ignoredMediaTypes: ["a/b"], pushes: "tagged" }),
    );
    await until(async () => !(await sending.subject.backend.metadata.outbox.hasNext("hook")));
    expect(idsOf(receiver)).toEqual([tagged!]);
  });
});

describe("a dead letter", () => {
  test("is what a receiver refuses for good, and the next events follow", async () => {
    const receiver = await opened(Receiver.start(({ event }) => (event.action === "mount" ? 400 : 200)));
    const sending = await opened(Sending.open());
    const [bad] = await sending.add(1, { action: "mount" });
    const ids = await sending.add(2);
    sending.start(endpointTo(receiver.url));
    await until(() => receiver.events.length === 2);
    expect(idsOf(receiver)).toEqual(ids);
    const [dead] = await sending.subject.backend.metadata.outbox.dead(0, 10, "hook");
    expect(dead).toMatchObject({ endpoint: "hook", seq: 1, attempts: 3, reason: "400 Bad Request", isDue: false });
    expect((JSON.parse(dead!.payload) as RegistryEvent).id).toBe(bad!);
  });

  test("that is sent again has its id, and is gone once it is delivered", async () => {
    let isMended = false;
    const receiver = await opened(Receiver.start(() => (isMended ? 200 : 422)));
    const sending = await opened(Sending.open());
    const { outbox } = sending.subject.backend.metadata;
    const [id] = await sending.add(1);
    sending.start(endpointTo(receiver.url));
    await until(async () => (await outbox.dead(0, 10)).length === 1);
    expect(await outbox.retry([1])).toBe(1);
    await until(() => receiver.tries.length === 6);
    await until(async () => (await outbox.dead(0, 10))[0]?.attempts === 6); // it died again
    isMended = true;
    expect(await outbox.retry([1, 2])).toBe(1);
    await until(async () => (await outbox.dead(0, 10)).length === 0);
    expect(idsOf(receiver)).toEqual([id!]);
  });

  test("comes of any failure where the endpoint has a number of attempts, and only the newest are kept", async () => {
    const receiver = await opened(Receiver.start(() => 503));
    const sending = await opened(Sending.open());
    await sending.add(4);
    sending.start(endpointTo(receiver.url, { attempts: 2, backoffMs: 1 }));
    await until(() => sending.counts.events.Dead === 4);
    await until(() => sending.counts.events.Lost === 2);
    const dead = await sending.subject.backend.metadata.outbox.dead(0, 10);
    expect(dead.map(({ seq }) => seq)).toEqual([3, 4]);
  });
});

async function keptAfter(sending: Sending, rules: object, isDone: () => Promise<boolean> | boolean): Promise<number> {
  const stopping = new AbortController();
  const { backend } = sending.subject;
  const parts = { backend, log: silentLogger(), counts: sending.counts, rules: { ...RULES, ...rules } };
  const keeping = keepWithinBounds(parts, stopping.signal);
  await until(isDone);
  stopping.abort();
  await keeping;
  return (await backend.metadata.outbox.after(0, { limit: 1000, maxBytes: 1e9 })).length;
}

describe("the outbox", () => {
  test("keeps of what is delivered the newest event alone, so that no number comes twice", async () => {
    const sending = await opened(Sending.open());
    await sending.add(10);
    const { outbox } = sending.subject.backend.metadata;
    await outbox.advance("hook", 10);
    const kept = await keptAfter(sending, {}, async () => (await outbox.range()).first === 10);
    expect(kept).toBe(1);
    await sending.add(1);
    expect((await outbox.range()).last).toBe(11);
  });

  test("drops the oldest events when there are too many, and counts them", async () => {
    const sending = await opened(Sending.open());
    await sending.add(30);
    const { outbox } = sending.subject.backend.metadata;
    await outbox.advance("hook", 5);
    const kept = await keptAfter(sending, { rows: 10 }, () => sending.counts.events.Dropped === 15);
    expect(kept).toBe(10);
    expect((await outbox.next("hook", { limit: 1, maxBytes: 1 }))[0]?.seq).toBe(21);
  });

  test("drops the oldest events when they have too many bytes", async () => {
    const sending = await opened(Sending.open());
    await sending.add(30);
    const { outbox } = sending.subject.backend.metadata;
    const { bytes } = await outbox.size(0);
    const kept = await keptAfter(sending, { bytes: bytes / 3 }, async () => (await outbox.size(0)).bytes <= bytes / 3);
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(30);
  });

  test("keeps events for readers for their time", async () => {
    const sending = await opened(Sending.open());
    await sending.add(10);
    const { backend, clock } = sending.subject;
    await backend.metadata.outbox.advance("hook", 10);
    const readersMs = clock.now(); // the events are of the time 1
    const checked = { count: 0 };
    expect(await keptAfter(sending, { readersMs }, () => checked.count++ > 10)).toBe(10);
    clock.ms += 10;
    expect(
      await keptAfter(sending, { readersMs }, async () => (await backend.metadata.outbox.range()).first === 10),
    ).toBe(1);
  });

  test("has pages that are bounded by bytes, of one event at the least", async () => {
    const sending = await opened(Sending.open());
    await sending.add(10);
    const { outbox } = sending.subject.backend.metadata;
    expect((await outbox.after(0, { limit: 100, maxBytes: 1 })).map(({ seq }) => seq)).toEqual([1]);
    const { bytes } = await outbox.size(8);
    expect((await outbox.after(8, { limit: 100, maxBytes: bytes })).map(({ seq }) => seq)).toEqual([9, 10]);
    expect((await outbox.after(0, { limit: 3, maxBytes: 1e6 })).length).toBe(3);
  });
});
