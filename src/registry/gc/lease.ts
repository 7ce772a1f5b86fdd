/** Work that one process at a time does. */
import { randomUUID } from "node:crypto";
import type { Backend } from "../backend.ts";

/** A lease in the database: should its holder die, it ends by itself. */
export class Lease {
  readonly #backend: Pick<Backend, "metadata" | "clock">;
  readonly #name: string;
  readonly #lengthMs: number;
  readonly #holder = randomUUID();
  #renewAt = 0;

  constructor(backend: Pick<Backend, "metadata" | "clock">, name: string, lengthMs: number) {
    this.#backend = backend;
    this.#name = name;
    this.#lengthMs = lengthMs;
  }

  /** False when another process has it. */
  take(): Promise<boolean> {
    const now = this.#backend.clock.now();
    this.#renewAt = now + this.#lengthMs / 4;
    return this.#backend.metadata.takeLease(this.#name, this.#holder, now + this.#lengthMs);
  }

  /** Makes it last on, when a part of it is over: to be called often. */
  async renew(): Promise<void> {
    if (this.#backend.clock.now() >= this.#renewAt) await this.take();
  }

  async release(): Promise<void> {
    await this.#backend.metadata.releaseLease(this.#name, this.#holder);
  }
}
