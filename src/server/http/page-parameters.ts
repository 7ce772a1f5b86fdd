/** `n` and `last`: which part of a list a client wants. */
import { OciError } from "../../oci/error.ts";

export interface PageParameters {
  /** At most the server's own limit; undefined when the client did not say. */
  readonly limit: number | undefined;
  /** Only what comes after it; it need not exist. */
  readonly after: string | undefined;
}

/** Longer than any name or tag: what is behind it cannot matter to the order. */
const MAX_LAST = 512;

/** Refused with `PAGINATION_NUMBER_INVALID` unless `n` is absent, empty or a whole number, given once. */
export function pageParameters(parameters: URLSearchParams, maxLimit: number): PageParameters {
  const given = parameters.getAll("n");
  const n = given[0] === "" ? undefined : given[0]; // clients that fill in a template leave it empty
  if (given.length > 1 || (n !== undefined && !/^\d{1,10}$/.test(n))) {
    throw new OciError("PAGINATION_NUMBER_INVALID", {
      message: "n must be a whole number of results, such as 100, and be given once",
      detail: { n: given.join(",").slice(0, 128) },
    });
  }
  return {
    limit: n === undefined ? undefined : Math.min(Number(n), maxLimit),
    after: parameters.getAll("last").at(-1)?.slice(0, MAX_LAST),
  };
}
