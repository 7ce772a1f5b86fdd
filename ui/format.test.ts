import { expect, test } from "bun:test";
import { ageText, bytesText, counted, shortDigest } from "./format.ts";

test("bytes have at most three digits before the point", () => {
  expect([0, 1023, 1024, 10_240, 86_402_662, 1024 ** 2 - 1, 3.2 * 1024 ** 3].map(bytesText)).toEqual([
    "0 B",
    "1023 B",
    "1.00 KiB",
    "10.0 KiB",
    "82.4 MiB",
    "1.00 MiB",
    "3.20 GiB",
  ]);
});

test("an age is told in its greatest unit", () => {
  const now = Date.parse("2026-03-01T00:00:00Z");
  const ages = [
    "2026-03-01T00:00:10Z",
    "2026-02-28T23:58:00Z",
    "2026-02-28T20:00:00Z",
    "2026-02-20T00:00:00Z",
    "2024-01-01T00:00:00Z",
  ];
  expect(ages.map((time) => ageText(time, now))).toEqual(["just now", "2 min ago", "4 h ago", "9 d ago", "2 y ago"]);
});

test("a digest is shortened, and a number agrees with its noun", () => {
  expect(shortDigest(`sha256:${"4cb76327".repeat(8)}`)).toBe("sha256:4cb76327…");
  expect([counted(1, "tag"), counted(2000, "tag"), counted(0, "entry", "entries")]).toEqual([
    "1 tag",
    "2,000 tags",
    "0 entries",
  ]);
});
