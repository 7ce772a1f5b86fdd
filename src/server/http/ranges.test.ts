/** Ranges of bytes: RFC 9110, 14, and distribution-spec, "Pushing a blob in chunks". */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { LIMITS } from "./limits.ts";
import { parseContentRange, parseRange } from "./ranges.ts";

type Pairs = readonly (readonly [start: number, end: number])[];

/** What a header asks of 1,000 bytes: ranges, the whole, or what cannot be. */
const OF_1000: readonly (readonly [header: string, expected: Pairs | "whole" | "unsatisfiable"])[] = [
  ["bytes=0-0", [[0, 0]]],
  ["bytes=0-499", [[0, 499]]],
  ["bytes=500-999", [[500, 999]]],
  ["bytes=999-999", [[999, 999]]],
  ["bytes=0-", [[0, 999]]],
  ["bytes=500-", [[500, 999]]],
  ["bytes=999-", [[999, 999]]],
  // "the last-byte position is … taken to be one less than the current length" when it lies beyond
  ["bytes=0-5000", [[0, 999]]],
  ["bytes=999-1000", [[999, 999]]],
  [`bytes=0-${"9".repeat(400)}`, [[0, 999]]],
  ["bytes=-1", [[999, 999]]],
  ["bytes=-500", [[500, 999]]],
  ["bytes=-1000", [[0, 999]]],
  ["bytes=-5000", [[0, 999]]],
  [`bytes=-${"9".repeat(400)}`, [[0, 999]]],
  ["bytes=00-007", [[0, 7]]],
  ["BYTES=0-1", [[0, 1]]],
  ["bytes= 0-1 ", [[0, 1]]],
  // beyond the end, nothing of the end, or an end before the start: 416
  ["bytes=1000-", "unsatisfiable"],
  ["bytes=1000-1000", "unsatisfiable"],
  ["bytes=5000-6000", "unsatisfiable"],
  [`bytes=${"9".repeat(400)}-`, "unsatisfiable"],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=500-0", "unsatisfiable"],
  ["bytes=1-0", "unsatisfiable"],
  // several
  [
    "bytes=0-0,2-2,4-4",
    [
      [0, 0],
      [2, 2],
      [4, 4],
    ],
  ],
  [
    "bytes=0-0, 2-2 ,\t4-4",
    [
      [0, 0],
      [2, 2],
      [4, 4],
    ],
  ],
  [
    "bytes=900-,0-99",
    [
      [900, 999],
      [0, 99],
    ],
  ],
  [
    "bytes=0-9,0-9",
    [
      [0, 9],
      [0, 9],
    ],
  ],
  [
    "bytes=-100,0-99",
    [
      [900, 999],
      [0, 99],
    ],
  ],
  [
    "bytes=0-99,900-5000",
    [
      [0, 99],
      [900, 999],
    ],
  ],
  [
    "bytes=0-,0-",
    [
      [0, 999],
      [0, 999],
    ],
  ],
  // more than twice of everything is a mistake or an attack
  ["bytes=0-,0-,0-", "whole"],
  // one bad part of several: the whole
  ["bytes=0-0,1000-", "whole"],
  ["bytes=5-1,0-0", "whole"],
  ["bytes=0-0,-0", "whole"],
  ["bytes=0-0,x", "whole"],
  ["bytes=0-0,", "whole"],
  ["bytes=,0-0", "whole"],
  // nothing that can be read
  ["", "whole"],
  ["bytes", "whole"],
  ["bytes=", "whole"],
  ["bytes=-", "whole"],
  ["bytes=x-y", "whole"],
  ["bytes=1", "whole"],
  ["bytes=1-2-3", "whole"],
  ["bytes=--1", "whole"],
  ["bytes=+1-2", "whole"],
  ["bytes=1.5-2", "whole"],
  ["bytes=0x1-0x2", "whole"],
  ["bytes=1 - 2", "whole"],
  ["bytes=\u0661-\u0662", "whole"],
  ["bytes 0-1", "whole"],
  ["bytes:0-1", "whole"],
  ["0-1", "whole"],
  ["items=0-1", "whole"],
  ["kilobytes=0-1", "whole"],
  [" bytes=0-1", "whole"],
];

describe("a Range header of 1,000 bytes", () => {
  for (const [header, expected] of OF_1000) {
    const title =
      typeof expected === "string" ? expected : expected.map(([start, end]) => `${start} to ${end}`).join(", ");
    test(`${JSON.stringify(header.slice(0, 40))} asks for: ${title}`, () => {
      const request = parseRange(header, 1000);
      if (typeof expected === "string") expect(request).toEqual({ kind: expected });
      else {
        const [first = { start: NaN, end: NaN }, ...others] = expected.map(([start, end]) => ({ start, end }));
        expect(request).toEqual({ kind: "ranges", ranges: [first, ...others] });
      }
    });
  }

  test("that is absent asks for the whole", () => {
    expect(parseRange(null, 1000)).toEqual({ kind: "whole" });
  });
});

describe("a Range header", () => {
  test("is ignored when there are no bytes", () => {
    for (const header of ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=1-0", "bytes=0-0,1-1", null]) {
      expect(parseRange(header, 0)).toEqual({ kind: "whole" });
    }
  });

  test("may have as many ranges as podman sends, and as the limit says, and no more", () => {
    for (const count of [1023, LIMITS.maxRanges]) {
      expect(parseRange(rangesOf(count), 1_000_000)).toMatchObject({ kind: "ranges", ranges: { length: count } });
    }
    expect(parseRange(rangesOf(LIMITS.maxRanges + 1), 1_000_000)).toEqual({ kind: "whole" });
  });

  test("gives ranges that lie within the size, in the order and number in which they were asked for", () => {
    const position = fc.option(fc.oneof(fc.nat(20), fc.maxSafeNat()), { nil: undefined });
    const part = fc.tuple(position, position);
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        fc.oneof(fc.nat(20), fc.maxSafeNat()),
        (parts, size) => {
          const header = `bytes=${parts.map(([from, to]) => `${from ?? ""}-${to ?? ""}`).join(",")}`;
          const request = parseRange(header, size);
          if (request.kind !== "ranges") return;
          expect(request.ranges).toHaveLength(parts.length);
          for (const [at, { start, end }] of request.ranges.entries()) {
            const [from, to] = parts[at] ?? [];
            expect([0 <= start, start <= end, end < size]).toEqual([true, true, true]);
            if (from === undefined)
              expect({ start, end }).toEqual({ start: Math.max(0, size - (to ?? 0)), end: size - 1 });
            else expect({ start, end }).toEqual({ start: from, end: Math.min(to ?? Infinity, size - 1) });
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("is read without an error, whatever it is", () => {
    const noise = fc.string({ unit: fc.constantFrom("0", "9", "-", ",", " ", "=", "b", "\t") });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          noise.map((text) => `bytes=${text}`),
        ),
        fc.nat(20),
        (header, size) => {
          const request = parseRange(header, size);
          const ranges = request.kind === "ranges" ? request.ranges : [];
          expect(ranges.every(({ start, end }) => 0 <= start && start <= end && end < size)).toBeTrue();
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a Content-Range header of a chunk", () => {
  const good: readonly (readonly [header: string, start: number, length: number])[] = [
    ["0-0", 0, 1],
    ["0-499", 0, 500],
    ["500-999", 500, 500],
    ["000-009", 0, 10],
    [" 0-9 ", 0, 10],
    ["bytes 0-499", 0, 500],
    ["bytes 0-499/500", 0, 500],
    ["bytes 0-499/*", 0, 500],
    ["0-499/1000", 0, 500],
    ["9007199254740990-9007199254740991", 9_007_199_254_740_990, 2],
  ];
  for (const [header, start, length] of good) {
    test(`may be ${JSON.stringify(header)}`, () => {
      expect(parseContentRange(header)).toEqual({ start, length });
    });
  }

  const bad = [
    "",
    "-",
    "0",
    "0-",
    "-0",
    "5-4",
    "500-0",
    "a-b",
    "0-0x9",
    "+0-9",
    "0 - 9",
    "0--1",
    "1.0-2",
    "0-9-10",
    "0-9,10-19",
  ];
  const badUnits = [
    "bytes=0-9",
    "bytes */10",
    "bytes",
    "items 0-9/20",
    "bytes  0-9",
    "0-9/",
    "0-9/x",
    "bytes 0-9/-1",
    "\u0660-\u0669",
  ];
  for (const header of [...bad, ...badUnits]) {
    test(`may not be ${JSON.stringify(header)}`, () => {
      expect(parseContentRange(header)).toBeUndefined();
    });
  }

  test("may not end beyond the length that it names (RFC 9110, 14.4)", () => {
    for (const header of ["bytes 0-9/9", "bytes 0-9/5", "bytes 5-5/0", "0-9/9"])
      expect(parseContentRange(header)).toBeUndefined();
    expect(parseContentRange("bytes 0-9/10")).toEqual({ start: 0, length: 10 });
  });

  test("says where the chunk begins and how long it is", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)];
        expect(parseContentRange(`${start}-${end}`)).toEqual({ start, length: end - start + 1 });
        expect(parseContentRange(`bytes ${start}-${end}/*`)).toEqual({ start, length: end - start + 1 });
        if (start < end) expect(parseContentRange(`${end}-${start}`)).toBeUndefined();
      }),
    );
  });

  test("is read without an error, whatever it is", () => {
    const noise = fc.string({ unit: fc.constantFrom("0", "9", "-", "/", "*", " ", "bytes ") });
    fc.assert(
      fc.property(fc.oneof(fc.string(), noise), (header) => {
        const range = parseContentRange(header);
        if (range) expect([range.start >= 0, range.length > 0]).toEqual([true, true]);
      }),
      { numRuns: 500 },
    );
  });
});

/** So many ranges of one byte each. */
function rangesOf(count: number): string {
  return `bytes=${Array.from({ length: count }, (_, at) => `${at}-${at}`).join(",")}`;
}
