/** Which generation accounts in the database have, as of its last commit. */
import type { Clock } from "../lib/clock.ts";
import type { Revision } from "../metadata/revision-source.ts";
import { LruCache, textBytes } from "../lib/lru.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import type { Basis } from "./verifier.ts";

/** Of all accounts: those of 4,000 and more. */
const MAX_BYTES = 2 * 1024 ** 2;

/** What one needs beside its key. */
const GENERATION_BYTES = 300;

/** What the database says of an account. */
export interface StoredGeneration {
  /** Undefined when there is no such account. */
  readonly generation: string | undefined;
  /** Milliseconds since 1970 from which on there is none; absent when it does not end by itself. */
  readonly until?: number | undefined;
}

/** One for each account, whatever rests on it: its sessions share what is asked of the database after a commit. */
export class CachedGenerations {
  readonly #revision: () => Revision | Promise<Revision>;
  readonly #clock: Clock;
  readonly #generations = new LruCache<string, CachedGeneration>(MAX_BYTES);

  /** `revision` returns that of the accounts. */
  constructor(revision: () => Revision | Promise<Revision>, clock: Clock) {
    this.#revision = revision;
    this.#clock = clock;
  }

  /** Returns the generation of the account `key`, read by `find` when it is not cached. */
  of(key: string, find: () => Promise<StoredGeneration>): Basis {
    let found = this.#generations.get(key);
    if (!found) {
      found = new CachedGeneration(find, this.#revision, this.#clock);
      this.#generations.set(key, found, GENERATION_BYTES + textBytes(key));
    }
    return found;
  }
}

/** Invalidated by each change of an account, by whatever process. */
class CachedGeneration implements Basis {
  readonly #find: () => Promise<StoredGeneration>;
  readonly #currentRevision: () => Revision | Promise<Revision>;
  readonly #clock: Clock;
  #stored: StoredGeneration = { generation: undefined };
  /** At which `#stored` was asked for. */
  #revision: Revision | undefined;
  /** At which the database was last asked. */
  #asked: Revision | undefined;
  /** By revision: an answer of before a change is none to a request that came after it. */
  readonly #asking = new SingleFlight<Revision, StoredGeneration>();

  constructor(find: () => Promise<StoredGeneration>, revision: () => Revision | Promise<Revision>, clock: Clock) {
    this.#find = find;
    this.#currentRevision = revision;
    this.#clock = clock;
  }

  isAt(generation: string): boolean | Promise<boolean> {
    const revision = this.#currentRevision();
    if (revision instanceof Promise) return revision.then((known) => this.#isAt(generation, known));
    return this.#isAt(generation, revision);
  }

  #isAt(generation: string, revision: Revision): boolean | Promise<boolean> {
    if (this.#revision === revision) return this.#is(this.#stored, generation);
    return this.#asking.run(revision, () => this.#ask(revision)).then((stored) => this.#is(stored, generation));
  }

  #is(stored: StoredGeneration, generation: string): boolean {
    return stored.generation === generation && this.#clock.now() < (stored.until ?? Infinity);
  }

  async #ask(revision: Revision): Promise<StoredGeneration> {
    this.#asked = revision;
    const stored = await this.#find();
    if (revision === this.#asked) {
      this.#stored = stored;
      this.#revision = revision;
    }
    return stored;
  }
}
