/** The span of the request that runs now: known to whatever is called on its behalf, without being handed on. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Span } from "@opentelemetry/api";

/** Costs nothing while nothing is traced. */
export const currentSpan: AsyncLocalStorage<Span> = new AsyncLocalStorage();

/** Returns the id of the trace that the running request belongs to; undefined when it is not traced. */
export function currentTraceId(): string | undefined {
  return currentSpan.getStore()?.spanContext().traceId;
}
