/** SQL of tests, which look at rows as they are. */
import type { Row, Transaction, Value } from "../sql.ts";

/** All rows of a statement, as the driver returns them. */
export function* rows<Fields = Row>(text: string, ...values: readonly Value[]): Transaction<readonly Fields[]> {
  return (yield { text, values }) as readonly Fields[];
}

/** The first row of a statement, as the driver returns it, or undefined. */
export function* first<Fields = Row>(text: string, ...values: readonly Value[]): Transaction<Fields | undefined> {
  return (yield* rows<Fields>(text, ...values))[0];
}
