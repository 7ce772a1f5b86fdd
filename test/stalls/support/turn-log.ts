/**
 * What a registry of this process does to its database in each turn of the event loop. A turn in which it does little is
 * short on every machine: so tests count, where a bench measures.
 */
import { spyOn } from "bun:test";
import type { Row, Statement } from "../../../src/metadata/sql.ts";
import { Connection } from "../../../src/metadata/sqlite/connection.ts";

/** What happened in one turn. */
export interface Turn {
  /** Without those that begin and end transactions. */
  readonly statements: number;
  /** Rows that statements returned. */
  readonly rows: number;
  /** Rows that were inserted, updated or deleted, by triggers and foreign keys too. */
  readonly changes: number;
  /** Bytes of texts and blobs that statements returned. */
  readonly bytes: number;
  /** The texts of the statements, in their order. */
  readonly texts: readonly string[];
}

export class Turns {
  /** Those in which a statement ran. */
  readonly busy: readonly Turn[];

  constructor(busy: readonly Turn[]) {
    this.busy = busy;
  }

  /** The largest in any turn. */
  most(what: "statements" | "rows" | "changes" | "bytes"): number {
    return Math.max(0, ...this.busy.map((turn) => turn[what]));
  }

  total(what: "statements" | "rows" | "changes" | "bytes"): number {
    return this.busy.reduce((sum, turn) => sum + turn[what], 0);
  }
}

const TOTAL_CHANGES: Statement = { text: "select total_changes() as n", values: [] };

const NO_WORK = /^(?:begin|commit|savepoint|release|pragma data_version)\b/;

/** Looks at every connection of this process until it is disposed of. */
export class TurnLog implements Disposable {
  readonly #spy: Disposable;
  #turns: Map<number, { statements: number; rows: number; changes: number; bytes: number; texts: string[] }> =
    new Map();
  #turn = 0;
  #isOver = false;

  constructor() {
    const run: (this: Connection, statement: Statement) => readonly Row[] = Reflect.get(Connection.prototype, "run");
    const changesOf = (connection: Connection): number => Number(run.call(connection, TOTAL_CHANGES)[0]?.["n"]);
    const note = (text: string, rows: readonly Row[], changes: number): void => {
      const turn = this.#turns.getOrInsertComputed(this.#turn, () => ({
        statements: 0,
        rows: 0,
        changes: 0,
        bytes: 0,
        texts: [],
      }));
      turn.statements++;
      turn.rows += rows.length;
      turn.changes += changes;
      for (const row of rows) for (const value of Object.values(row)) turn.bytes += lengthOf(value);
      turn.texts.push(text);
    };
    this.#spy = spyOn(Connection.prototype, "run").mockImplementation(function (this: Connection, statement) {
      if (NO_WORK.test(statement.text)) return run.call(this, statement);
      const before = changesOf(this);
      const rows = run.call(this, statement);
      note(statement.text, rows, changesOf(this) - before);
      return rows;
    });
    const count = (): void => {
      if (this.#isOver) return;
      this.#turn++;
      setImmediate(count);
    };
    setImmediate(count);
  }

  /** What was done, in which turns, while `work` ran. */
  async during(work: () => Promise<unknown>): Promise<Turns> {
    this.#turns = new Map();
    await work();
    return new Turns([...this.#turns.values()]);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#spy[Symbol.dispose]();
  }
}

function lengthOf(value: unknown): number {
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 0;
}
