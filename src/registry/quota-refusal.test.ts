/** Refusals of writes that a quota does not allow. */
import { expect, test } from "bun:test";
import type { QuotaProblem } from "../metadata/quotas.ts";
import { allowedByQuotas } from "./quota-refusal.ts";

const FULL = { kind: "quota", what: "bytes", used: 10, limit: 12, nextCollection: undefined } as const;

test("a result that is no problem of a quota is returned as it is", () => {
  for (const result of ["done", undefined, true, 7, { kind: "stored" }] as const) {
    expect(allowedByQuotas<typeof result>(result)).toBe(result);
  }
});

test("a write beyond a quota is refused with DENIED, with what is used and when more is free", () => {
  const team = { ...FULL, prefix: "team", nextCollection: Date.UTC(2030, 0) };
  expect(refusalOf(team)).toMatchObject({
    code: "DENIED",
    status: 403,
    details: [{ prefix: "team", what: "bytes", used: 10, limit: 12, nextCollection: "2030-01-01T00:00:00.000Z" }],
  });
  expect(refusalOf(team)).toMatchObject({ message: expect.stringContaining("10 B of 12 B") });
  expect(refusalOf({ ...FULL, prefix: "team", what: "tags" })).toMatchObject({
    message: expect.stringContaining("10 of 12 tags"),
  });
  expect(refusalOf({ ...FULL, prefix: "*" })).toMatchObject({ message: expect.stringContaining("this registry") });
});

test("a write that waited too long for a quota that is counted is refused with 503", () => {
  expect(refusalOf({ kind: "counting", prefix: "team" })).toMatchObject({ code: "UNAVAILABLE", status: 503 });
});

function refusalOf(problem: QuotaProblem): unknown {
  try {
    return allowedByQuotas(problem);
  } catch (error) {
    return error;
  }
}
