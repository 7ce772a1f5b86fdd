/** One try to deliver an event: a POST, and what its response means. */
import { createHmac } from "node:crypto";
import type { Endpoint } from "./endpoint.ts";
import { envelopeOf } from "./envelope.ts";
import type { RegistryEvent } from "./event.ts";

export type DeliveryResult =
  /** Any status of 2xx and 3xx, as in distribution. */
  | { readonly kind: "delivered"; readonly status: number }
  | { readonly kind: "refused"; readonly status: number; readonly retryAfterMs: number | undefined }
  /** There was no response: the connection failed, or the time was over. */
  | { readonly kind: "failed"; readonly reason: string };

/** Bytes of a response that are read, so that its connection can be used again. */
const MAX_RESPONSE_BYTES = 64 * 1024;

/**
 * Sends an event to an endpoint. `seq` is its number in the outbox; a pull has none. Rejects only when `signal` said stop
 * before there was a result. Redirects are followed as `fetch` does.
 */
export async function deliver(
  endpoint: Endpoint,
  event: RegistryEvent,
  seq: number | undefined,
  userAgent: string,
  signal: AbortSignal,
): Promise<DeliveryResult> {
  const { contentType, body } = envelopeOf(endpoint.envelope, event);
  const headers = new Headers({ "content-type": contentType, "user-agent": userAgent });
  for (const [name, values] of Object.entries(endpoint.headers)) {
    headers.delete(name);
    for (const value of values) headers.append(name, value);
  }
  headers.set("x-registry-event-id", event.id);
  if (seq !== undefined) headers.set("x-registry-event-seq", `${seq}`);
  if (endpoint.secret !== undefined) headers.set("x-registry-signature", signatureOf(endpoint.secret, body));
  try {
    const response = await fetch(endpoint.url, {
      method: "POST",
      headers,
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(endpoint.timeoutMs)]),
    });
    await readSome(response).catch(() => undefined); // the status is known
    const { status } = response;
    if (status >= 200 && status < 400) return { kind: "delivered", status };
    return { kind: "refused", status, retryAfterMs: retryAfterIn(response.headers) };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "failed", reason: reasonOf(error, endpoint) };
  }
}

/** `X-Registry-Signature`: the HMAC of the body. */
export function signatureOf(secret: string, body: string): string {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

/** `503 Service Unavailable`, as distribution labels its metric. */
export function statusText(status: number): string {
  const { STATUS_CODES } = process.getBuiltinModule("node:http"); // loaded here, because that takes a tenth of many a command
  return `${status} ${STATUS_CODES[status] ?? ""}`.trimEnd();
}

/**
 * Whether a status says that the receiver will not take this event, however often it comes. Others, such as 401, 404 and 5xx,
 * may be over once the receiver is repaired.
 */
export function isPermanent(status: number): boolean {
  return PERMANENT.has(status);
}

const PERMANENT: ReadonlySet<number> = new Set([400, 406, 409, 411, 413, 414, 415, 417, 422, 431]);

async function readSome({ body }: Response): Promise<void> {
  if (!body) return;
  let bytes = 0;
  for await (const piece of body as unknown as AsyncIterable<Uint8Array>) {
    bytes += piece.length;
    if (bytes > MAX_RESPONSE_BYTES) return; // leaving the loop closes the connection
  }
}

/** "Retry-After" (RFC 9110, 10.2.3) in seconds; a date is not read. */
function retryAfterIn(headers: Headers): number | undefined {
  const value = headers.get("retry-after") ?? "";
  return /^\d{1,9}$/.test(value) ? Number(value) * 1000 : undefined;
}

function reasonOf(error: unknown, { timeoutMs }: Endpoint): string {
  if (!(error instanceof Error)) return "the connection failed";
  if (error.name === "TimeoutError") return `no response within ${timeoutMs} ms`;
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}
