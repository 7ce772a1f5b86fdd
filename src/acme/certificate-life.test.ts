import { describe, expect, test } from "bun:test";
import { Authority } from "../../test/support/certificates.ts";
import { lifeOf, renewalTime } from "./certificate-life.ts";

const from = new Date("2026-01-01T00:00:00Z");
const until = new Date("2026-04-01T00:00:00Z");
const { cert, key } = new Authority().issue("registry", { names: ["a.example", "b.example"], from, until });

describe("the life of a certificate", () => {
  test("is what stands in it, also when its key stands before it", () => {
    const life = { from: from.getTime(), until: until.getTime() };
    expect(lifeOf(cert, ["a.example", "b.example"])).toEqual(life);
    expect(lifeOf(key + cert, ["b.example"])).toEqual(life);
  });

  test("counts for its own names alone", () => {
    expect(lifeOf(cert, ["a.example", "c.example"])).toBeUndefined();
  });

  test("is none when there is no certificate", () => {
    for (const text of ["", "nonsense", key]) expect(lifeOf(text, ["a.example"])).toBeUndefined();
  });

  test("is in its last third when it is time for another one", () => {
    expect(new Date(renewalTime({ from: from.getTime(), until: until.getTime() }))).toEqual(
      new Date("2026-03-02T00:00:00Z"),
    );
  });
});
