import { describe, expect, test } from "bun:test";
import { ReplyCache } from "./response-cache.ts";
import type { Reply } from "./http/reply.ts";

const URL_ = "http://localhost/v2/app/manifests/latest";
const ASKED = {
  route: { kind: "manifest", name: "app", reference: "latest" },
  required: { kind: "nothing" },
  commonHeaders: {},
} as const;
const get = (headers: Record<string, string> = {}): Request => new Request(URL_, { headers });

function lasting(body: Reply["body"] & {}, holds: () => boolean = () => true): Reply {
  return { status: 200, headers: {}, body, holds };
}

/** What is given again to a request. */
const given = (replies: ReplyCache, request: Request): Reply | undefined => replies.find(request)?.give(request);

describe("a reply that was kept", () => {
  test("is given again to the same request, until something is committed", () => {
    let revision = 1;
    const replies = new ReplyCache(() => revision);
    expect(replies.find(get())).toBeUndefined();
    replies.keep(get(), ASKED, lasting("one"), 1);
    expect(given(replies, get())?.body).toBe("one");
    revision = 2;
    expect(replies.find(get())).toBeUndefined();
    replies.keep(get(), ASKED, lasting("two"), 2);
    expect(given(replies, get())?.body).toBe("two");
  });

  test("is not given when it was made before what others know already", () => {
    const replies = new ReplyCache(() => 2);
    replies.keep(get(), ASKED, lasting("new"), 2);
    replies.keep(new Request(`${URL_}-other`), ASKED, lasting("old"), 1);
    expect(replies.find(new Request(`${URL_}-other`))).toBeUndefined();
    expect(given(replies, get())?.body).toBe("new");
  });

  test("is for its method, its path and its query", () => {
    const replies = new ReplyCache(() => 1);
    replies.keep(get(), ASKED, lasting("one"), 1);
    expect(replies.find(new Request(URL_, { method: "HEAD" }))).toBeUndefined();
    expect(replies.find(new Request(`${URL_}?a`))).toBeUndefined();
    expect(replies.find(new Request(URL_, { method: "DELETE" }))).toBeUndefined();
  });

  test.each(["range", "if-match", "if-none-match"])("is not given to a request with %s, nor kept of one", (name) => {
    const replies = new ReplyCache(() => 1);
    replies.keep(get({ [name]: "x" }), ASKED, lasting("one"), 1);
    expect(replies.find(get())).toBeUndefined();
    replies.keep(get(), ASKED, lasting("one"), 1);
    expect(replies.find(get({ [name]: "x" }))).toBeUndefined();
  });

  test.each(["range", "if-match", "if-none-match"])("is adapted to a request with %s, when it can be", (name) => {
    const replies = new ReplyCache(() => 1);
    const adapted = ({ headers }: Request): Reply => ({ status: 206, headers: {}, body: `for ${headers.get(name)}` });
    replies.keep(get(), ASKED, { ...lasting("one"), adapted }, 1);
    expect(given(replies, get({ [name]: "x" }))?.body).toBe("for x");
    expect(given(replies, get())?.body).toBe("one");
    expect(replies.find(get({ [name]: "x", host: "a, b" }))).toBeUndefined();
  });

  test("is kept of a request for a range, for such requests alone, when its body is a file", () => {
    const replies = new ReplyCache(() => 1);
    const part = get({ range: "bytes=0-1" });
    const adapted = (): Reply => lasting("again");
    replies.keep(part, ASKED, { ...lasting("a part of what is in memory"), adapted }, 1);
    expect(replies.find(part)).toBeUndefined();
    const file = { kind: "file", path: "/blob", range: { start: 0, end: 1 } } as const;
    replies.keep(part, ASKED, { ...lasting(file), adapted }, 1);
    expect(given(replies, part)?.body).toBe("again");
    expect(replies.find(get())).toBeUndefined();
  });

  test("is given only as long as it holds", () => {
    let holds = true;
    const replies = new ReplyCache(() => 1);
    replies.keep(
      get(),
      ASKED,
      lasting("one", () => holds),
      1,
    );
    expect(replies.find(get())).toBeDefined();
    holds = false;
    expect(replies.find(get())).toBeUndefined();
  });

  test("is kept only when it says that it lasts", () => {
    const replies = new ReplyCache(() => 1);
    replies.keep(get(), ASKED, { status: 200, headers: {}, body: "one" }, 1);
    expect(replies.find(get())).toBeUndefined();
  });

  test("makes room for others: what is kept has a bound", () => {
    const replies = new ReplyCache(() => 1);
    const large = "x".repeat(1024 * 1024);
    for (let at = 0; at < 100; at++) replies.keep(new Request(`${URL_}${at}`), ASKED, lasting(large), 1);
    const left = Array.from({ length: 100 }, (_, at) => replies.find(new Request(`${URL_}${at}`))).filter(Boolean);
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(17);
  });

  test("makes room for others also when nothing but the address is large", () => {
    const replies = new ReplyCache(() => 1);
    const asked = Array.from({ length: 1000 }, (_, at) => new Request(`${URL_}?${at}${"x".repeat(60_000)}`));
    for (const request of asked) replies.keep(request, ASKED, lasting(""), 1);
    expect(asked.filter((request) => replies.find(request)).length).toBeWithin(1, 280);
  });
});
