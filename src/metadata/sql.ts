/**
 * Work on a database, written once for every engine. A transaction is a generator that yields statements and is given
 * their rows: an engine whose calls return at once runs it in one go, so that nothing gets in between; one that waits
 * for a server awaits each statement.
 */

import type { Holders } from "./holders.ts";

export type Value = string | number | Uint8Array | null;

export type Row = Readonly<Record<string, unknown>>;

/** SQL that all engines understand, with `$1`, `$2` … for the values. */
export interface Statement {
  readonly text: string;
  readonly values: readonly Value[];
}

export type Transaction<Result> = Generator<Statement, Result, readonly Row[]>;

/**
 * When what was written outlives a power loss: when the write resolves, or some time later, in the order of the writes;
 * `flush` ends that time. The death of the process loses neither.
 */
export type Durability = "durable" | "soon";

export interface SqlEngine {
  /** The processes that share the database. */
  readonly holders: Holders;

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
   * knows the commits of before this turn of the event loop at the least, so whoever asks after a commit is answered knows
   * it. Looks at the database at most once in each turn; an engine that cannot do so returns another number in each turn.
   */
  lastCommit(): number;

  /** Everything that was written before, by whatever process, is durable when it resolves. */
  flush(): Promise<void>;

  /** Rejects, saying why, when it could not take a write now; costs about as much as a read. */
  checkReady(): Promise<void>;

  close(): Promise<void>;
}

/** All rows of a statement. `Fields` is what the text selects. */
export function* rows<Fields>(text: string, ...values: readonly Value[]): Transaction<readonly Fields[]> {
  return (yield { text, values }) as readonly Fields[];
}

/** The first row of a statement, or undefined. */
export function* first<Fields>(text: string, ...values: readonly Value[]): Transaction<Fields | undefined> {
  return (yield { text, values })[0] as Fields | undefined;
}

/** Carries a transaction out on an engine whose calls return at once. */
export function runAtOnce<Result>(work: Transaction<Result>, run: (statement: Statement) => readonly Row[]): Result {
  let step = work.next();
  while (!step.done) step = work.next(run(step.value));
  return step.value;
}
