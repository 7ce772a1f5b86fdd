/** The tags of a repository over HTTP (distribution-spec, "Listing Tags", end-8a and 8b). */
import { collect } from "../../lib/collect.ts";
import { repositoryUnknown } from "../../oci/unknown.ts";
import type { Context } from "../context.ts";
import { jsonList } from "../http/json-list.ts";
import { nextPage } from "../http/links.ts";
import { pageParameters } from "../http/page-parameters.ts";
import { jsonDocument, jsonText } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import type { Route } from "../routes.ts";

export async function getTags(
  { namespace, options, parameters }: Context,
  route: Extract<Route, { kind: "tags" }>,
): Promise<Representation> {
  const { name } = route;
  const repository = namespace.repository(name);
  const { limit, after } = pageParameters(parameters, options.maxTagsPage);
  if (!(await repository.exists())) throw repositoryUnknown(name);
  const from = after === undefined ? {} : { after };

  if (limit === undefined) {
    // Several clients read one page only: all tags, however many, and never all at once in memory.
    const pages = repository.tags.namePages(from);
    const first = await pages.next();
    const list = jsonList(`{"name":${JSON.stringify(name)},"tags":[`, prepend([first], pages), "]}");
    return await inPieces(list, first.done ? UNCACHED : CACHED);
  }
  const tags = (await collect(repository.tags.namePages({ ...from, limit: limit + 1 }))).flat();
  const page = tags.slice(0, limit);
  const last = page.at(-1);
  const more = last !== undefined && tags.length > limit;
  const headers = more ? { link: nextPage(`/v2/${name}/tags/list`, parameters, { n: String(limit), last }) } : {};
  return jsonDocument({ name, tags: page }, { headers, ...(page.length > 0 ? CACHED : UNCACHED) });
}

/** Tags are of manifests, and a change of those moves the revision. */
const CACHED = { cacheable: {} };

/** Without tags the repository may be there for an upload alone, whose end moves no revision. */
const UNCACHED = {};

/** A list of one piece has a length, and can be cached; a longer one is sent as it is read. */
async function inPieces(
  pieces: AsyncGenerator<string, void>,
  cacheable: Pick<Representation, "cacheable">,
): Promise<Representation> {
  // What fails before the answer begins is answered as any internal error is.
  const [first, second] = [await pieces.next(), await pieces.next()];
  if (first.done || !second.done) {
    const body = { kind: "stream", open: () => encoded(prepend([first, second], pieces)) } as const;
    return { contentHeaders: { "content-type": "application/json" }, body };
  }
  return jsonText(first.value, cacheable);
}

async function* encoded(pieces: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece);
}

/** Puts the steps that were taken already before the others. */
async function* prepend<Item>(
  begun: readonly IteratorResult<Item, void>[],
  rest: AsyncGenerator<Item, void>,
): AsyncGenerator<Item> {
  for (const { done, value } of begun) {
    if (done) return;
    yield value;
  }
  yield* rest;
}
