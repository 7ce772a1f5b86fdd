import { expect, test } from "bun:test";
import { requestIdOf } from "./request-id.ts";

const idOf = (given?: string): string =>
  requestIdOf(new Request("http://h/", given === undefined ? {} : { headers: { "x-request-id": given } }));

test("a usable id is kept", () => {
  for (const id of ["1", "0af7651916cd43dd8448eb211c80319c", "7f1d-x", "Root=1-67891233-abcdef", "a".repeat(128)]) {
    expect(idOf(id)).toBe(id);
  }
});

test("an id that a log cannot take is replaced", () => {
  for (const id of ["", "a b", 'a"b', "{}", "a,b", "é", "a".repeat(129)]) expect(idOf(id)).toMatch(/^[\da-f]{12}-\w+$/);
});

test("no two requests without an id get the same", () => {
  expect(new Set(Array.from({ length: 1000 }, () => idOf())).size).toBe(1000);
});
