/** Tries to deliver one event until there is a result. */
import { randomInt } from "node:crypto";
import { pause } from "../../lib/pause.ts";
import type { Logger } from "../../observe/logger.ts";
import type { NotificationCounts } from "./counts.ts";
import { deliver, isPermanent, statusText } from "./delivery.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RegistryEvent } from "./event.ts";
import { LONGEST_BACKOFF_MS, delayAfter } from "./retries.ts";

export interface AttemptParts {
  readonly endpoint: Endpoint;
  readonly log: Logger;
  readonly counts: NotificationCounts;
  /** Of the requests. */
  readonly userAgent: string;
}

export type Settled =
  | { readonly kind: "delivered" }
  /** It will not be taken. */
  | { readonly kind: "dead"; readonly attempts: number; readonly reason: string };

/**
 * Tries until the event is delivered, or will not be taken: refused for good as often as the threshold says, or tried as often as
 * the endpoint allows. `seq` is its number in the outbox; a pull has none. Returns undefined when `ending` aborts before.
 */
export async function settle(
  { endpoint, counts, log, userAgent }: AttemptParts,
  event: RegistryEvent,
  seq: number | undefined,
  ending: AbortSignal,
): Promise<Settled | undefined> {
  const { name, threshold } = endpoint;
  let refusals = 0;
  for (let failures = 1; !ending.aborted; failures++) {
    const result = await deliver(endpoint, event, seq, userAgent, ending).catch((error: unknown) => {
      if (!ending.aborted) throw error;
      return undefined;
    });
    if (!result) return undefined;
    if (result.kind !== "failed") counts.status(statusText(result.status), name);
    if (result.kind === "delivered") {
      counts.event("Successes", name);
      if (failures > threshold) log.info({ endpoint: name, attempts: failures }, "events are delivered again");
      return { kind: "delivered" };
    }
    counts.event(result.kind === "refused" ? "Failures" : "Errors", name);
    const reason = result.kind === "refused" ? statusText(result.status) : result.reason;
    if (failures === threshold) {
      log.error({ endpoint: name, attempts: failures, reason }, "an endpoint does not take events: retrying");
    }
    if (result.kind === "refused" && isPermanent(result.status)) refusals++;
    if (refusals >= threshold || (endpoint.attempts > 0 && failures >= endpoint.attempts)) {
      return { kind: "dead", attempts: failures, reason };
    }
    const asked = result.kind === "refused" ? Math.min(result.retryAfterMs ?? 0, LONGEST_BACKOFF_MS) : 0;
    const waitMs = Math.max(delayAfter(failures, endpoint, randomInt(1001) / 1000), asked);
    if (!(await pause(waitMs, ending))) return undefined;
  }
  return undefined;
}
