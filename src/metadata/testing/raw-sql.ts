/** SQL of tests, which look at rows as they are; but digests are texts in it, as tests know them. */
import { parseDigest } from "../../oci/digest.ts";
import { digestBytes, digestText } from "../digest-bytes.ts";
import type { Row, Transaction, Value } from "../sql.ts";

const DIGESTS: ReadonlySet<string> = new Set(["digest", "subject", "child"]);
/** Columns of texts, which may consist of digits. */
const TEXTS: ReadonlySet<string> = new Set(["name", "tag", "value"]);

/** A value as statements take it. */
export function storedValue<Given extends Value>(value: Given): Given | Uint8Array {
  return typeof value === "string" && parseDigest(value) !== undefined ? digestBytes(value) : value;
}

/** The value of a column, of which some drivers return large whole numbers as text. */
function readable(name: string, value: unknown): unknown {
  if (DIGESTS.has(name) && value instanceof Uint8Array) return digestText(value);
  const isNumber = typeof value === "string" && !TEXTS.has(name) && /^-?\d{1,15}$/.test(value);
  return isNumber ? Number(value) : value;
}

/** A row with its digests as texts. */
export function readableRow<Given extends Row>(row: Given): Given {
  const columns = Object.entries(row).map(([name, value]): [string, unknown] => [name, readable(name, value)]);
  return Object.fromEntries(columns) as Given;
}

/** All rows of a statement, as the driver returns them. */
export function* rows<Fields = Row>(text: string, ...values: readonly Value[]): Transaction<readonly Fields[]> {
  const found = (yield { text, values: values.map(storedValue) }) as readonly Row[];
  return found.map(readableRow) as readonly Fields[];
}

/** The first row of a statement, as the driver returns it, or undefined. */
export function* first<Fields = Row>(text: string, ...values: readonly Value[]): Transaction<Fields | undefined> {
  return (yield* rows<Fields>(text, ...values))[0];
}
