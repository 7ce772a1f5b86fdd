/** The `Date` header (RFC 9110, 6.6.1): the runtime adds it to every reply but those to HEAD. */
import { systemClock } from "../../lib/clock.ts";

let second = -1;
let text = "";

/** The time now as HTTP writes it, formatted at most once a second. */
export function httpDate(): string {
  const now = Math.floor(systemClock.now() / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
