/** Keeps the outbox and the audit table within their bounds, in small steps: of all processes one at a time. */
import { Pace } from "../../lib/pace.ts";
import { pause } from "../../lib/pause.ts";
import type { Logger } from "../../observe/logger.ts";
import type { Backend } from "../backend.ts";
import { Lease } from "../gc/lease.ts";
import type { NotificationCounts } from "./counts.ts";

export interface EventBounds {
  /** Names of the endpoints of the settings. */
  readonly endpoints: readonly string[];
  /** Milliseconds for which events are kept for readers after every endpoint has them; 0 where there are no readers. */
  readonly readersMs: number;
  /** Events, and bytes of them: beyond that the oldest go, delivered or not. */
  readonly rows: number;
  readonly bytes: number;
  /** Of the audit table; absent where it is off. */
  readonly audit?: { readonly ageMs: number; readonly rows: number } | undefined;
}

export interface RetentionParts {
  readonly backend: Pick<Backend, "metadata" | "clock">;
  readonly rules: EventBounds;
  readonly log: Logger;
  readonly counts: NotificationCounts;
}

const LEASE_MS = 30_000;
/** Milliseconds between two looks: by so much of what comes in between the bounds can be exceeded. */
const INTERVAL_MS = 1000;
/** Milliseconds after which age is looked at, also when nothing was committed. */
const AGE_INTERVAL_MS = 60_000;
const AUDIT_STEP = { least: 20, most: 200 };

/** Runs until `signal` says stop. */
export async function keepWithinBounds(parts: RetentionParts, signal: AbortSignal): Promise<void> {
  const { backend, log } = parts;
  const lease = new Lease(backend, "outbox", LEASE_MS);
  const retention = new Retention(parts);
  let [seen, looked]: [number | undefined, number] = [undefined, 0];
  do {
    try {
      const commits = backend.metadata.lastCommit();
      if (commits === seen && performance.now() - looked < AGE_INTERVAL_MS) continue;
      [seen, looked] = [commits, performance.now()];
      // Reads only, as long as nothing is to be removed: a lease is a write, which other processes would look at again.
      if (!(await retention.isNeeded())) continue;
      await using held = await lease.hold();
      if (held) await retention.run(AbortSignal.any([signal, held.lost]));
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "events and audit could not be kept within bounds: retrying");
      seen = undefined;
    }
  } while (await pause(INTERVAL_MS, signal));
}

class Retention {
  readonly #parts: RetentionParts;
  /** The events from `first` up to `last`, as far as they were counted. */
  #counted = { first: 0, last: 0, rows: 0, bytes: 0 };

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  async isNeeded(): Promise<boolean> {
    const { backend, rules } = this.#parts;
    await this.#count();
    if (this.#isOver()) return true;
    if (await backend.metadata.outbox.hasDelivered(rules.endpoints, this.#before())) return true;
    return rules.audit !== undefined && (await backend.metadata.audit.hasOld(...this.#auditBounds(rules.audit)));
  }

  async run(ending: AbortSignal): Promise<void> {
    const { outbox, audit } = this.#parts.backend.metadata;
    const { rules, log, counts } = this.#parts;
    const commits = (): number => this.#parts.backend.metadata.lastCommit();
    while (!ending.aborted) {
      const removed = await outbox.removeDelivered(rules.endpoints, this.#before());
      this.#subtract(removed);
      if (removed.rows === 0) break;
    }
    await this.#count();
    while (!ending.aborted && this.#isOver()) {
      // One at a time once nearly enough is gone: the newest stay.
      const removed = await outbox.removeOldest(rules.endpoints, Math.max(1, this.#counted.rows - rules.rows));
      this.#subtract(removed);
      for (const [endpoint, events] of removed.lost) {
        if (events === 0) continue;
        counts.event("Dropped", endpoint, events);
        log.error({ endpoint, events }, "events were dropped before they were delivered: the outbox is full");
      }
      if (removed.rows === 0) break;
    }
    this.#counted.first = (await outbox.range()).first;
    if (!rules.audit) return;
    const pace = new Pace({ ...AUDIT_STEP, commits, signal: ending });
    const bounds = this.#auditBounds(rules.audit);
    while (!ending.aborted && (await pace.step((size) => audit.remove(...bounds, size))) > 0) {
      if (!(await pace.rest())) return;
    }
  }

  /** Counts what came since the last time; all of it again when another process has removed something. */
  async #count(): Promise<void> {
    const { outbox } = this.#parts.backend.metadata;
    const { first } = await outbox.range();
    if (first !== this.#counted.first) this.#counted = { first, last: first - 1, rows: 0, bytes: 0 };
    for (;;) {
      const { seq, rows, bytes } = await outbox.size(this.#counted.last);
      if (seq === undefined) return;
      this.#counted = { first, last: seq, rows: this.#counted.rows + rows, bytes: this.#counted.bytes + bytes };
    }
  }

  #subtract({ rows, bytes }: { readonly rows: number; readonly bytes: number }): void {
    this.#counted.rows -= rows;
    this.#counted.bytes -= bytes;
  }

  #isOver(): boolean {
    const { rows, bytes } = this.#counted;
    return rows > 1 && (rows > this.#parts.rules.rows || bytes > this.#parts.rules.bytes);
  }

  /** Events from before this time go once every endpoint has them. */
  #before(): number {
    return this.#parts.backend.clock.now() - this.#parts.rules.readersMs + 1;
  }

  #auditBounds({ ageMs, rows }: { readonly ageMs: number; readonly rows: number }): [before: number, keep: number] {
    return [this.#parts.backend.clock.now() - ageMs, rows];
  }
}
