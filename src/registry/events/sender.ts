/**
 * Sends the events of the outbox to one endpoint: one at a time, in their order, of all processes by one that holds the lease.
 *
 *   look → lease → event → POST → delivered: the place of the endpoint moves on
 *                               → failed: the same event again, later and later (`retries.ts`)
 *                               → refused for good: a dead letter, and the next event
 *
 * The place moves on after the delivery, so an event whose sender dies in between is delivered again, with its id: at least once.
 */
import type { StoredEvent } from "../../metadata/outbox.ts";
import type { Backend } from "../backend.ts";
import { afterCommits } from "../commit-watch.ts";
import { Lease } from "../gc/lease.ts";
import type { HeldLease } from "../gc/lease.ts";
import { settle } from "./attempts.ts";
import type { AttemptParts } from "./attempts.ts";
import { accepts } from "./endpoint.ts";
import type { RegistryEvent } from "./event.ts";

export interface SenderParts extends AttemptParts {
  readonly backend: Pick<Backend, "metadata" | "clock">;
  /** Dead letters that are kept for the endpoint. */
  readonly keepDead: number;
  /** Milliseconds after which a commit is seen, and of the lease; others for tests. */
  readonly intervalMs?: number;
  readonly leaseMs?: number;
}

/** Should a process die while it sends, another one goes on after so long. */
const LEASE_MS = 5000;
const INTERVAL_MS = 100;

/** A page is in memory while its events are sent. */
const PAGE = { limit: 100, maxBytes: 4 * 1024 * 1024 };

/** Runs until `signal` says stop: a delivery that is under way is then broken off, and made again after the next start. */
export async function sendEvents(parts: SenderParts, signal: AbortSignal): Promise<void> {
  const { backend, endpoint, log, intervalMs = INTERVAL_MS, leaseMs = LEASE_MS } = parts;
  const { outbox } = backend.metadata;
  const leaseName = `notifications ${endpoint.name}`;
  const lease = new Lease(backend, leaseName, leaseMs);
  const onError = (error: unknown): void => {
    if (!signal.aborted) log.error({ err: error, endpoint: endpoint.name }, "events could not be sent: retrying");
  };
  await afterCommits(backend, { signal, onError, intervalMs }, async () => {
    if (!(await outbox.hasNext(endpoint.name))) return "done";
    if (await backend.metadata.leases.isHeld(leaseName)) return "again"; // without a write, where another process sends
    await using held = await lease.hold();
    // The process that has the lease may end before everything is sent.
    if (!held) return "again";
    const deliveries = new Deliveries(parts, held, AbortSignal.any([signal, held.lost]));
    await deliveries.run();
    return "again";
  });
}

/** What one holder of the lease sends. */
class Deliveries {
  readonly #parts: SenderParts;
  readonly #held: HeldLease;
  readonly #ending: AbortSignal;
  /** The last event that was settled. */
  #place = -1;
  /** The writes of the endpoint's place, and whether they are under way. */
  #advance: Promise<void> = Promise.resolve();
  #isAdvancing = false;

  constructor(parts: SenderParts, held: HeldLease, ending: AbortSignal) {
    this.#parts = parts;
    this.#held = held;
    this.#ending = ending;
  }

  /** Resolves when nothing is left to send, or it has to end. */
  async run(): Promise<void> {
    const { backend, endpoint, counts } = this.#parts;
    const { outbox } = backend.metadata;
    // The lease may have been taken late: what another holder sent meanwhile is behind the endpoint's place.
    while (!this.#ending.aborted && (await this.#held.confirm())) {
      await this.#sendDead();
      const events = await outbox.next(endpoint.name, PAGE);
      counts.pending(endpoint.name, (await outbox.range()).last - (events[0]?.seq ?? 1) + (events[0] ? 1 : 0));
      const last = events.at(-1);
      if (!last) {
        counts.pending(endpoint.name, 0);
        return;
      }
      try {
        for (const event of events) if (!(await this.#send(event))) return;
      } finally {
        await this.#advance;
      }
    }
  }

  /** Sends an event until it is delivered or dead; false when it has to end before. */
  async #send(stored: StoredEvent): Promise<boolean> {
    const { backend, endpoint, counts, keepDead, log } = this.#parts;
    const event = JSON.parse(stored.payload) as RegistryEvent;
    if (accepts(endpoint, event)) {
      counts.event("Events", endpoint.name);
      const settled = await settle(this.#parts, event, stored.seq, this.#ending);
      if (!settled) return false;
      if (settled.kind === "dead") {
        await this.#advance;
        const { attempts, reason } = settled;
        const forgotten = await backend.metadata.outbox.bury(endpoint.name, stored, {
          attempts,
          reason,
          keep: keepDead,
        });
        counts.event("Dead", endpoint.name);
        log.error(
          { endpoint: endpoint.name, event: event.id, seq: stored.seq, attempts, reason },
          "an event became a dead letter",
        );
        if (forgotten > 0) {
          counts.event("Lost", endpoint.name, forgotten);
          log.error({ endpoint: endpoint.name, events: forgotten }, "dead letters were removed: there are too many");
        }
        return true;
      }
    }
    this.#moveTo(stored.seq);
    return true;
  }

  /**
   * Records the endpoint's place while the next events are sent: one write at a time, of the place that is the last then. So
   * after a kill those are delivered again that were sent while one write was made.
   */
  #moveTo(seq: number): void {
    this.#place = seq;
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    this.#advance = this.#recordPlace().finally(() => {
      this.#isAdvancing = false;
    });
    this.#advance.catch(() => undefined); // the next caller that awaits it gets the error
  }

  async #recordPlace(): Promise<void> {
    const { backend, endpoint } = this.#parts;
    for (let recorded = -1; recorded < this.#place;) {
      recorded = this.#place;
      await backend.metadata.outbox.advance(endpoint.name, recorded);
    }
  }

  /** Dead letters that an operator wants to be sent again. */
  async #sendDead(): Promise<void> {
    const { backend, endpoint, counts, log } = this.#parts;
    const { outbox } = backend.metadata;
    for (;;) {
      const due = await outbox.due(endpoint.name, PAGE.limit);
      if (due.length === 0) return;
      for (const { id, seq, payload } of due) {
        const event = JSON.parse(payload) as RegistryEvent;
        const settled = await settle(this.#parts, event, seq, this.#ending);
        if (!settled) return;
        if (settled.kind === "delivered") {
          await outbox.removeDead([id]);
          continue;
        }
        const { attempts, reason } = settled;
        await outbox.buryAgain(id, attempts, reason);
        counts.event("Dead", endpoint.name);
        log.error({ endpoint: endpoint.name, event: event.id, seq, attempts, reason }, "an event became a dead letter");
      }
    }
  }
}
