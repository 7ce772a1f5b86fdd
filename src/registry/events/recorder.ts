/** Records changes in the transactions that make them: as events in the outbox, and as records in the audit table. */
import { insertAudit } from "../../metadata/audit.ts";
import type { Cause, Change, ChangeRecorder } from "../../metadata/changes.ts";
import { insertEvent } from "../../metadata/outbox.ts";
import type { Statement } from "../../metadata/sql.ts";
import { accepts } from "./endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { eventsOf } from "./event.ts";
import type { EventOptions, RegistryEvent } from "./event.ts";

export interface RecorderOptions {
  readonly endpoints: readonly Endpoint[];
  /** Whether events are kept for readers (`GET /api/v1/events`), also those that no endpoint receives. */
  readonly forReaders: boolean;
  /** Whether changes are kept in the audit table. */
  readonly audit: boolean;
  readonly events: EventOptions;
}

/** Returns what records changes; undefined when nothing is to be recorded, which then costs nothing. */
export function createRecorder({ endpoints, forReaders, audit, events }: RecorderOptions): ChangeRecorder | undefined {
  if (endpoints.length === 0 && !forReaders && !audit) return undefined;
  const isWanted = (event: RegistryEvent): boolean =>
    forReaders || endpoints.some((endpoint) => accepts(endpoint, event));
  const tellsEvents = forReaders || endpoints.length > 0;
  return {
    statements(changes: readonly Change[], cause: Cause | undefined, now: number): readonly Statement[] {
      const statements: Statement[] = [];
      for (const change of changes) {
        if (audit) statements.push(insertAudit(change, cause ?? UNKNOWN_CAUSE, now));
        if (!tellsEvents) continue;
        for (const event of eventsOf(change, cause, now, events)) {
          if (isWanted(event)) statements.push(insertEvent(JSON.stringify(event), now));
        }
      }
      return statements;
    },
  };
}

/** Of a change that the registry makes by itself, or a program that embeds it. */
const UNKNOWN_CAUSE: Cause = { who: "system", rule: "the program that opened the registry" };
