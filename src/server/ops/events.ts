/** The events of the registry, for programs that read them instead of being told (`GET /api/v1/events`). */
import { OciError } from "../../oci/error.ts";
import type { Context } from "../context.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;
/** Of the events of a page; one of any size is always in it. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/**
 * Events behind the cursor `after`, the oldest first, and the cursor of the next page, which is the same one when there are no
 * more. `missed` says that events behind the cursor were removed before they were read.
 */
export async function getEvents({ options, parameters }: Context): Promise<Representation> {
  const cursor = numberIn(parameters, "after", Number.MAX_SAFE_INTEGER);
  const limit = numberIn(parameters, "limit", MAX_PAGE) ?? DEFAULT_PAGE;
  if (!options.events) throw new OciError("UNSUPPORTED", { status: 404, message: "unknown path" });
  const { first, last } = await options.events.range();
  const after = cursor ?? Math.max(first - 1, 0);
  const events = await options.events.after(after, { limit: Math.max(limit, 1), maxBytes: MAX_PAGE_BYTES });
  const missed = after + 1 < first || after > last;
  return jsonDocument({
    events: events.map(({ seq, payload }) => ({ cursor: `${seq}`, event: JSON.parse(payload) as unknown })),
    next: `${events.at(-1)?.seq ?? Math.min(after, last)}`,
    missed,
  });
}

/** Refused unless the parameter is absent, empty or a whole number, given once. */
function numberIn(parameters: URLSearchParams, name: string, most: number): number | undefined {
  const given = parameters.getAll(name);
  const [text = ""] = given;
  if (given.length <= 1 && text === "") return undefined;
  if (given.length === 1 && /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) {
    return Math.min(Number(text), most);
  }
  throw new OciError("PAGINATION_NUMBER_INVALID", {
    message:
      name === "after" ? "after must be the next of an earlier response" : `${name} must be a number up to ${most}`,
    detail: { [name]: given.join(",").slice(0, 128) },
  });
}
