/** How much one user, or one address, may read in a time. Writes have no such bound: no client could go on after it. */
import type { Principal } from "../../auth/identity.ts";
import { nameOf } from "../../auth/policy.ts";
import type { Clock } from "../../lib/clock.ts";
import { customerNetwork } from "../../lib/network.ts";
import { TokenBuckets } from "../../lib/token-buckets.ts";
import { OciError } from "../../oci/error.ts";
import { AccessRefusal } from "./access-refusal.ts";
import type { Caller } from "../http/origin.ts";

export interface ReadLimitOptions {
  /** What one user may read in a minute; 0 for no bound. */
  readonly perMinute: number;
  /** What one address may read in a minute without credentials; 0 for no bound. */
  readonly anonymousPerMinute: number;
}

/** Of each process: two that serve one folder allow twice as much. */
export class ReadLimits {
  readonly #users: TokenBuckets | undefined;
  readonly #addresses: TokenBuckets | undefined;
  readonly #counted = new WeakSet<Request>();

  constructor({ perMinute, anonymousPerMinute }: ReadLimitOptions, clock: Clock) {
    this.#users = perMinute > 0 ? new TokenBuckets(perMinute, clock) : undefined;
    this.#addresses = anonymousPerMinute > 0 ? new TokenBuckets(anonymousPerMinute, clock) : undefined;
  }

  /**
   * Refused with `TOOMANYREQUESTS`, and with when to come back, when it was too much. A request counts once, also when its
   * response had to wait and is made again.
   */
  take(request: Request, route: { readonly kind: string }, caller: Caller, principal: Principal): void {
    if (!isRead(request.method, route) || this.#counted.has(request)) return;
    this.#counted.add(request);
    const user = principal && nameOf(principal);
    const waitMs = user ? this.#users?.take(user) : this.#addresses?.take(customerNetwork(caller.address ?? ""));
    if (!waitMs) return;
    const seconds = Math.ceil(waitMs / 1000);
    const message = `read rate limit of ${user ?? "this address"} exceeded: retry in ${seconds} s`;
    const more = user || !this.#users ? "" : ", or log in";
    throw new AccessRefusal(
      new OciError("TOOMANYREQUESTS", { message: `${message}${more}` }),
      { "retry-after": String(seconds) },
      { user },
    );
  }
}

/** Undefined when nothing is bounded. */
export function createReadLimits(options: ReadLimitOptions | undefined, clock: Clock): ReadLimits | undefined {
  if (!options || (options.perMinute === 0 && options.anonymousPerMinute === 0)) return undefined;
  return new ReadLimits(options, clock);
}

/** HEAD is not limited, because pushes use it to check for blobs, and it costs little; in the API it costs as much as GET. */
function isRead(method: string, { kind }: { readonly kind: string }): boolean {
  if (kind === "api") return method === "GET" || method === "HEAD";
  if (method !== "GET") return false;
  switch (kind) {
    case "blob":
    case "manifest":
    case "tags":
    case "referrers":
    case "signatures":
    case "catalog":
      return true;
    default:
      return false;
  }
}
