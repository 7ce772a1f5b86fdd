/** Spans of time as people write them. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseDuration } from "./duration.ts";

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

describe("a span of time", () => {
  const good: readonly (readonly [text: string, milliseconds: number])[] = [
    ["0", 0],
    ["0s", 0],
    ["1ms", 1],
    ["90s", 90_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["168h", 604_800_000],
    ["7d", 604_800_000],
    ["1d2h3m4s5ms", 93_784_005],
    ["1.5h", 5_400_000],
    ["0.5s", 500],
    ["1m1ms", 60_001],
    ["100000d", 8_640_000_000_000],
  ];
  for (const [text, milliseconds] of good) {
    test(`may be ${text}`, () => {
      expect(parseDuration(text)).toBe(milliseconds);
    });
  }

  const bad = [
    "",
    " ",
    "7",
    "s",
    "d7",
    "week",
    "7 days",
    "7days",
    "7D",
    "1H",
    "1w",
    "1y",
    "-1h",
    "+1h",
    "1h30",
    "30 1h",
  ];
  const alsoBad = [
    "1h 30m x",
    "1hh",
    "1h,30m",
    "1e3s",
    ".5h",
    "1.h",
    "1h\n",
    "x1h",
    "true",
    "Infinity",
    `${"9".repeat(30)}d`,
  ];
  for (const text of [...bad, ...alsoBad]) {
    test(`may not be ${JSON.stringify(text)}`, () => {
      expect(parseDuration(text)).toBeUndefined();
    });
  }

  test("is the sum of its parts", () => {
    const counts = fc.record({ d: fc.nat(999), h: fc.nat(999), m: fc.nat(999), s: fc.nat(999), ms: fc.nat(999) });
    fc.assert(
      fc.property(counts, ({ d, h, m, s, ms }) => {
        const sum = d * UNITS.d + h * UNITS.h + m * UNITS.m + s * UNITS.s + ms;
        expect(parseDuration(`${d}d${h}h${m}m${s}s${ms}ms`)).toBe(sum);
      }),
    );
  });

  test("is none when anything is written before, between or behind its parts", () => {
    const other = fc.string({ minLength: 1, maxLength: 3 }).filter((text) => !/^\.?\d/.test(text));
    fc.assert(
      fc.property(fc.nat(99), other, (count, text) => {
        expect(parseDuration(`${count}h${text}`)).toBeUndefined();
        expect(parseDuration(`${count}h${text}1m`)).toBeUndefined();
      }),
    );
  });
});
