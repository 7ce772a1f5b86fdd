/** Collection in the background: when it begins, who does it, when it stops. */
import { describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { silentLogger } from "../../observe/logger.ts";
import { Metrics } from "../../observe/metrics.ts";
import { watchedMetadata } from "../../metadata/testing/watched-metadata.ts";
import type { MetadataCall } from "../../metadata/testing/watched-metadata.ts";
import { collectInBackground } from "./background.ts";
import type { BackgroundOptions } from "./background.ts";
import {
  CollectionSubject,
  ENGINES,
  HOUR_MS,
  MINUTE_MS,
  RULES,
  bytes,
  long,
  once,
} from "./testing/collection-subject.ts";

setDefaultTimeout(60_000);

const LAYER = long("layer");
const LEASE = "collection";

/** Rounds wait for so long where nothing else ends by then. */
const LEASE_MS = 10 * MINUTE_MS;

/** A collection in the background that has been started; disposing it stops it. */
class Background implements AsyncDisposable {
  readonly #stopping = new AbortController();
  readonly ended: Promise<void>;
  readonly metrics = new Metrics("test");
  /** Rounds that it has begun. */
  rounds = 0;
  /** Called before it calls an operation on metadata. */
  onCall: (call: MetadataCall) => void = () => {};

  constructor(subject: CollectionSubject, changed: Partial<BackgroundOptions> = {}) {
    const { backend } = subject;
    const metadata = watchedMetadata(backend.metadata, (call) => {
      if (call === "leases.take") this.rounds++;
      this.onCall(call);
    });
    const options = { rules: { ...RULES, leaseMs: 0, graceMs: 0 }, intervalMs: 1, enabled: true, ...changed };
    const observers = { log: silentLogger(), metrics: this.metrics };
    this.ended = collectInBackground({ ...backend, metadata }, options, observers, this.#stopping.signal);
  }

  stop(): void {
    this.#stopping.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.ended;
  }
}

/** Waits for something that comes about by itself; time passes when a test lets it. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await Bun.sleep(1);
}

describe.each([...ENGINES])("on %s", (kind) => {
  test("it takes what is due, round after round", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    await using _background = new Background(subject);
    for (const content of [LAYER, "small", long("other")]) {
      await subject.push(content);
      await until(async () => (await subject.query("select * from blob")).length === 0);
      await until(async () => (await subject.files()).length === 0);
    }
  });

  test("after a start it waits for one lease: what was promised before is not known to have ended", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    subject.later(10 * HOUR_MS);
    await using background = new Background(subject, { rules: { ...RULES, leaseMs: LEASE_MS } });
    subject.later(LEASE_MS - 1);
    const { rounds } = background;
    await until(() => background.rounds > rounds + 3);
    expect(await subject.hasBytes(digest)).toBeTrue();
    subject.later(1);
    await until(async () => !(await subject.hasBytes(digest)));
  });

  // The rows of the trash are asked for last in a round, the lease first.
  test.each([
    ["between two rounds", "trash.due"],
    ["in the midst of a round", "leases.take"],
  ] as const)("when the clock jumps forward %s it waits for one lease: all would end at once", async (_title, call) => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: LEASE_MS, graceMs: 0 });
    const rules = { ...RULES, leaseMs: LEASE_MS, graceMs: 0 };
    await using background = new Background(subject, { rules });
    subject.later(LEASE_MS);
    const digest = await subject.push(LAYER);
    let jumpedIn = Infinity;
    background.onCall = (name) => {
      if (name !== call || jumpedIn < Infinity) return;
      subject.setClockForward(10 * HOUR_MS);
      jumpedIn = background.rounds;
    };
    await until(() => background.rounds > jumpedIn + 3);
    subject.later(LEASE_MS - 1);
    const { rounds } = background;
    await until(() => background.rounds > rounds + 3);
    expect(await subject.hasBytes(digest)).toBeTrue();
    subject.later(1);
    await until(async () => !(await subject.hasBytes(digest)));
  });

  test("while it waits, and when it is switched off, uploads expire and trash is emptied all the same", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    await (await subject.repository().blobs.upload()).append(once(bytes(LAYER)));
    subject.later(1000 * HOUR_MS);
    await using background = new Background(subject, { enabled: false });
    await until(async () => (await subject.query("select * from upload")).length === 0);
    await until(async () => (await subject.files()).length === 1);
    const { rounds } = background;
    await until(() => background.rounds > rounds + 3);
    expect(await subject.hasBytes(digest)).toBeTrue();
  });

  test("one process at a time does it: while another has the lease nothing happens", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    const digest = await subject.push(LAYER);
    await subject.metadata.leases.take(LEASE, "another process", subject.clock.ms + HOUR_MS);
    await using background = new Background(subject);
    await until(() => background.rounds > 5);
    expect(await subject.hasBytes(digest)).toBeTrue();
    await subject.metadata.leases.release(LEASE, "another process");
    await until(async () => !(await subject.hasBytes(digest)));
  });

  test("when the other process died, its lease ends by itself", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    const digest = await subject.push(LAYER);
    await subject.metadata.leases.take(LEASE, "a dead process", subject.clock.ms + MINUTE_MS / 2);
    await using background = new Background(subject);
    await until(() => background.rounds > 5);
    expect(await subject.hasBytes(digest)).toBeTrue();
    subject.later(MINUTE_MS / 2);
    await until(async () => !(await subject.hasBytes(digest)));
  });

  test("two of them do the work of one", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    const one = new Background(subject);
    const other = new Background(subject);
    for (let number = 0; number < 60; number++) await subject.push(long(`${number}`));
    await until(async () => (await subject.query("select * from blob")).length === 0);
    await until(async () => (await subject.files()).length === 0);
    await Promise.all([one[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
  });

  test("it stops when it is told to, and gives its lease back", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    const background = new Background(subject);
    let isUnderWay = false;
    background.onCall = (call) => void (isUnderWay ||= call === "collection.collect");
    await until(() => isUnderWay);
    await background[Symbol.asyncDispose]();
    expect(await subject.metadata.leases.isHeld(LEASE)).toBeFalse();
    const digest = await subject.push(LAYER);
    expect(await subject.hasBytes(digest)).toBeTrue();
  });

  test("it stops in the midst of a long round", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    for (let number = 0; number < 150; number++) await subject.push(`${number}`);
    const background = new Background(subject);
    await until(async () => (await subject.query("select * from blob")).length < 150);
    await background[Symbol.asyncDispose]();
    const left = await subject.query("select * from blob");
    expect(left.length).toBeGreaterThan(0);
    expect(await subject.query("select * from blob")).toEqual(left);
  });

  test("it stops while it rests from a step that took long", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    await subject.push("small");
    const now = performance.now.bind(performance);
    let tookMs = 0;
    using _clock = spyOn(performance, "now").mockImplementation(() => now() + tookMs);
    const background = new Background(subject);
    let asked = false;
    background.onCall = (name) => {
      if (name !== "collection.collect") return;
      tookMs += HOUR_MS; // so it rests for two days
      asked = true;
    };
    await until(() => asked);
    await until(async () => (await subject.query("select * from blob")).length === 0);
    await background[Symbol.asyncDispose]();
  });

  test("with untagged it takes what was there before the setting was made", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    const image = await subject.image();
    subject.later(1000 * HOUR_MS);
    await subject.all();
    expect(await subject.hasManifest(image)).toBeTrue();
    await using _background = new Background(subject, { rules: { ...RULES, leaseMs: 0, graceMs: 0, untagged: true } });
    await until(async () => !(await subject.hasManifest(image)));
  });

  test("it stops while it looks for what was there before the setting was made", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    for (let number = 0; number < 60; number++) await subject.image({ note: `${number}` }); // more than one step
    const rules = { ...RULES, leaseMs: 0, graceMs: 0, untagged: true };
    const background = new Background(subject, { rules });
    let steps = 0;
    background.onCall = (name) => {
      if (name === "collection.enqueueUntagged" && ++steps === 1) background.stop();
    };
    await background.ended;
    expect(steps).toBe(1);
  });

  test("what fails is tried again in the next round", async () => {
    await using subject = await CollectionSubject.open(kind, { leaseMs: 0, graceMs: 0 });
    await subject.push("small");
    await subject.change("alter table repo_blob rename to repo_blob_gone");
    const background = new Background(subject);
    await until(() => background.rounds > 3);
    await subject.change("alter table repo_blob_gone rename to repo_blob");
    await until(async () => (await subject.query("select * from blob")).length === 0);
    await background[Symbol.asyncDispose]();
  });
});
