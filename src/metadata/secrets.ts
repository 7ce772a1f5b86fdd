/** Random bytes that all processes on a database share. */
import { randomBytes } from "node:crypto";
import { bytes, query } from "./columns.ts";
import type { Database } from "./database.ts";
import { first, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** As long as a hash of SHA-256. */
const SECRET_BYTES = 32;

const FIND = query({ value: bytes }, `select value from secret where name = $1`);

const ADD = `insert into secret (name, value) values ($1, $2) on conflict (name) do nothing`;

export class Secrets {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns the secret of this name, which stays: it is made when it is first asked for. */
  async get(name: string): Promise<Uint8Array> {
    const { engine } = this.#database;
    const found = await engine.read(() => first(FIND, name));
    if (found) return found.value;
    const fresh = randomBytes(SECRET_BYTES);
    // Of processes that bring one at the same time, the first one's counts for all.
    return await engine.write(function* (): Transaction<Uint8Array> {
      yield* run(ADD, name, fresh);
      return (yield* first(FIND, name))?.value ?? fresh;
    });
  }
}
