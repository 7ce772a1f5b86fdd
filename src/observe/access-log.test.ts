import { describe, expect, test } from "bun:test";
import { assert, constantFrom, integer, ipV6, nat, option, property, record, string } from "fast-check";
import { jsonAccessLog } from "./access-log.ts";
import type { Access } from "./access-log.ts";

const text = string({ unit: "binary" });

const access = record({
  method: constantFrom("GET", "HEAD", "PUT"),
  uri: text,
  remoteAddress: option(ipV6(), { nil: undefined }),
  user: option(text, { nil: undefined }),
  userAgent: option(text),
  status: integer({ min: 200, max: 599 }),
  duration: integer({ min: 0, max: 1e6 }).map((micros) => micros / 1000),
  written: nat(),
});

const NOW = Date.parse("2026-08-31T12:34:56.789Z");

function lineOf(each: Access): string {
  const written: string[] = [];
  jsonAccessLog({ writeSoon: (line) => written.push(line()) }, { now: () => NOW })(each);
  expect(written).toHaveLength(1);
  return written[0] ?? "";
}

describe("the line of a request in JSON", () => {
  test("has every field as JSON says it, in one line without control characters", () => {
    assert(
      property(access, (each: Access) => {
        const line = lineOf(each);
        expect(line).toMatch(/^[^\p{Cc}\p{Zl}\p{Zp}]+\n$/u);
        const { method, uri, remoteAddress, user, userAgent, status, duration, written } = each;
        expect(JSON.parse(line)).toEqual({
          level: "info",
          time: "2026-08-31T12:34:56.789Z",
          "http.request.method": method,
          "http.request.uri": uri,
          ...(remoteAddress !== undefined && { "http.request.remoteaddr": remoteAddress }),
          ...(user !== undefined && { "auth.user.name": user }),
          ...(userAgent !== null && { "http.request.useragent": userAgent }),
          "http.response.status": status,
          "http.response.duration": duration,
          "http.response.written": written,
          msg: `${method} ${status} ${uri}`,
        });
      }),
    );
  });

  test("is bounded, however long the path and the name of the client's program are", () => {
    const long = "\u0001".repeat(64 * 1024);
    const each = { method: "GET", uri: long, remoteAddress: "::1", user: undefined, userAgent: long };
    const line = lineOf({ ...each, status: 404, duration: 1, written: 0 });
    expect(line.length).toBeLessThan(64 * 1024);
    expect(JSON.parse(line)["http.request.uri"]).toBe(`${"\u0001".repeat(4096)}…`);
  });
});
