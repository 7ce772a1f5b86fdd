import { describe, expect, test } from "bun:test";
import { assert, constantFrom, integer, ipV6, nat, option, property, record, string } from "fast-check";
import { Answered, jsonAccessLog } from "./access-log.ts";
import type { Access } from "./access-log.ts";

const text = string({ unit: "binary" });

const answered = record({
  method: constantFrom("GET", "HEAD", "PUT"),
  uri: text,
  status: integer({ min: 200, max: 599 }),
  written: nat(),
}).map((parts) => new Answered(parts));

const access = record({
  answered,
  remoteAddress: option(ipV6(), { nil: undefined }),
  user: option(text, { nil: undefined }),
  userAgent: option(text),
  duration: integer({ min: 0, max: 1e6 }).map((micros) => micros / 1000),
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
        const { remoteAddress, user, userAgent, duration } = each;
        const { method, uri, status, written } = each.answered;
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

  test("says of each request what is its own, when it shares its answer with others", () => {
    const written: string[] = [];
    const log = jsonAccessLog({ writeSoon: (line) => written.push(line()) }, { now: () => NOW });
    const shared = new Answered({ method: "GET", uri: "/v2/app/manifests/v1", status: 200, written: 7 });
    const one = { answered: shared, remoteAddress: "::1", user: "alice", userAgent: "docker", duration: 1 };
    const other = { answered: shared, remoteAddress: "::2", user: undefined, userAgent: "podman", duration: 2 };
    for (const each of [one, other, one]) log(each);
    const said = written.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(said.map((line) => line["http.request.remoteaddr"])).toEqual(["::1", "::2", "::1"]);
    expect(said.map((line) => line["auth.user.name"])).toEqual(["alice", undefined, "alice"]);
    expect(said.map((line) => line["http.request.useragent"])).toEqual(["docker", "podman", "docker"]);
    expect(said.map((line) => line["http.response.duration"])).toEqual([1, 2, 1]);
    expect(new Set(said.map((line) => line["http.request.uri"]))).toEqual(new Set([shared.uri]));
  });

  test("is bounded, however long the path and the name of the client's program are", () => {
    const long = "\u0001".repeat(64 * 1024);
    const each = new Answered({ method: "GET", uri: long, status: 404, written: 0 });
    const line = lineOf({ answered: each, remoteAddress: "::1", user: undefined, userAgent: long, duration: 1 });
    expect(line.length).toBeLessThan(64 * 1024);
    expect(JSON.parse(line)["http.request.uri"]).toBe(`${"\u0001".repeat(4096)}…`);
  });
});
