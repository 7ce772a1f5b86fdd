/** Leases on work that one process at a time does. They need not outlive a power loss: no holder does. */
import type { Database } from "./database.ts";
import { any, run } from "./sql.ts";

/** While this lease is held, no bytes are removed: a copy of the registry is being made. */
export const BACKUP_LEASE = "backup";

const TAKE = `
  insert into lease (name, holder, until) values ($1, $2, $3)
  on conflict (name) do update set holder = excluded.holder, until = excluded.until
  where lease.until <= $4
  returning name`;

// A lease that has ended is lost, whether or not another holder took it: what it kept away may have come between.
const RENEW = `update lease set until = $3 where name = $1 and holder = $2 and until > $4 returning name`;

const RELEASE = `delete from lease where name = $1 and holder = $2`;

const HELD = `select 1 as found from lease where name = $1 and until > $2`;

export class Leases {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Takes a piece of work for this holder until `until`. False when another holder has it. */
  take(name: string, holder: string, until: number): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(() => any(TAKE, name, holder, until, clock.now()), "soon");
  }

  /** Makes a lease last until `until`. False when the holder does not have it, or when it has ended meanwhile. */
  renew(name: string, holder: string, until: number): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(() => any(RENEW, name, holder, until, clock.now()), "soon");
  }

  release(name: string, holder: string): Promise<void> {
    return this.#database.engine.write(() => run(RELEASE, name, holder), "soon");
  }

  /** Whether any holder has it now. */
  isHeld(name: string): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.read(() => any(HELD, name, clock.now()));
  }
}
