/** Numbers of bytes as people read them. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { formatSize } from "./size.ts";

describe("a number of bytes", () => {
  const cases: readonly (readonly [bytes: number, text: string])[] = [
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [10 * 1024, "10.0 KiB"],
    [1024 ** 2, "1.0 MiB"],
    [1.5 * 1024 ** 3, "1.5 GiB"],
    [1024 ** 4, "1.0 TiB"],
    [1024 ** 5, "1.0 PiB"],
    [4096 * 1024 ** 5, "4096.0 PiB"],
  ];
  for (const [bytes, text] of cases) {
    test(`${bytes} reads ${text}`, () => {
      expect(formatSize(bytes)).toBe(text);
    });
  }

  test("reads as what it is, to one decimal of its unit", () => {
    const powers: Readonly<Record<string, number>> = { B: 0, KiB: 1, MiB: 2, GiB: 3, TiB: 4, PiB: 5 };
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        const [count = "", unit = ""] = formatSize(bytes).split(" ");
        const scale = 1024 ** (powers[unit] ?? NaN);
        expect(Math.abs(Number(count) * scale - bytes)).toBeLessThanOrEqual(scale / 20 + 1);
      }),
    );
  });
});
