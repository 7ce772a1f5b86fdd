/**
 * Work on a database, written once for every engine. A transaction is a generator that yields statements and is given
 * their rows: an engine whose calls return at once runs it in one go, so that nothing gets in between; one that waits
 * for a server awaits each statement.
 */

import type { Clock } from "../lib/clock.ts";
import type { Holders } from "./holders.ts";
import type { RevisionSource } from "./revision-source.ts";

export type Value = string | number | Uint8Array | null;

export type Row = Readonly<Record<string, unknown>>;

/** SQL that all engines understand, with `$1`, `$2` … for the values. */
export interface Statement {
  readonly text: string;
  readonly values: readonly Value[];
  /**
   * Whether the work goes on the same whatever the rows are: an engine that waits for a server gives none, and sends the
   * statement together with the next one whose rows count, or with the commit.
   */
  readonly ignoresRows?: boolean;
  /**
   * What takes the locks that the statement counts on, for an engine with several writers at a time: it runs these before,
   * in the same flight. An engine with one writer does nothing.
   */
  readonly locks?: readonly Statement[];
}

/** A statement that returns rows, and how they are read (`columns.ts`). */
export interface Query<Fields> {
  readonly text: string;
  decode(row: Row): Fields;
}

/** Statements that do not need each other's rows: an engine that waits for a server sends them at once. */
export type Batch = readonly Statement[];

/** Yields statements and is given their rows; for a batch, the rows of each. */
export type Transaction<Result> = Generator<Statement | Batch, Result, readonly Row[] | readonly (readonly Row[])[]>;

/**
 * When what was written outlives a power loss: when the write resolves, or some time later, in the order of the writes;
 * `flush` ends that time. The death of the process loses neither.
 */
export type Durability = "durable" | "soon";

export interface SqlEngine {
  /** The processes that share the database. */
  readonly holders: Holders;

  /** What time it is by the server, which decides for all its clients; undefined for an engine that has no clock of its own. */
  readonly clock?: Clock;

  /** What knows revisions on this engine; `Revisions` does when absent. */
  readonly revisions?: RevisionSource;

  /**
   * Runs work that only reads, on one consistent state. It sees everything whose `write` has resolved. It may be run again
   * from its start.
   */
  read<Result>(work: () => Transaction<Result>): Promise<Result>;

  /**
   * Runs work that writes, whole or not at all; durable when it resolves, unless `durability` says otherwise. When the work
   * throws, nothing of it is kept and the error is passed on. It may be run again from its start when the database is busy.
   */
  write<Result>(work: () => Transaction<Result>, durability?: Durability): Promise<Result>;

  /**
   * As `read`, but returns the result itself where it is known at once: for what each request asks.
   */
  readNow<Result>(work: () => Transaction<Result>): Result | Promise<Result>;

  /**
   * Returns another number when anything may have been committed, by whatever process, since it returned the last one. It
   * knows the commits of before this turn of the event loop at the least, so a caller that asks after a commit knows it.
   * Looks at the database at most once in each turn; an engine that cannot do so returns another number in each turn.
   */
  lastCommit(): number;

  /**
   * Gives their numbers to the events that are committed. Absent for an engine with one writer at a time: events get theirs when they
   * are inserted.
   */
  numberEvents?(): Promise<void>;

  /** Everything that was written before, by whatever process, is durable when it resolves. */
  flush(): Promise<void>;

  /** Rejects, saying why, when it could not take a write now; costs about as much as a read. */
  checkReady(): Promise<void>;

  close(): Promise<void>;
}

export function statement(text: string, ...values: readonly Value[]): Statement {
  return { text, values };
}

/**
 * Texts as one value of a statement, which reads them by `json_each`: each once, and in the order of the keys, because rows
 * that are written in the order of an index go to few of its pages.
 */
export function listed(texts: readonly string[]): string {
  return JSON.stringify([...new Set(texts)].toSorted());
}

/** Ids as one value of a statement, which reads them by `select cast(value as bigint) from json_each`: each once, in order. */
export function listedIds(ids: readonly number[]): string {
  return JSON.stringify([...new Set(ids)].toSorted((a, b) => a - b));
}

/** Runs a statement whose rows are not needed. */
export function* run(text: string, ...values: readonly Value[]): Transaction<void> {
  yield { text, values, ignoresRows: true };
}

/** Whether a statement returns a row. */
export function* any(text: string, ...values: readonly Value[]): Transaction<boolean> {
  return (yield { text, values }).length > 0;
}

/** All rows of a statement, as records. */
export function* rows<Fields>(query: Query<Fields>, ...values: readonly Value[]): Transaction<readonly Fields[]> {
  return ((yield { text: query.text, values }) as readonly Row[]).map((row) => query.decode(row));
}

/** The first row of a statement as a record, or undefined. */
export function* first<Fields>(query: Query<Fields>, ...values: readonly Value[]): Transaction<Fields | undefined> {
  const [row] = (yield { text: query.text, values }) as readonly Row[];
  return row && query.decode(row);
}

/** A query with the values that it is run with. */
export interface BoundQuery<Fields> extends Statement {
  readonly query: Query<Fields>;
}

export function bound<Fields>(query: Query<Fields>, ...values: readonly Value[]): BoundQuery<Fields> {
  return { text: query.text, values, query };
}

/** All rows of two queries, the second of which does not need the rows of the first, as records. */
export function* rowsOfBoth<One, Other>(
  one: BoundQuery<One>,
  other: BoundQuery<Other>,
): Transaction<readonly [readonly One[], readonly Other[]]> {
  const [found = [], others = []] = (yield [one, other]) as readonly (readonly Row[])[];
  return [found.map((row) => one.query.decode(row)), others.map((row) => other.query.decode(row))];
}

/** The statement, which takes locks before it runs (`Statement.locks`). */
export function locked<Locked extends Statement>(locks: readonly Statement[], over: Locked): Locked {
  return { ...over, locks };
}

/** All rows of a query that is run with its values, as records. */
export function* rowsOf<Fields>(query: BoundQuery<Fields>): Transaction<readonly Fields[]> {
  return ((yield query) as readonly Row[]).map((row) => query.query.decode(row));
}

/** Runs statements that do not need each other's rows, in this order where the engine has one. */
export function* batch(...statements: Batch): Transaction<void> {
  yield statements.map((each) => ({ ...each, ignoresRows: true }));
}

/** Carries a transaction out on an engine whose calls return at once. */
export function runAtOnce<Result>(
  work: Transaction<Result>,
  execute: (statement: Statement) => readonly Row[],
): Result {
  let step = work.next();
  while (!step.done) {
    const { value } = step;
    step = work.next("text" in value ? execute(value) : value.map(execute));
  }
  return step.value;
}
