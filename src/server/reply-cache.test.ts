import { describe, expect, test } from "bun:test";
import { ReplyCache } from "./reply-cache.ts";
import type { KeptReply } from "./reply-cache.ts";

const URL_ = "http://localhost/v2/app/manifests/latest";
const ROUTE = { kind: "manifest", name: "app", reference: "latest" } as const;
const NEED = { kind: "nothing" } as const;
const get = (headers: Record<string, string> = {}): Request => new Request(URL_, { headers });

function lasting(body: string, holds: () => boolean = () => true): KeptReply {
  return { route: ROUTE, need: NEED, reply: { status: 200, headers: {}, body, holds } };
}

describe("a reply that was kept", () => {
  test("is given again to the same request, until something is committed", () => {
    let revision = 1;
    const replies = new ReplyCache(() => revision);
    expect(replies.find(get())).toBeUndefined();
    replies.keep(get(), lasting("one"), 1);
    expect(replies.find(get())?.reply.body).toBe("one");
    revision = 2;
    expect(replies.find(get())).toBeUndefined();
    replies.keep(get(), lasting("two"), 2);
    expect(replies.find(get())?.reply.body).toBe("two");
  });

  test("is not given when it was made before what others know already", () => {
    const replies = new ReplyCache(() => 2);
    replies.keep(get(), lasting("new"), 2);
    replies.keep(new Request(`${URL_}-other`), lasting("old"), 1);
    expect(replies.find(new Request(`${URL_}-other`))).toBeUndefined();
    expect(replies.find(get())?.reply.body).toBe("new");
  });

  test("is for its method, its path and its query", () => {
    const replies = new ReplyCache(() => 1);
    replies.keep(get(), lasting("one"), 1);
    expect(replies.find(new Request(URL_, { method: "HEAD" }))).toBeUndefined();
    expect(replies.find(new Request(`${URL_}?a`))).toBeUndefined();
    expect(replies.find(new Request(URL_, { method: "DELETE" }))).toBeUndefined();
  });

  test.each(["range", "if-match", "if-none-match"])("is not given to a request with %s, nor kept of one", (name) => {
    const replies = new ReplyCache(() => 1);
    replies.keep(get({ [name]: "x" }), lasting("one"), 1);
    expect(replies.find(get())).toBeUndefined();
    replies.keep(get(), lasting("one"), 1);
    expect(replies.find(get({ [name]: "x" }))).toBeUndefined();
  });

  test("is given only as long as it holds", () => {
    let holds = true;
    const replies = new ReplyCache(() => 1);
    replies.keep(
      get(),
      lasting("one", () => holds),
      1,
    );
    expect(replies.find(get())).toBeDefined();
    holds = false;
    expect(replies.find(get())).toBeUndefined();
  });

  test("is kept only when it says that it lasts", () => {
    const replies = new ReplyCache(() => 1);
    replies.keep(get(), { route: ROUTE, need: NEED, reply: { status: 200, headers: {}, body: "one" } }, 1);
    expect(replies.find(get())).toBeUndefined();
  });

  test("makes room for others: what is kept has a bound", () => {
    const replies = new ReplyCache(() => 1);
    const large = "x".repeat(1024 * 1024);
    for (let at = 0; at < 100; at++) replies.keep(new Request(`${URL_}${at}`), lasting(large), 1);
    const left = Array.from({ length: 100 }, (_, at) => replies.find(new Request(`${URL_}${at}`))).filter(Boolean);
    expect(left.length).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(17);
  });

  test("makes room for others also when nothing but the address is large", () => {
    const replies = new ReplyCache(() => 1);
    const asked = Array.from({ length: 1000 }, (_, at) => new Request(`${URL_}?${at}${"x".repeat(60_000)}`));
    for (const request of asked) replies.keep(request, lasting(""), 1);
    expect(asked.filter((request) => replies.find(request)).length).toBeWithin(1, 280);
  });
});
