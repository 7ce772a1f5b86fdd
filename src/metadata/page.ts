/** Pages of lists. */

/** A page of a list in byte order: what comes after `after`, which need not exist, at most `limit` items. */
export interface Page {
  readonly after?: string;
  readonly limit: number;
}
