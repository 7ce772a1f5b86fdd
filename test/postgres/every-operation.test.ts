/** Every statement of the nouns by both drivers of PostgreSQL, so that none stays in SQLite's words. */
import { expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { join } from "node:path";
import { Metadata } from "../../src/metadata/metadata.ts";
import { PooledConnection } from "../../src/metadata/postgres/connection-pool.ts";
import type { Answer } from "../../src/metadata/postgres/wire.ts";
import { translate } from "../../src/metadata/postgres/translations.ts";
import { Subject } from "../../src/metadata/testing/subject.ts";
import { everyOperation } from "../costs/support/every-operation.ts";
import { ROOT } from "../support/registry.ts";
import { openEngine, sharedServer } from "./support/postgres-server.ts";

setDefaultTimeout(120_000);

for (const driver of ["bun", "pg"] as const) {
  test(`every operation runs on PostgreSQL by the driver ${driver}`, async () => {
    const url = await (await sharedServer()).createMigratedDatabase();
    await using subject = await Subject.open(async (clock) => {
      const engine = await openEngine(url, driver);
      return { store: new Metadata(engine, clock), engine };
    });
    using log = new WireLog();
    await everyOperation(subject);
    const { texts, refused } = await log.all();
    expect(refused).toEqual([]);
    // All others are held by the test of SQLite's query plans.
    const own = (await Promise.all(OF_POSTGRES_ALONE.map(statementsIn))).flat();
    expect(own.length).toBeGreaterThan(10); // they were found
    expect(own.map((text) => inOneLine(translate(text))).filter((text) => !texts.has(text))).toEqual([]);
  });
}

/** Files of statements that only this engine runs. */
const OF_POSTGRES_ALONE = ["src/metadata/locks.ts", "src/metadata/postgres/event-numbering.ts"];

/** What the connections of this process send, until it is disposed of. */
class WireLog implements Disposable {
  readonly #spy = spyOn(PooledConnection.prototype, "send");

  /** The texts that were sent, and what the server did not take, which an operation may have tried again or passed over. */
  async all(): Promise<{ readonly texts: ReadonlySet<string>; readonly refused: readonly string[] }> {
    const flights = this.#spy.mock.calls.map(([flight]) => flight);
    const answers = await Promise.all(this.#spy.mock.results.map(({ value }) => value as Promise<readonly Answer[]>));
    const refused = answers.flat().flatMap((answer) => ("error" in answer ? [answer.error.message] : []));
    return { texts: new Set(flights.flat().map(({ text }) => inOneLine(text))), refused };
  }

  [Symbol.dispose](): void {
    this.#spy.mockRestore();
  }
}

/** The statements that stand in a file, each in one line. */
async function statementsIn(file: string): Promise<readonly string[]> {
  const source = await Bun.file(join(ROOT, file)).text();
  return Array.from(source.matchAll(/`\s*((?:select|insert|update|delete|with)\b[^`]*)`/g), ([, text = ""]) => text);
}

function inOneLine(text: string): string {
  return text.trim().replaceAll(/\s+/g, " ");
}
