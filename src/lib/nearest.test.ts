/** The word that was probably meant. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { nearest } from "./nearest.ts";

const SETTINGS = ["log.level", "http.addr", "storage.filesystem.rootdirectory", "storage.delete.enabled"];

describe("the word that was probably meant", () => {
  const cases: readonly (readonly [word: string, meant: string])[] = [
    ["http.adr", "http.addr"],
    ["http.addrr", "http.addr"],
    ["http.adrd", "http.addr"],
    ["htpt.addr", "http.addr"],
    ["http.address", "http.addr"],
    ["http_addr", "http.addr"],
    ["HTTP.ADDR", "http.addr"],
    ["loglevel", "log.level"],
    ["storage.delete.enable", "storage.delete.enabled"],
    ["storage.filesystem.rootdir", "storage.filesystem.rootdirectory"],
    ["http.addr", "http.addr"],
  ];
  for (const [word, meant] of cases) {
    test(`by ${word} is ${meant}`, () => {
      expect(nearest(word, SETTINGS)).toBe(meant);
    });
  }

  test("is none when none is close", () => {
    for (const word of ["", "x", "retention", "a.completely.different.setting", "http.addr".repeat(10)]) {
      expect(nearest(word, SETTINGS)).toBeUndefined();
    }
    expect(nearest("serve", [])).toBeUndefined();
  });

  test("is the closest of several, and the first of those that are equally close", () => {
    expect(nearest("serv", ["service", "serve", "server"])).toBe("serve");
    expect(nearest("cat", ["bat", "rat", "mat"])).toBe("bat");
  });

  test("is looked for in anything that can be gone through", () => {
    expect(nearest("serv", new Map([["serve", 1]]).keys())).toBe("serve");
  });

  test("is the word itself when it is known, whatever else is", () => {
    const words = fc.uniqueArray(fc.string(), { minLength: 1, selector: (word) => word.toLowerCase() });
    fc.assert(
      fc.property(words, fc.nat(), (known, at) => {
        const word = known[at % known.length] ?? "";
        expect(nearest(word, known)).toBe(word);
        expect(
          nearest(word.toUpperCase().toLowerCase() === word.toLowerCase() ? word.toUpperCase() : word, known),
        ).toBe(word);
      }),
    );
  });

  test("is found when one letter was left out, put in or changed", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", "d"), minLength: 2, maxLength: 20 });
    fc.assert(
      fc.property(letters, fc.nat(), (word, place) => {
        const at = place % word.length;
        const [before, after] = [word.slice(0, at), word.slice(at)];
        for (const typed of [before + after.slice(1), `${before}x${after}`, `${before}x${after.slice(1)}`]) {
          expect(nearest(typed, ["0123456789012345678901234567890", word])).toBe(word);
        }
      }),
    );
  });
});
