/** Events of a registry: what is recorded, which endpoints receive it, and for how long it is kept. */
import { hostname } from "node:os";
import type { ChangeRecorder } from "../../metadata/changes.ts";
import type { Outbox } from "../../metadata/outbox.ts";
import type { Logger } from "../../observe/logger.ts";
import type { Backend } from "../backend.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EventOptions } from "./event.ts";
import { PullEvents } from "./pulls.ts";
import { createRecorder } from "./recorder.ts";
import { keepWithinBounds } from "./retention.ts";
import { sendEvents } from "./sender.ts";
import { UNCOUNTED } from "./counts.ts";
import type { NotificationCounts } from "./counts.ts";
import { randomUUIDv7 } from "./uuid.ts";

export interface EventsOptions {
  readonly endpoints: readonly Endpoint[];
  /** Whether events of manifests have the descriptors that the manifest references; false when absent. */
  readonly includeReferences?: boolean;
  /** Milliseconds for which events are kept for readers; 0, and when absent, for no readers. */
  readonly readersMs?: number;
  /** Events, and bytes of them, that wait at the most: beyond that the oldest are dropped. */
  readonly rows?: number;
  readonly bytes?: number;
  /** Dead letters that are kept for each endpoint. */
  readonly deadLetters?: number;
  /** The port of this registry, for `source.addr`. */
  readonly port?: number | undefined;
  /** The public address of the registry, for events that no request caused. */
  readonly base?: string;
}

/** Reads the events that are kept. */
export type EventReader = Pick<Outbox, "after" | "range">;

/** How long changes are kept in the audit table. */
export interface AuditOptions {
  readonly ageMs: number;
  /** Records. */
  readonly rows: number;
}

export const DEFAULT_EVENT_LIMITS = { rows: 1_000_000, bytes: 512 * 1024 ** 2, deadLetters: 10_000 } as const;

/** What of the settings the services of a registry need. */
export interface Events {
  readonly recorder: ChangeRecorder | undefined;
  readonly endpoints: readonly Endpoint[];
  readonly forReaders: boolean;
  /** Whether changes are kept in the audit table. */
  readonly audits: boolean;
  readonly event: EventOptions;
  /** Tells endpoints of pulls; undefined when none wants to know. */
  readonly pulls: PullEvents | undefined;
  /** Sends and removes events, and removes old records of the audit, until `signal` says stop. */
  run(parts: EventWork, signal: AbortSignal): Promise<void>;
}

export interface EventWork {
  readonly backend: Backend;
  readonly log: Logger;
  readonly counts?: NotificationCounts;
  readonly userAgent: string;
}

/** Puts events together; without options nothing is recorded. */
export function createEvents(options: EventsOptions | undefined, audit: AuditOptions | undefined, now: number): Events {
  const { endpoints = [], includeReferences = false, readersMs = 0, port, base = "" } = options ?? {};
  const limits = { ...DEFAULT_EVENT_LIMITS, ...options };
  const source = { addr: port === undefined ? hostname() : `${hostname()}:${port}`, instanceID: randomUUIDv7(now) };
  const event: EventOptions = { source, includeReferences, base };
  const forReaders = readersMs > 0;
  const names = endpoints.map(({ name }) => name);
  const pullEndpoints = endpoints.filter(({ ignoredActions }) => !ignoredActions.includes("pull"));
  return {
    pulls: pullEndpoints.length > 0 ? new PullEvents(pullEndpoints, event) : undefined,
    recorder: createRecorder({ endpoints, forReaders, audit: audit !== undefined, events: event }),
    endpoints,
    forReaders,
    audits: audit !== undefined,
    event,
    async run({ backend, log, counts = UNCOUNTED, userAgent }, signal) {
      const { rows, bytes } = limits;
      await Promise.all([
        ...endpoints.map((endpoint) =>
          sendEvents({ backend, endpoint, log, counts, userAgent, keepDead: limits.deadLetters }, signal),
        ),
        keepWithinBounds({ backend, log, counts, rules: { endpoints: names, readersMs, rows, bytes, audit } }, signal),
      ]);
    },
  };
}
