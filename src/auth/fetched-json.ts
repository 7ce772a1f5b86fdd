/** JSON from another server that the settings name. */
import { boundedText } from "../lib/bounded-text.ts";
import { isLoopbackHost } from "../lib/network.ts";

/** More than any document about keys has. */
const MAX_BYTES = 1024 ** 2;

const TIMEOUT_MS = 10_000;

/** Whether a URL is trustworthy: https, or on this machine. */
export function isTrustworthy(url: URL): boolean {
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopbackHost(url.hostname));
}

/** Rejects when the server cannot be reached, redirects, or returns something other than JSON. */
export async function fetchJson(address: string): Promise<unknown> {
  const url = new URL(address);
  if (!isTrustworthy(url)) throw new Error(`${address} is neither https nor on this machine`);
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new Error(`${address} answered ${response.status}`);
  }
  return JSON.parse(await boundedText(response.body, MAX_BYTES, address));
}
