import { describe, expect, test } from "bun:test";
import { repositoryName } from "../oci/repository-name.ts";
import { fullReply } from "./http/representation.ts";
import type { Representation } from "./http/representation.ts";
import { bytesBody } from "./http/reply.ts";
import type { Reply } from "./http/reply.ts";
import type { CachedResponse } from "./cached-response.ts";
import { ResponseCache, replyFrom } from "./response-cache.ts";

const MIB = 1024 * 1024;

const URL_ = "http://localhost/v2/app/tags/list";
const APP = repositoryName("app");
const PARSED: CachedResponse["parsed"] = {
  route: { kind: "tags", name: APP },
  required: { kind: "nothing" },
  commonHeaders: {},
};
const FILE = { key: "blobs/x", value: "3 1" };

const get = (headers: Record<string, string> = {}): Request => new Request(URL_, { headers });
const head = (): Request => new Request(URL_, { method: "HEAD" });

function response(body: Representation["body"], more: Partial<Representation> = {}, revision = 1): CachedResponse {
  const representation = { contentHeaders: {}, cacheable: {}, ...(body !== undefined && { body }), ...more };
  return {
    parsed: PARSED,
    representation,
    full: fullReply(representation),
    madeFrom: { scope: { repository: APP }, revision },
  };
}

/** A registry whose state the tests change. */
class State {
  current = 1;
  changed = new Set<string>();
  revision(): number {
    return this.current;
  }
  isUnchanged({ key }: { readonly key: string }): boolean {
    return !this.changed.has(key);
  }
}

/** What is served from the cache. */
function served(cache: ResponseCache, request: Request): Reply | undefined {
  const cached = cache.find(request);
  return cached && cache.isValid(cached) ? replyFrom(cached, request) : undefined;
}

describe("a cached response", () => {
  test("is served to the same request, until its revision moves", () => {
    const state = new State();
    const cache = new ResponseCache(state);
    expect(cache.find(get())).toBeUndefined();
    cache.set(get(), response("one"));
    expect(served(cache, get())?.body).toBe("one");
    state.current = 2;
    expect(served(cache, get())).toBeUndefined();
    cache.set(get(), response("two", {}, 2));
    expect(served(cache, get())?.body).toBe("two");
  });

  test("rests on its repository, on everything when it is of none, and GET /v2/ on nothing", async () => {
    const cache = new ResponseCache(new State());
    const now = (route: CachedResponse["parsed"]["route"]): Promise<object> =>
      cache.currentRevision({ ...PARSED, route });
    expect(await now(PARSED.route)).toEqual({ scope: { repository: "app" }, revision: 1 });
    expect(await now({ kind: "catalog" })).toEqual({ scope: "everything", revision: 1 });
    expect(await now({ kind: "base" })).toEqual({ scope: undefined, revision: undefined });
  });

  test("is not valid when something changed while it was made", () => {
    const state = new State();
    const cache = new ResponseCache(state);
    state.current = 2;
    cache.set(get(), response("old", {}, 1));
    expect(served(cache, get())).toBeUndefined();
  });

  test("is for its address, its query and the methods that read", () => {
    const cache = new ResponseCache(new State());
    cache.set(get(), response("one"));
    expect(served(cache, head())?.body).toBe("one");
    expect(cache.find(new Request(`${URL_}?a`))).toBeUndefined();
    expect(cache.find(new Request(URL_, { method: "DELETE" }))).toBeUndefined();
    expect(cache.find(get({ host: "a, b" }))).toBeUndefined();
  });

  test("that was made for HEAD and has no bytes is for HEAD alone", () => {
    const cache = new ResponseCache(new State());
    cache.set(head(), response(undefined));
    expect(served(cache, head())?.status).toBe(200);
    expect(cache.find(get())).toBeUndefined();
  });

  test("is sent as conditions and ranges ask for it", () => {
    const cache = new ResponseCache(new State());
    cache.set(get(), response("abc", { digest: "sha256:x", size: 3, acceptsRanges: true }));
    expect(served(cache, get({ "if-none-match": '"sha256:x"' }))?.status).toBe(304);
    expect(served(cache, get({ range: "bytes=0-1" }))?.status).toBe(206);
    expect(served(cache, get())?.status).toBe(200);
  });

  test("is valid only as long as the file of its bytes is unchanged", () => {
    const state = new State();
    const cache = new ResponseCache(state);
    cache.set(get(), response("abc", { cacheable: { file: FILE } }));
    expect(served(cache, get())).toBeDefined();
    state.changed.add(FILE.key);
    expect(served(cache, get())).toBeUndefined();
  });

  test("says what it rests on, and has no open stream", () => {
    const cache = new ResponseCache(new State());
    const { cacheable: _, ...restsOnNothing } = response("one").representation;
    cache.set(get(), { ...response("one"), representation: restsOnNothing });
    expect(cache.find(get())).toBeUndefined();
    cache.set(get(), response({ kind: "stream", open: () => new ReadableStream<Uint8Array>() }));
    expect(cache.find(get())).toBeUndefined();
  });

  test("holds on to no request: it is data without functions", () => {
    const blob = { digest: "sha256:x", size: 3, acceptsRanges: true, cacheable: { file: FILE } };
    const file = { kind: "file", path: "/blobs/x", range: { start: 0, end: 2 } } as const;
    expect(() => structuredClone(response(file, blob))).not.toThrow();
  });

  test("evicts others: all of them have a bound in bytes", () => {
    const cache = new ResponseCache(new State());
    const short = bytesBody(new Uint8Array(500 * 1024));
    const requests = Array.from({ length: 100 }, (_, at) => new Request(`${URL_}?${at}`));
    for (const request of requests) cache.set(request, response(short));
    expect(requests.filter((request) => cache.find(request)).length).toBeWithin(30, 33);
    expect(cache.find(requests[99] ?? get())).toBeDefined();
  });

  test("with a body of up to 4 MiB is cached, and evicts no short ones, however many there are", () => {
    const cache = new ResponseCache(new State());
    const short = Array.from({ length: 1000 }, (_, at) => new Request(`${URL_}?short=${at}`));
    for (const request of short) cache.set(request, response(bytesBody(new Uint8Array(8 * 1024))));
    const long = Array.from({ length: 10 }, (_, at) => new Request(`${URL_}?long=${at}`));
    for (const request of long) cache.set(request, response(bytesBody(new Uint8Array(4 * MIB - 1024))));
    const isCached = (request: Request): boolean => cache.find(request) !== undefined;
    expect(short.every(isCached)).toBe(true);
    expect(long.filter(isCached)).toEqual(long.slice(-2));
    cache.set(get(), response(bytesBody(new Uint8Array(4 * MIB + 1))));
    expect(cache.find(get())).toBeUndefined();
  });

  test("takes the place of an older one of the same address, whatever the lengths of their bodies", () => {
    const cache = new ResponseCache(new State());
    const bodies = [10, MIB, 20, 5 * MIB, MIB].map((bytes) => bytesBody(new Uint8Array(bytes)));
    for (const body of bodies) {
      cache.set(get(), response(body));
      expect(cache.find(get())?.representation.body).toBe(body.size > 4 * MIB ? undefined : body);
    }
  });

  test("evicts others also when nothing but the address is large", () => {
    const cache = new ResponseCache(new State());
    const requests = Array.from({ length: 1000 }, (_, at) => new Request(`${URL_}?${at}${"x".repeat(60_000)}`));
    for (const request of requests) cache.set(request, response(""));
    expect(requests.filter((request) => cache.find(request)).length).toBeWithin(1, 280);
  });
});
