/** The steps of both engines belong together: what changes the tables of one changes those of the other. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { POSTGRES_MIGRATIONS, SCHEMA_VERSION } from "./migrations.ts";

/** What SQLite had in two steps when PostgreSQL got its first one, which has both. */
const IN_FIRST_OF_POSTGRES = 21;

/** Steps of PostgreSQL for what SQLite does without a table. */
const OF_POSTGRES_ALONE: ReadonlySet<string> = new Set(["event_numbers.sql"]);

/** The numbers and names of the files. */
function steps(engine: "sqlite" | "postgres"): readonly { readonly number: number; readonly name: string }[] {
  return readdirSync(join(import.meta.dir, engine))
    .toSorted()
    .map((file) => ({ number: Number(file.slice(0, 4)), name: file.slice(5) }));
}

test("every step of SQLite has its twin of PostgreSQL, of the same name and in the same order", () => {
  const expected = steps("sqlite").filter(({ number }) => number > IN_FIRST_OF_POSTGRES);
  const twins = steps("postgres").filter(({ number, name }) => number > 1 && !OF_POSTGRES_ALONE.has(name));
  expect(twins.map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
});

test("every file is a step that is taken", () => {
  expect(steps("sqlite").at(-1)?.number).toBe(SCHEMA_VERSION);
  expect(steps("postgres").map(({ number }) => number)).toEqual(POSTGRES_MIGRATIONS.map((_, at) => at + 1));
});
