/**
 * How rows are read: each statement that returns rows names its columns and their types, here and nowhere else. Drivers
 * differ in what they return (a large integer as a number, a bigint or text, a truth value as 0 or 1), the records do not.
 */
import type { Algorithm, Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { digestOfBytes, digestText } from "./digest-bytes.ts";
import type { Query } from "./sql.ts";

/** Returns what a driver's value says; throws when the column is of another type. */
export type Column<Result> = (value: unknown) => Result;

/**
 * A statement with the columns that it returns, by the names that they have in records: `mediaType` is the column
 * `media_type`.
 */
export function query<Columns extends Readonly<Record<string, Column<unknown>>>>(
  columns: Columns,
  text: string,
): Query<{ readonly [Name in keyof Columns]: ReturnType<Columns[Name]> }> {
  const parts = Object.entries(columns).map(([name, column]) => [name, columnOf(name), column] as const);
  return {
    text,
    decode(row) {
      const record: Record<string, unknown> = {};
      for (const [name, key, column] of parts) record[name] = column(row[key]);
      return record as { [Name in keyof Columns]: ReturnType<Columns[Name]> };
    },
  };
}

function columnOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Exact up to 2^53. */
export const integer: Column<number> = (value) => {
  if (typeof value === "number") return value;
  if (typeof value === "bigint" || typeof value === "string") return Number(value);
  throw wrongType("a number", value);
};

export const text: Column<string> = (value) => {
  if (typeof value === "string") return value;
  throw wrongType("text", value);
};

export const bytes: Column<Uint8Array> = (value) => {
  if (value instanceof Uint8Array) return value;
  throw wrongType("bytes", value);
};

/** A condition that the statement evaluates. */
export const truth: Column<boolean> = (value) => {
  if (typeof value === "boolean") return value;
  if (value === 0 || value === 1) return value === 1;
  if (value === "0" || value === "1") return value === "1"; // a bigint of PostgreSQL
  throw wrongType("a truth value", value);
};

/** A column that may be null, which records say as undefined. */
export function optional<Result>(column: Column<Result>): Column<Result | undefined> {
  return (value) => (value === null || value === undefined ? undefined : column(value));
}

/** Text that was parsed before it was written: what stands in the database proves it. */
function parsed<Text extends string>(): Column<Text> {
  return (value) => text(value) as Text;
}

export const digest: Column<Digest> = (value) => digestOfBytes(bytes(value));

/** A digest of any algorithm. */
export const anyDigest: Column<string> = (value) => digestText(bytes(value));

export const tagName: Column<Tag> = parsed<Tag>();
export const repositoryName: Column<RepositoryName> = parsed<RepositoryName>();
export const algorithm: Column<Algorithm> = parsed<Algorithm>();

/** One of a few words, which the schema or this program alone writes. */
export function word<Word extends string>(...words: readonly Word[]): Column<Word> {
  return (value) => {
    const found = words.find((each) => each === value);
    if (found === undefined) throw wrongType(words.join(" or "), value);
    return found;
  };
}

/** A value that this program wrote as JSON. */
export function json<Result>(): Column<Result> {
  return (value) => JSON.parse(text(value)) as Result;
}

function wrongType(expected: string, value: unknown): TypeError {
  const actual = typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : typeof value;
  return new TypeError(`a column of the database is ${actual} instead of ${expected}`);
}
