/** Work that one process at a time does. */
import { randomUUID } from "node:crypto";
import { SingleFlight } from "../../lib/single-flight.ts";
import type { Backend } from "../backend.ts";

/** A lease that a timer renews until it is disposed of, which gives it back. */
export interface HeldLease extends AsyncDisposable {
  /** Aborted once the lease was not renewed in time: another process may do the work since. */
  readonly lost: AbortSignal;
  /** Renews the lease now. Returns false when it has been lost, even if no other process took it meanwhile. */
  confirm(): Promise<boolean>;
}

/** A lease in the database: should its holder die, it ends by itself. */
export class Lease {
  readonly #backend: Pick<Backend, "metadata" | "clock">;
  readonly #name: string;
  readonly #lengthMs: number;

  constructor(backend: Pick<Backend, "metadata" | "clock">, name: string, lengthMs: number) {
    this.#backend = backend;
    this.#name = name;
    this.#lengthMs = lengthMs;
  }

  /** Takes the lease and holds it. Returns undefined when another process, or another call, holds it. */
  async hold(): Promise<HeldLease | undefined> {
    const { metadata, clock } = this.#backend;
    const holder = randomUUID();
    let until = clock.now() + this.#lengthMs;
    if (!(await metadata.leases.take(this.#name, holder, until))) return undefined;

    const loss = new AbortController();
    const renewals = new SingleFlight<"lease", boolean>();
    const renew = async (): Promise<boolean> => {
      if (loss.signal.aborted) return false;
      const next = clock.now() + this.#lengthMs;
      // A database that cannot answer now may do so before the lease ends.
      const renewed = await metadata.leases.renew(this.#name, holder, next).catch(() => undefined);
      if (renewed === true) until = next;
      else if (renewed === false || clock.now() >= until) loss.abort(new Error(`the lease on ${this.#name} was lost`));
      return renewed === true;
    };
    const confirm = (): Promise<boolean> => renewals.run("lease", renew);
    const timer = setInterval(() => void confirm(), this.#lengthMs / 4);
    return {
      lost: loss.signal,
      confirm,
      [Symbol.asyncDispose]: async () => {
        clearInterval(timer);
        await metadata.leases.release(this.#name, holder).catch(() => undefined); // it ends by itself
      },
    };
  }
}
