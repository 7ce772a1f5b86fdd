/** SQL on a PostgreSQL server, which several processes and machines share. */
import { randomInt, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { BusyError } from "../../lib/busy-error.ts";
import { OncePerTurn } from "../../lib/once-per-turn.ts";
import { pause } from "../../lib/pause.ts";
import type { PostgresAddress } from "../../lib/postgres-address.ts";
import { integer, text } from "../columns.ts";
import type { Holder, HolderFate, Holders } from "../holders.ts";
import type { RevisionSource } from "../revision-source.ts";
import type { Durability, Row, SqlEngine, Statement, Transaction } from "../sql.ts";
import { ConnectionPool } from "./connection-pool.ts";
import type { PooledConnection, PoolOptions } from "./connection-pool.ts";
import { numberEvents } from "./event-numbering.ts";
import { migrate } from "./migrator.ts";
import type { PostgresMigration } from "../migrations/migrations.ts";
import { PostgresRevisions } from "./postgres-revisions.ts";
import { ServerClock } from "./server-clock.ts";
import { Translations } from "./translations.ts";
import { RUN, nameRun } from "./server-runs.ts";
import { SessionHolders } from "./session-holders.ts";
import { hasLostConnection, isConstraint, isTransient, rowsOf, WireError } from "./wire.ts";
import type { Answer, WireStatement } from "./wire.ts";

/** How long a transaction waits for the lock of another, before it begins anew. */
const LOCK_TIMEOUT_MS = 4000;

/** After this the server ends a transaction whose process sleeps, with the locks that it has. */
const IDLE_TIMEOUT_MS = 10_000;

/** How often work is done again because a constraint refused it. */
const MOST_REFUSALS = 8;

const FIRST_RETRY_MS = 5;
const LONGEST_RETRY_MS = 500;

const BEGIN_WRITING: WireStatement = { text: "begin isolation level read committed", values: [] };
const COMMIT: WireStatement = { text: "commit", values: [] };
const ROLLBACK: WireStatement = { text: "rollback", values: [] };

/** Several statements of one transaction see one state. */
const BEGIN_READING: WireStatement = { text: "begin isolation level repeatable read read only", values: [] };

/** Begins anew each time a read has to be in a transaction; statements that are known to need one, at most. */
const MOST_OPENINGS = 1000;

export interface PostgresEngineOptions extends PoolOptions {
  readonly migrations: readonly PostgresMigration[];
  /** How long work is retried before its caller gets the error that the database is busy. */
  readonly retryLimitMs: number;
  /** What knows which holders run, when all of them are on this machine; when absent, the connections of holders tell, and their leases. */
  readonly holders?: Holders | undefined;
}

/**
 * Transactions run side by side (READ COMMITTED, with the locks that statements ask for), in as few round trips as their
 * work allows: what begins a transaction goes with its first statements, statements whose rows are not used with the next
 * ones, and the commit with the last.
 *
 * A transaction that another one was in the way of is done again from its start. When the connection breaks before the answer
 * to a commit, the server is asked what became of the transaction, by its number.
 */
export class PostgresEngine implements SqlEngine {
  readonly holders: Holders;
  readonly clock = new ServerClock();
  readonly revisions: RevisionSource = new PostgresRevisions(this);
  readonly #pool: ConnectionPool;
  readonly #options: PostgresEngineOptions;
  readonly #translations = new Translations();
  /** Statements with which reads of several statements have begun. */
  readonly #openings = new Set<string>();
  readonly #turn = new OncePerTurn(() => ++this.#turns);
  #turns = 0;
  readonly #closing = new AbortController();
  readonly #repeated: Promise<void>[] = [];
  #flushing: Promise<void> | undefined;
  /** The run of the server when it was last asked for. */
  #run = "";

  private constructor(pool: ConnectionPool, options: PostgresEngineOptions) {
    this.#pool = pool;
    this.#options = options;
    this.holders = options.holders ?? (options.preparedStatements ? new SessionHolders(pool) : new HoldersByLease());
  }

  /** Connects, and brings the schema up to date. Rejects when the server cannot be reached, or the schema is not ours. */
  static async open(address: PostgresAddress, options: PostgresEngineOptions): Promise<PostgresEngine> {
    const pool = await ConnectionPool.open(address, options);
    try {
      const engine = new PostgresEngine(pool, options);
      await engine.#retry(() => pool.use((connection) => migrate(connection, options.migrations)));
      await engine.write(() => nothing());
      await engine.#retry(() => engine.#learnRun());
      return engine;
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  read<Result>(work: () => Transaction<Result>): Promise<Result> {
    return this.#retry(() => this.#pool.use((connection) => this.#read(connection, work)));
  }

  readNow<Result>(work: () => Transaction<Result>): Promise<Result> {
    return this.read(work);
  }

  write<Result>(work: () => Transaction<Result>, durability: Durability = "durable"): Promise<Result> {
    return this.#retry(async (deadline) => {
      const run = this.#run;
      const outcome = await this.#pool.use((connection) => this.#write(connection, work, durability));
      this.#turn.clear();
      if (!("unknown" in outcome)) return outcome.result;
      if (await this.#wasCommitted(outcome.unknown, run, deadline)) return outcome.result;
      throw outcome.cause;
    });
  }

  lastCommit(): number {
    return this.#turn.get("turn");
  }

  numberEvents(): Promise<void> {
    return numberEvents(this);
  }

  /** A commit that is durable makes all durable that were before it. Who comes while one runs shares the next. */
  async flush(): Promise<void> {
    if (this.#flushing) await this.#flushing.catch(() => undefined);
    this.#flushing ??= this.write(() => writeToLog()).finally(() => (this.#flushing = undefined));
    await this.#flushing;
  }

  async checkReady(): Promise<void> {
    const [row] = await this.read(() => select("select pg_is_in_recovery() as is_standby"));
    if (row?.["is_standby"] !== false) throw new Error("the PostgreSQL server is a standby, which takes no writes");
  }

  /** Does `work` again and again until the engine is closed, at intervals around `intervalMs`; what it throws is its next run's. */
  repeat(intervalMs: number, work: () => Promise<void>): void {
    const repeating = async (): Promise<void> => {
      // Not at the same moment as other processes that began together.
      while (await pause(intervalMs / 2 + randomInt(intervalMs), this.#closing.signal))
        await work().catch(() => undefined);
    };
    this.#repeated.push(repeating());
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#repeated);
    await this.#pool.close();
  }

  /** Does what another transaction was in the way of, or a server that is away for a moment, again from its start. */
  async #retry<Result>(attempt: (deadline: number) => Promise<Result>): Promise<Result> {
    const deadline = performance.now() + this.#options.retryLimitMs;
    let refusals = 0;
    for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_RETRY_MS)) {
      try {
        return await attempt(deadline);
      } catch (error) {
        if (!isTransient(error)) throw error;
        // A constraint that stands in the way for longer is no race.
        const isOver = isConstraint(error) && ++refusals > MOST_REFUSALS;
        if (isOver || performance.now() + pauseMs > deadline) throw busy(error);
        await sleep(randomInt(pauseMs) + pauseMs / 2);
      }
    }
  }

  async #read<Result>(connection: PooledConnection, work: () => Transaction<Result>): Promise<Result> {
    const steps = work();
    const one = steps.next();
    if (one.done) return one.value;
    const { value: statement } = one;
    if ("text" in statement && !this.#openings.has(statement.text)) {
      // One statement sees one state by itself.
      const [answer] = await connection.send([this.#translated(statement)]);
      const next = steps.next(rowsOf(answer));
      if (next.done) return next.value;
      if (this.#openings.size < MOST_OPENINGS) this.#openings.add(statement.text);
    }
    const run = new TransactionRun(connection, (each) => this.#translated(each), [BEGIN_READING]);
    return (await run.run(work())).result;
  }

  #write<Result>(
    connection: PooledConnection,
    work: () => Transaction<Result>,
    durability: Durability,
  ): Promise<Outcome<Result>> {
    const beginning = [BEGIN_WRITING, introduction(this.#options.statementTimeoutMs, durability)];
    return new TransactionRun(connection, (each) => this.#translated(each), beginning, this.clock).run(work());
  }

  /**
   * Waits until the server knows what became of a transaction that began in this run of it, or later. Rejects with `BusyError`
   * when the server cannot say, because it crashed meanwhile.
   */
  async #wasCommitted(transaction: string, run: string, deadline: number): Promise<boolean> {
    for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_RETRY_MS)) {
      try {
        const row = await this.#pool.use((connection) => findOutcome(connection, transaction));
        if (row === "lost" || row?.["status"] === "aborted") return false;
        if (row?.["status"] === "committed") {
          if (row["run"] === run) return true;
          await this.#learnRun();
          // The number may be that of another transaction by now.
          throw busy(new Error(`it crashed, and cannot say what became of transaction ${transaction}`));
        }
      } catch (error) {
        if (!isTransient(error) && !isStandby(error)) throw error;
        if (performance.now() > deadline) throw busy(error);
      }
      if (performance.now() > deadline) throw busy(new Error(`transaction ${transaction} is still in progress`));
      await sleep(pauseMs);
    }
  }

  async #learnRun(): Promise<void> {
    this.#run = await this.#pool.use(nameRun);
  }

  #translated({ text: shared, values }: Statement): WireStatement {
    return { text: this.#translations.of(shared), values };
  }
}

/** What became of a transaction. */
type Outcome<Result> =
  | { readonly result: Result }
  /** The connection broke before the commit was answered: whether the transaction of this number was committed is open. */
  | { readonly result: Result; readonly unknown: string; readonly cause: WireError };

/** One run of a transaction on a connection. */
class TransactionRun {
  readonly #connection: PooledConnection;
  readonly #translate: (statement: Statement) => WireStatement;
  readonly #clock: ServerClock | undefined;
  /** What was not sent yet. */
  #waiting: WireStatement[];
  #hasBegun = false;
  #hasStatements = false;
  /** The number of the transaction, once the server has said it. */
  #transaction: string | undefined;

  constructor(
    connection: PooledConnection,
    translate: (statement: Statement) => WireStatement,
    beginning: readonly WireStatement[],
    clock?: ServerClock,
  ) {
    this.#connection = connection;
    this.#translate = translate;
    this.#waiting = [...beginning];
    this.#clock = clock;
  }

  async run<Result>(steps: Transaction<Result>): Promise<Outcome<Result>> {
    try {
      let step = steps.next();
      while (!step.done) {
        const { value } = step;
        step = steps.next("text" in value ? ((await this.#execute([value]))[0] ?? []) : await this.#execute(value));
      }
      return await this.#commit(step.value);
    } catch (error) {
      await this.#rollBack();
      throw error;
    }
  }

  /** The rows of each statement; none of those whose rows do not count. */
  async #execute(statements: readonly Statement[]): Promise<readonly (readonly Row[])[]> {
    this.#hasStatements = true;
    const places: number[] = [];
    for (const statement of statements) {
      // Reads take no locks.
      for (const lock of (this.#clock && statement.locks) ?? []) this.#waiting.push(this.#translate(lock));
      places.push(this.#waiting.push(this.#translate(statement)) - 1);
    }
    if (statements.every(({ ignoresRows }) => ignoresRows)) return statements.map(() => []);
    const answers = await this.#flush();
    return places.map((at) => rowsOf(answers[at]));
  }

  /** Sends what waits; throws when one of the statements failed. */
  async #flush(): Promise<readonly Answer[]> {
    const flight = this.#waiting;
    this.#waiting = [];
    const asked = this.#clock?.steady() ?? 0;
    const isFirst = !this.#hasBegun;
    this.#hasBegun = true;
    const answers = await this.#connection.send(flight);
    const failed = answers.find((answer) => "error" in answer);
    if (failed && "error" in failed) throw failed.error;
    if (isFirst && this.#clock) this.#learn(rowsOf(answers[1])[0], this.#clock, asked);
    return answers;
  }

  #learn(row: Row | undefined, clock: ServerClock, asked: number): void {
    if (!row) throw new Error("PostgreSQL said nothing about a transaction that began");
    this.#transaction = text(row["transaction"]);
    clock.learn(integer(row["now"]), asked);
  }

  async #commit<Result>(result: Result): Promise<Outcome<Result>> {
    if (!this.#hasStatements) return { result };
    this.#waiting.push(COMMIT);
    const transaction = this.#transaction; // of before this flight: an answer that is lost told nothing
    try {
      const committed = (await this.#flush()).at(-1);
      if (committed && "command" in committed && committed.command !== "COMMIT") {
        throw new Error(`PostgreSQL answered ${committed.command} to a commit`);
      }
      return { result };
    } catch (error) {
      // Work that was sent whole, in one flight, needs no rows: it is simply done again.
      if (transaction === undefined || !(error instanceof WireError) || !hasLostConnection(error)) throw error;
      return { result, unknown: transaction, cause: error };
    }
  }

  /** Whatever goes wrong with that: a connection on which it does is closed, and the server rolls back. */
  async #rollBack(): Promise<void> {
    if (!this.#hasBegun) return;
    const [answer] = await this.#connection.send([ROLLBACK]);
    if (!answer || "error" in answer) this.#connection.spoil();
  }
}

/** The settings of a transaction. The answer is one row: the number of the transaction, and the time of the server. */
function introduction(statementTimeoutMs: number, durability: Durability): WireStatement {
  const settings = {
    lock_timeout: LOCK_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: IDLE_TIMEOUT_MS,
    ...(durability === "soon" ? { synchronous_commit: "off" } : {}),
  };
  const set = Object.entries(settings).map(([name, value]) => `set_config('${name}', '${value}', true)`);
  return {
    text:
      `select ${set.join(", ")}, pg_current_xact_id()::text as transaction, ` +
      "(extract(epoch from clock_timestamp()) * 1000)::bigint::text as now",
    values: [],
  };
}

/** "lost" when the number has not been given yet, so that the server crashed before any of the transaction was durable. */
async function findOutcome(connection: PooledConnection, transaction: string): Promise<Row | "lost" | undefined> {
  const query = { text: `select pg_xact_status($1::xid8) as status, ${RUN} as run`, values: [transaction] };
  const [answer] = await connection.send([query]);
  if (answer && "error" in answer && answer.error.code === "22023") return "lost"; // "is in the future"
  return rowsOf(answer)[0];
}

/** A standby has no unlogged tables, until it takes over. */
function isStandby(error: unknown): error is WireError {
  return error instanceof WireError && error.code === "0A000";
}

function busy(cause: Error): BusyError {
  return new BusyError(`PostgreSQL is busy or away (${cause.message})`, { cause });
}

function* select(query: string): Transaction<readonly Row[]> {
  return (yield { text: query, values: [] }) as readonly Row[];
}

function* nothing(): Transaction<void> {
  yield { text: "select 1", values: [], ignoresRows: true };
}

/** Something in the log, so that the commit has something to make durable. */
function* writeToLog(): Transaction<void> {
  yield { text: "select pg_logical_emit_message(true, 'stowage', '')", values: [], ignoresRows: true };
}

/** Holders on any machines, behind a pool that lends sessions: their leases in the database decide alone. */
class HoldersByLease implements Holders {
  async announce(): Promise<Holder> {
    return { id: randomUUID(), [Symbol.asyncDispose]: async () => undefined };
  }

  async fateOf(): Promise<HolderFate> {
    return "runs";
  }
}
