/** The tags of a repository over HTTP (distribution-spec, "Listing Tags", end-8a and 8b). */
import { collect } from "../../lib/collect.ts";
import { OciError } from "../../oci/error.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import type { Context } from "../context.ts";
import { LIMITS } from "../http/limits.ts";
import { nextPage } from "../http/links.ts";
import { pageParameters } from "../http/page-parameters.ts";
import { bytesBody, json } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import type { Route } from "../routes.ts";

export async function getTags(
  { namespace, parameters }: Context,
  route: Extract<Route, { kind: "tags" }>,
): Promise<Reply> {
  const name = repositoryName(route.name);
  const repository = namespace.repository(name);
  const { limit, after } = pageParameters(parameters, LIMITS.maxTagsPage);
  if (!(await repository.exists())) throw new OciError("NAME_UNKNOWN", { detail: { name } });
  const from = after === undefined ? {} : { after };

  if (limit === undefined) {
    // Several clients read one page only: all tags, however many, and never all at once in memory.
    const names = namesOf(repository.tags.list(from));
    return await inPieces(jsonList(`{"name":${JSON.stringify(name)},"tags":[`, names, "]}"));
  }
  const tags = await collect(namesOf(repository.tags.list({ ...from, limit: limit + 1 })));
  const page = tags.slice(0, limit);
  const last = page.at(-1);
  const more = last !== undefined && tags.length > limit;
  const headers = more ? { link: nextPage(`/v2/${name}/tags/list`, parameters, { n: String(limit), last }) } : {};
  return { ...json(200, { name, tags: page }, headers), holds: () => true };
}

async function* namesOf(tags: AsyncIterable<{ readonly name: string }>): AsyncGenerator<string> {
  for await (const { name } of tags) yield name;
}

/** What is all in one piece is given whole, and again; what is not is sent as it is read. */
async function inPieces(pieces: AsyncGenerator<Uint8Array, void>): Promise<Reply> {
  // What fails before the answer begins is answered as any fault is.
  const [first, second] = [await pieces.next(), await pieces.next()];
  const headers = { "content-type": "application/json" };
  if (first.done || !second.done) {
    return { status: 200, headers, body: { kind: "stream", open: () => goOn([first, second], pieces) } };
  }
  const length = { "content-length": String(first.value.length) };
  return { status: 200, headers: { ...headers, ...length }, body: bytesBody(first.value), holds: () => true };
}

/** A sequence whose first steps were taken already. */
async function* goOn<Item>(
  begun: readonly IteratorResult<Item, void>[],
  rest: AsyncGenerator<Item, void>,
): AsyncGenerator<Item> {
  for (const { done, value } of begun) {
    if (done) return;
    yield value;
  }
  yield* rest;
}

/** Bytes that are gathered before they are sent. */
const PIECE = 32 * 1024;

async function* jsonList(head: string, items: AsyncIterable<string>, tail: string): AsyncGenerator<Uint8Array, void> {
  let text = head;
  let separator = "";
  for await (const item of items) {
    text += separator + JSON.stringify(item);
    separator = ",";
    if (text.length > PIECE) {
      yield Buffer.from(text);
      text = "";
    }
  }
  yield Buffer.from(text + tail);
}
