/** Metrics that are read when Prometheus asks: the disk, what is stored, quotas, certificates, what waits. */
import { X509Certificate } from "node:crypto";
import { readFile, statfs } from "node:fs/promises";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { systemClock } from "../lib/clock.ts";
import { folderPath } from "../lib/folder-path.ts";
import { Pace } from "../lib/pace.ts";

/** Milliseconds for which a reading is cached, for all clients. */
const FRESH_MS = 10_000;

/** Milliseconds between two counts of all blobs, at least … */
const COUNT_PAUSE_MS = 300_000;
/** … and so many times as long as the last one took. */
const COUNT_PAUSE_SHARE = 20;

/** More jobs than that are not counted. */
const MAX_JOBS = 1000;

/** Has metrics read what is not counted as it happens, until `signal` says stop. */
export function readAtScrapes(settings: Settings, registry: Registry, signal: AbortSignal): void {
  const { metrics } = registry;
  const { certificate } = settings.http.tls;
  const folder = folderPath(settings.storage.filesystem.rootdirectory);
  metrics.readAtScrape(
    atMostEvery(FRESH_MS, async () => {
      const { bavail, blocks, bsize } = await statfs(folder);
      metrics.diskFree.set(bavail * bsize);
      metrics.diskSize.set(blocks * bsize);
    }),
  );
  metrics.readAtScrape(atMostEvery(FRESH_MS, () => readWaiting(registry)));
  if (settings.quotas.length > 0) metrics.readAtScrape(atMostEvery(FRESH_MS, () => readQuotas(settings, registry)));
  if (certificate !== undefined) {
    metrics.readAtScrape(
      atMostEvery(FRESH_MS, async () => {
        const { validToDate } = new X509Certificate(await readFile(certificate));
        metrics.certificateExpiry.set(validToDate.getTime() / 1000, certificate);
      }),
    );
  }
  const counting = new BlobCount(registry, signal);
  metrics.readAtScrape(async () => counting.beginWhenDue());
}

/** Runs `read` when its last run is older than `milliseconds`; what it throws is thrown again until then. */
function atMostEvery(milliseconds: number, read: () => Promise<void>): () => Promise<void> {
  let [reading, at] = [Promise.resolve(), -Infinity];
  return () => {
    if (performance.now() - at < milliseconds) return reading;
    at = performance.now();
    return (reading = read());
  };
}

async function readWaiting(registry: Registry): Promise<void> {
  const { metrics } = registry;
  const { entries, files } = await registry.backlog();
  metrics.collectionWaiting.set(entries, "entry");
  metrics.collectionWaiting.set(files, "file");
  let jobs = 0;
  for await (const _ of registry.jobs()) if (++jobs === MAX_JOBS) break;
  metrics.jobsWaiting.set(jobs);
}

async function readQuotas({ quotas }: Settings, registry: Registry): Promise<void> {
  const { metrics } = registry;
  for (const { prefix, ...limits } of quotas) {
    const usage = await registry.quotaUsage(prefix);
    for (const resource of ["bytes", "tags", "repositories"] as const) {
      const limit = limits[resource];
      if (limit !== undefined) metrics.quotaLimit.set(limit, prefix, resource);
      if (usage) metrics.quotaUsed.set(usage[resource], prefix, resource);
    }
  }
}

/** Counts the blobs in the background, page by page, with rests: no scrape waits for it. */
class BlobCount {
  readonly #registry: Registry;
  readonly #signal: AbortSignal;
  #dueAt = -Infinity;
  #isRunning = false;

  constructor(registry: Registry, signal: AbortSignal) {
    this.#registry = registry;
    this.#signal = signal;
  }

  beginWhenDue(): void {
    if (this.#isRunning || this.#signal.aborted || performance.now() < this.#dueAt) return;
    this.#isRunning = true;
    const started = performance.now();
    void this.#count()
      .catch(() => undefined) // the values of before stay; the time of the last count says how old they are
      .finally(() => {
        const ended = performance.now();
        this.#dueAt = ended + Math.max(COUNT_PAUSE_MS, COUNT_PAUSE_SHARE * (ended - started));
        this.#isRunning = false;
      });
  }

  async #count(): Promise<void> {
    const { metrics } = this.#registry;
    const pace = new Pace({ signal: this.#signal });
    let [blobs, bytes] = [0, 0];
    for await (const { size } of this.#registry.allBlobs()) {
      blobs++;
      bytes += size;
      if (!(await pace.restWhenDue())) return;
    }
    metrics.storedBlobs.set(blobs);
    metrics.storedBytes.set(bytes);
    metrics.storedCounted.set(systemClock.now() / 1000);
  }
}
