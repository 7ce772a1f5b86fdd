import { describe, expect, test } from "bun:test";
import { assert, constantFrom, integer, ipV6, nat, option, property, record, string } from "fast-check";
import { pino } from "pino";
import { accessLogOf, jsonAccessLog } from "./access-log.ts";
import type { Access } from "./access-log.ts";
import type { Lines } from "./lines.ts";

const access = record({
  method: constantFrom("GET", "HEAD", "PUT"),
  uri: string({ unit: "binary" }),
  remoteAddress: option(ipV6(), { nil: undefined }),
  user: option(string({ unit: "binary" }), { nil: undefined }),
  userAgent: option(string({ unit: "binary" })),
  status: integer({ min: 200, max: 599 }),
  duration: integer({ min: 0, max: 1e6 }).map((micros) => micros / 1000),
  written: nat(),
});

describe("the line of a request", () => {
  test("says the same, put together by hand, as the log would", () => {
    assert(
      property(access, (each: Access) => {
        const written: string[] = [];
        const write = (line: string): void => void written.push(line);
        const stream = { write, writeSoon: (line: () => string) => write(line()) };
        const options = { base: null, formatters: { level: (label: string) => ({ level: label }) } };
        accessLogOf(pino({ ...options, timestamp: pino.stdTimeFunctions.isoTime }, stream))(each);
        jsonAccessLog(stream as unknown as Lines)(each);
        const [log, byHand] = written.map((line) => JSON.parse(line) as Record<string, unknown>);
        expect({ ...byHand, time: "" }).toEqual({ ...log, time: "" });
        expect(written.every((line) => line.indexOf("\n") === line.length - 1)).toBe(true);
      }),
    );
  });
});
