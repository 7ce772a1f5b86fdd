/** What is counted of notifications. */

/** What senders count, by the names of endpoints: `registry_notifications_*` of distribution. */
export interface NotificationCounts {
  /** `Events` for what an endpoint is to receive; `Successes`, `Failures` and `Errors` for tries; `Dead`, `Dropped`, `Lost`. */
  event(type: EventCount, endpoint: string, count?: number): void;
  /** The status of a response, such as `200 OK`. */
  status(code: string, endpoint: string): void;
  /** Events that wait for an endpoint, about. */
  pending(endpoint: string, count: number): void;
}

export type EventCount = "Events" | "Successes" | "Failures" | "Errors" | "Dead" | "Dropped" | "Lost";

/** Where nothing is measured. */
export const UNCOUNTED: NotificationCounts = { event: () => {}, status: () => {}, pending: () => {} };
