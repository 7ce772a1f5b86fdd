/**
 * The outbox: events of changes, which are written in the transactions that make the changes, and read in their order by one
 * sender for each endpoint and by any number of readers.
 *
 * A reader goes on behind a cursor, which is the number of an event: numbers become visible in their order. On SQLite one
 * transaction writes at a time; an engine with several gives them to what is committed (`SqlEngine.numberEvents`).
 */
import { integer, optional, query, text, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { any, first, rows, run, statement } from "./sql.ts";
import type { Statement, Transaction } from "./sql.ts";

export interface StoredEvent {
  /** Larger than those of all events before. */
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** JSON. */
  readonly payload: string;
}

/** A page of events is bounded by rows and by bytes; one event of any size is always in it. */
export interface EventPage {
  readonly limit: number;
  readonly maxBytes: number;
}

/** An event that an endpoint did not take. */
export interface DeadEvent {
  readonly id: number;
  readonly endpoint: string;
  /** The number that it had in the outbox. */
  readonly seq: number;
  readonly diedAt: number;
  readonly attempts: number;
  /** What the last try met. */
  readonly reason: string;
  /** Whether it waits to be sent again. */
  readonly isDue: boolean;
  /** JSON. */
  readonly payload: string;
}

/** How far an endpoint is. */
export interface EndpointState {
  readonly name: string;
  /** Of the last event that it needs no more. */
  readonly seq: number;
  /** Events that wait for it, and from when the oldest of them is, in milliseconds since 1970. */
  readonly pending: number;
  readonly oldest: number | undefined;
  readonly dead: number;
}

const INSERT = `insert into event (at, bytes, payload) values ($1, $2, $3)`;

const EVENT = { seq: integer, at: integer, payload: text };

/** Up to $3 bytes: the first row counts whatever it has. */
const AFTER = query(
  EVENT,
  `
  select e.seq, e.at, e.payload from (
    select seq, bytes, sum(bytes) over (order by seq) as up_to from (
      select seq, bytes from event where seq > $1 order by seq limit $2) as found) as p
  join event e on e.seq = p.seq
  where p.up_to <= $3 or p.up_to = p.bytes order by e.seq`,
);

const HAS_AFTER = `
  select 1 as found from event where seq > (select seq from event_endpoint where name = $1)
  union all select 1 from dead_event where endpoint = $1 and due = 1 limit 1`;

const CURSOR = query({ seq: integer }, `select seq from event_endpoint where name = $1`);

const LAST = query({ seq: integer }, `select coalesce(max(seq), 0) as seq from event`);
const FIRST = query({ seq: integer }, `select coalesce(min(seq), 0) as seq from event`);

const UNKNOWN_ENDPOINTS = `
  select 1 as found from json_each($1) where not exists (select 1 from event_endpoint where name = value) limit 1`;

/** A new endpoint receives the events that are recorded from then on. */
const BEGIN = `
  insert into event_endpoint (name, seq) select value, (select coalesce(max(seq), 0) from event) from json_each($1) where true
  on conflict (name) do nothing`;

const ADVANCE = `update event_endpoint set seq = $2 where name = $1 and seq < $2`;

const BURY = `
  insert into dead_event (endpoint, seq, died_at, attempts, reason, payload) values ($1, $2, $3, $4, $5, $6)`;

/** Of the dead letters of an endpoint the newest $2 stay. */
const FORGET_OLD_DEAD = query(
  { id: integer },
  `
  delete from dead_event where endpoint = $1 and id <= (
    select id from dead_event where endpoint = $1 order by id desc limit 1 offset $2) returning id`,
);

const DEAD = {
  id: integer,
  endpoint: text,
  seq: integer,
  diedAt: integer,
  attempts: integer,
  reason: text,
  isDue: truth,
  payload: text,
};
const DEAD_COLUMNS = `id, endpoint, seq, died_at, attempts, reason, due as is_due, payload`;

const LIST_DEAD = query(
  DEAD,
  `select ${DEAD_COLUMNS} from dead_event where id > $1 and ($2 is null or endpoint = $2) order by id limit $3`,
);
const DUE = query(DEAD, `select ${DEAD_COLUMNS} from dead_event where endpoint = $1 and due = 1 order by id limit $2`);

const MARK_DUE = query(
  { id: integer },
  `update dead_event set due = 1 where id in (select cast(value as bigint) from json_each($1)) returning id`,
);
const DIED_AGAIN = `update dead_event set due = 0, died_at = $2, attempts = attempts + $3, reason = $4 where id = $1`;
const REMOVE_DEAD = query(
  { id: integer },
  `delete from dead_event where id in (select cast(value as bigint) from json_each($1)) returning id`,
);

const STATES = query(
  { name: text, seq: integer, pending: integer, oldest: optional(integer), dead: integer },
  `
  select p.name, p.seq, (select count(*) from event where seq > p.seq) as pending,
    (select at from event where seq > p.seq order by seq limit 1) as oldest,
    (select count(*) from dead_event d where d.endpoint = p.name) as dead
  from event_endpoint p where p.name in (select value from json_each($1)) order by p.name`,
);

/** The last event that all of these endpoints need no more; undefined when there are none of them. */
const NEEDED_BY_NONE = query(
  { seq: optional(integer) },
  `select min(seq) as seq from event_endpoint where name in (select value from json_each($1))`,
);

/** Events up to $1 that are older than $2, but for the newest of all. */
const REMOVE = query(
  { seq: integer, bytes: integer },
  `
  delete from event where seq in (
    select seq from (select seq, at from event order by seq limit $3) as oldest where seq <= $1 and at < $2)
  and seq < (select max(seq) from event)
  returning seq, bytes`,
);

const HAS_DELIVERED = `
  select 1 as found from (select seq, at from event order by seq limit 1) as oldest
  where seq <= $1 and at < $2 and seq < (select max(seq) from event)`;

const LAST_OF_OLDEST = query(
  { seq: optional(integer) },
  `select max(seq) as seq from (select seq from event order by seq limit $1) as oldest where seq < (select max(seq) from event)`,
);

const BEHIND = query(
  { name: text, events: integer },
  `
  select p.name, (select count(*) from event where seq > p.seq and seq <= $2) as events
  from event_endpoint p where p.name in (select value from json_each($1)) and p.seq < $2`,
);

const SIZES = query(
  { rows: integer, bytes: integer, seq: optional(integer) },
  `
  select count(*) as rows, coalesce(sum(bytes), 0) as bytes, max(seq) as seq
  from (select seq, bytes from event where seq > $1 order by seq limit $2) as found`,
);

/** Rows that one statement looks at when it counts or removes. */
const STEP_ROWS = 500;

/** Returns the statement that puts an event into the outbox, for the transaction that makes the change. */
export function insertEvent(payload: string, now: number): Statement {
  return statement(INSERT, now, Buffer.byteLength(payload), payload);
}

export class Outbox {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Adds endpoints, which receive what is committed from now on; endpoints that exist go on where they are. */
  async begin(endpoints: readonly string[]): Promise<void> {
    if (endpoints.length === 0) return;
    const { engine } = this.#database;
    await engine.numberEvents?.();
    const names = JSON.stringify(endpoints);
    if (!(await engine.read(() => any(UNKNOWN_ENDPOINTS, names)))) return;
    await engine.write(() => run(BEGIN, names));
  }

  /** Whether there is anything to send to an endpoint: an event, or a dead letter that is due. */
  async hasNext(endpoint: string): Promise<boolean> {
    const { engine } = this.#database;
    await engine.numberEvents?.();
    return await engine.read(() => any(HAS_AFTER, endpoint));
  }

  /** The next events for an endpoint, in their order. */
  next(endpoint: string, { limit, maxBytes }: EventPage): Promise<readonly StoredEvent[]> {
    return this.#database.engine.read(function* (): Transaction<readonly StoredEvent[]> {
      const cursor = yield* first(CURSOR, endpoint);
      return cursor ? yield* rows(AFTER, cursor.seq, limit, maxBytes) : [];
    });
  }

  /** Events behind a number, for readers, in their order. */
  async after(seq: number, { limit, maxBytes }: EventPage): Promise<readonly StoredEvent[]> {
    const { engine } = this.#database;
    await engine.numberEvents?.();
    return await engine.read(() => rows(AFTER, seq, limit, maxBytes));
  }

  /** The numbers of the oldest event that is here and of the newest; 0 when there never was one. */
  async range(): Promise<{ readonly first: number; readonly last: number }> {
    const { engine } = this.#database;
    await engine.numberEvents?.();
    return await engine.read(function* (): Transaction<{ readonly first: number; readonly last: number }> {
      return { first: (yield* first(FIRST))?.seq ?? 0, last: (yield* first(LAST))?.seq ?? 0 };
    });
  }

  /**
   * The endpoint needs no event up to `seq` any more. Durable some time later: after a power loss events are delivered again,
   * with the same ids.
   */
  advance(endpoint: string, seq: number): Promise<void> {
    return this.#database.engine.write(() => run(ADVANCE, endpoint, seq), "soon");
  }

  /**
   * The endpoint does not take this event: it becomes a dead letter, of which the newest `keep` are kept. Returns how many were
   * forgotten.
   */
  bury(
    endpoint: string,
    { seq, payload }: StoredEvent,
    { attempts, reason, keep }: { readonly attempts: number; readonly reason: string; readonly keep: number },
  ): Promise<number> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<number> {
      yield* run(BURY, endpoint, seq, clock.now(), attempts, reason, payload);
      yield* run(ADVANCE, endpoint, seq);
      return (yield* rows(FORGET_OLD_DEAD, endpoint, keep)).length;
    });
  }

  /** Dead letters behind an id, of one endpoint or of all. */
  dead(after: number, limit: number, endpoint?: string): Promise<readonly DeadEvent[]> {
    return this.#database.engine.read(() => rows(LIST_DEAD, after, endpoint ?? null, limit));
  }

  /** Lets dead letters be sent again; returns how many of these there are. */
  async retry(ids: readonly number[]): Promise<number> {
    return (await this.#database.engine.write(() => rows(MARK_DUE, JSON.stringify(ids)))).length;
  }

  /** Removes dead letters, delivered or not wanted any more; returns how many of these there were. */
  async removeDead(ids: readonly number[]): Promise<number> {
    return (await this.#database.engine.write(() => rows(REMOVE_DEAD, JSON.stringify(ids)))).length;
  }

  /** Dead letters of an endpoint that are to be sent again, the oldest first. */
  due(endpoint: string, limit: number): Promise<readonly DeadEvent[]> {
    return this.#database.engine.read(() => rows(DUE, endpoint, limit));
  }

  /** A dead letter that was sent again was not taken again. */
  buryAgain(id: number, attempts: number, reason: string): Promise<void> {
    const { engine, clock } = this.#database;
    return engine.write(() => run(DIED_AGAIN, id, clock.now(), attempts, reason));
  }

  /** How far endpoints are. It counts the events that wait. */
  async states(endpoints: readonly string[]): Promise<readonly EndpointState[]> {
    const { engine } = this.#database;
    await engine.numberEvents?.();
    return await engine.read(() => rows(STATES, JSON.stringify(endpoints)));
  }

  /** Whether `removeDelivered` would remove anything. */
  hasDelivered(endpoints: readonly string[], before: number): Promise<boolean> {
    return this.#database.engine.read(function* (): Transaction<boolean> {
      return yield* any(HAS_DELIVERED, yield* neededByNone(endpoints), before);
    });
  }

  /**
   * Removes some of the events that none of these endpoints needs and that are from before `before`; returns them. Bounded rows:
   * called until it returns none.
   */
  async removeDelivered(endpoints: readonly string[], before: number): Promise<OutboxSize> {
    const removed = await this.#database.engine.write(function* (): Transaction<readonly { readonly bytes: number }[]> {
      return yield* rows(REMOVE, yield* neededByNone(endpoints), before, STEP_ROWS);
    }, "soon");
    return { rows: removed.length, bytes: bytesOf(removed) };
  }

  /**
   * Removes some of the oldest events, delivered or not, because there are too many; returns them, and how many of them each
   * endpoint has lost.
   */
  async removeOldest(
    endpoints: readonly string[],
    limit: number = STEP_ROWS,
  ): Promise<OutboxSize & { readonly lost: ReadonlyMap<string, number> }> {
    const lost = new Map<string, number>();
    const removed = await this.#database.engine.write(function* (): Transaction<readonly { readonly bytes: number }[]> {
      lost.clear();
      const seq = (yield* first(LAST_OF_OLDEST, Math.min(limit, STEP_ROWS)))?.seq;
      if (seq === undefined) return [];
      for (const { name, events } of yield* rows(BEHIND, JSON.stringify(endpoints), seq)) {
        lost.set(name, events);
        yield* run(ADVANCE, name, seq);
      }
      return yield* rows(REMOVE, seq, Number.MAX_SAFE_INTEGER, STEP_ROWS);
    });
    return { rows: removed.length, bytes: bytesOf(removed), lost };
  }

  /** Counts some of the events behind `seq`; `seq` of the result is the last of them, undefined when there are none. */
  async size(seq: number): Promise<OutboxSize & { readonly seq: number | undefined }> {
    const counted = await this.#database.engine.read(() => first(SIZES, seq, STEP_ROWS));
    return counted ?? { rows: 0, bytes: 0, seq: undefined };
  }
}

/** The last event that none of the endpoints needs any more. */
function* neededByNone(endpoints: readonly string[]): Transaction<number> {
  if (endpoints.length === 0) return Number.MAX_SAFE_INTEGER;
  return (yield* first(NEEDED_BY_NONE, JSON.stringify(endpoints)))?.seq ?? Number.MAX_SAFE_INTEGER;
}

/** Events, and the bytes of their payloads. */
export interface OutboxSize {
  readonly rows: number;
  readonly bytes: number;
}

function bytesOf(events: readonly { readonly bytes: number }[]): number {
  return events.reduce((sum, { bytes }) => sum + bytes, 0);
}
