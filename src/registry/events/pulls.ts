/**
 * Pulls, told to endpoints as distribution tells them. They are not in the outbox, because a pull never writes: they wait in the
 * memory of the process that served them. What waits there when it ends is lost, and what comes while the queue is full; both are
 * counted and logged.
 */
import { randomUUID } from "node:crypto";
import { pause } from "../../lib/pause.ts";
import type { Logger } from "../../observe/logger.ts";
import type { Namespace } from "../namespace.ts";
import { settle } from "./attempts.ts";
import { UNCOUNTED } from "./counts.ts";
import type { NotificationCounts } from "./counts.ts";
import { accepts } from "./endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { pullEvent } from "./event.ts";
import type { EventOptions, Pull } from "./event.ts";
import { referencesIn } from "./references.ts";

export interface PullWork {
  /** Where manifests are read whose references are to be told. */
  readonly namespace: Namespace;
  readonly log: Logger;
  readonly counts?: NotificationCounts;
  readonly userAgent: string;
}

/** Pulls that wait for one endpoint at the most: some megabytes. */
const MAX_WAITING = 5000;
const INTERVAL_MS = 100;
/** Milliseconds for which what waits is still sent after the stop signal. */
const LAST_MS = 1000;
const LOG_EVERY_MS = 60_000;

export class PullEvents {
  readonly #options: EventOptions;
  readonly #queues: readonly PullQueue[];

  constructor(endpoints: readonly Endpoint[], options: EventOptions) {
    this.#options = options;
    this.#queues = endpoints.map((endpoint) => new PullQueue(endpoint));
  }

  /** Whether any endpoint wants to know of pulls by this method. */
  wants(method: string): boolean {
    return method !== "HEAD" || this.#queues.some(({ endpoint }) => endpoint.heads);
  }

  /** Adds a pull to the queues of the endpoints. Never waits, and never throws. */
  add(pull: Pull): void {
    for (const queue of this.#queues) queue.add(pull);
  }

  /** Sends what is added, until `signal` says stop. */
  async run(work: PullWork, signal: AbortSignal): Promise<void> {
    await Promise.all(this.#queues.map((queue) => queue.run(this.#options, work, signal)));
  }
}

class PullQueue {
  readonly endpoint: Endpoint;
  #waiting: Pull[] = [];
  #lost = 0;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  add(pull: Pull): void {
    const { mediaType, tag, request } = pull;
    if (!accepts(this.endpoint, { action: "pull", target: { mediaType, ...(tag && { tag }) }, request })) return;
    if (this.#waiting.length >= MAX_WAITING) this.#lost++;
    else this.#waiting.push(pull);
  }

  async run(options: EventOptions, work: PullWork, signal: AbortSignal): Promise<void> {
    const ending = new AbortController();
    const end = (): void => void setTimeout(() => ending.abort(), LAST_MS).unref();
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    let loggedAt = -Infinity;
    do {
      await this.#send(options, work, ending.signal);
      if (this.#lost > 0 && performance.now() - loggedAt > LOG_EVERY_MS) {
        this.#tellLost(work);
        loggedAt = performance.now();
      }
    } while (await pause(INTERVAL_MS, signal));
    await this.#send(options, work, ending.signal);
    this.#lost += this.#waiting.length;
    this.#waiting = [];
    if (this.#lost > 0) this.#tellLost(work);
  }

  async #send(options: EventOptions, work: PullWork, ending: AbortSignal): Promise<void> {
    const { log, counts = UNCOUNTED, userAgent } = work;
    const { endpoint } = this;
    while (this.#waiting.length > 0 && !ending.aborted) {
      const pulls = this.#waiting;
      this.#waiting = [];
      for (const [at, pull] of pulls.entries()) {
        counts.event("Events", endpoint.name);
        const references = await referencesOf(pull, options, work.namespace);
        const event = pullEvent(pull, randomUUID(), references, options);
        const settled = await settle({ endpoint, log, counts, userAgent }, event, undefined, ending).catch(
          () => undefined,
        );
        if (settled?.kind === "dead") this.#lost++;
        if (settled) continue;
        this.#waiting = [...pulls.slice(at), ...this.#waiting];
        return;
      }
    }
  }

  #tellLost({ log, counts = UNCOUNTED }: PullWork): void {
    const { name } = this.endpoint;
    counts.event("Lost", name, this.#lost);
    log.warn({ endpoint: name, events: this.#lost }, "pulls were not told: they wait in memory only");
    this.#lost = 0;
  }
}

async function referencesOf(
  { object, repository, digest }: Pull,
  { includeReferences }: EventOptions,
  namespace: Namespace,
): Promise<ReturnType<typeof referencesIn>> {
  if (!includeReferences || object !== "manifest") return [];
  const manifest = await namespace
    .repository(repository)
    .manifests.find(digest)
    .catch(() => undefined);
  return manifest ? referencesIn(manifest.payload) : [];
}
