/** The scrub: what it finds, whom it tells, and when it does nothing. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { pino } from "pino";
import type { Logger } from "../../observe/logger.ts";
import { Metrics } from "../../observe/metrics.ts";
import type { StorageKey } from "../../storage/blob-store.ts";
import { scrubInBackground } from "./scrub.ts";
import { CollectionSubject, ENGINES, HOUR_MS, long } from "./testing/collection-subject.ts";

setDefaultTimeout(60_000);

const LAYER = long("layer");

/** A scrub that has been started; disposing it stops it. */
class Scrub implements AsyncDisposable {
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  readonly metrics = new Metrics("test");
  readonly lines: Readonly<Record<string, unknown>>[] = [];

  constructor(subject: CollectionSubject) {
    const observers = { log: this.#log(), metrics: this.metrics };
    const options = { bytesPerSecond: 1e9, pauseMs: 1 };
    this.#ended = scrubInBackground(subject.backend, options, observers, this.#stopping.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  /** Resolves when a line with this message was logged. */
  async said(message: string): Promise<Readonly<Record<string, unknown>>> {
    for (;;) {
      const line = this.lines.find(({ msg }) => msg === message);
      if (line) return line;
      await Bun.sleep(1);
    }
  }

  /** Resolves when so many passes have come to their end. */
  async passed(passes: number): Promise<void> {
    while (this.lines.filter(({ msg }) => msg === "scrub: every blob was read").length < passes) await Bun.sleep(1);
  }

  #log(): Logger {
    return pino({}, { write: (line: string) => void this.lines.push(JSON.parse(line) as Record<string, unknown>) });
  }
}

const DAMAGED = "scrub: corrupt blobs are missing until they are pushed again";

describe.each([...ENGINES])("on %s", (kind) => {
  test("what is damaged is missing from then on, and log and metrics say so", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    const sound = await subject.push(long("sound"));
    await subject.image({ layers: [LAYER], tags: ["latest"] });
    await harm(subject, LAYER);
    await using scrub = new Scrub(subject);
    const images = [{ repository: "team/app", tags: ["latest"] }];
    expect(await scrub.said(DAMAGED)).toMatchObject({ level: 50, finding: { kind: "missing", digest, images } });
    await scrub.passed(1);
    expect(await subject.shows(digest)).toBeFalse();
    expect(await subject.shows(sound)).toBeTrue();
    const text = await scrub.metrics.text();
    expect(text).toContain(`stowage_scrub_findings_total{kind="missing"} 1`);
    expect(text).toMatch(/^stowage_scrub_last_completed_timestamp_seconds 1700000000$/m);
  });

  test("what is pushed again after that is served again", async () => {
    await using subject = await CollectionSubject.open(kind);
    const digest = await subject.push(LAYER);
    await harm(subject, LAYER);
    {
      await using scrub = new Scrub(subject);
      await scrub.said(DAMAGED);
    }
    await subject.push(LAYER);
    expect(await subject.shows(digest)).toBeTrue();
  });

  test("a pass that finds nothing reads every blob and says nothing is wrong", async () => {
    await using subject = await CollectionSubject.open(kind);
    await subject.push(LAYER);
    await subject.push(long("other one"));
    await using scrub = new Scrub(subject);
    await scrub.passed(2); // the first may begin in the middle
    expect(scrub.lines.every(({ found }) => found === 0)).toBeTrue();
    const [, read] = /^stowage_scrub_read_bytes_total (\d+)$/m.exec(await scrub.metrics.text()) ?? [];
    expect(Number(read)).toBeGreaterThanOrEqual(LAYER.length + long("other one").length);
  });

  test("while another process scrubs it does nothing", async () => {
    await using subject = await CollectionSubject.open(kind);
    await subject.push(LAYER);
    await subject.metadata.leases.take("scrub", "another process", subject.clock.ms + HOUR_MS);
    await using scrub = new Scrub(subject);
    await Bun.sleep(50);
    expect(scrub.lines).toEqual([]);
    await subject.metadata.leases.release("scrub", "another process");
    await scrub.passed(1);
  });

  test("what fails is logged and tried again", async () => {
    await using subject = await CollectionSubject.open(kind);
    await subject.change("alter table blob rename to blob_gone");
    await using scrub = new Scrub(subject);
    await scrub.said("scrub failed: it is retried after its pause");
    await subject.change("alter table blob_gone rename to blob");
    await scrub.passed(1);
  });
});

test("a file that no record names is removed when it is a day old, not before", async () => {
  await using subject = await CollectionSubject.open("SQLite and files");
  const { store } = subject.backend;
  subject.clock.ms = Date.now();
  await using part = await store.begin(store.partKey("unknown"));
  await part.checkpoint();
  await using scrub = new Scrub(subject);
  await scrub.passed(2);
  expect(await subject.files()).toHaveLength(1);
  subject.later(25 * HOUR_MS);
  await scrub.said("scrub: deleted a file that is not in the database");
  expect(await subject.files()).toEqual([]);
});

/** Takes the bytes of a blob away behind the registry's back. */
async function harm(subject: CollectionSubject, content: string): Promise<void> {
  const hex = new Bun.SHA256().update(content).digest("hex");
  const key = (await subject.files()).find((file) => file.includes(hex));
  await subject.backend.store.delete([key as StorageKey]);
}
