/** Keys that stand twice at the top of a JSON document (RFC 7493, 2.3): `JSON.parse` keeps the last and says nothing. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { repeatedKey } from "./json-keys.ts";

/** ASCII, or any sixteen-bit units: half surrogates too. */
const anyText = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.uint16Array({ maxLength: 300 }).map((units) => String.fromCharCode(...units)),
);

describe("a key that stands twice at the top", () => {
  const repeated: readonly (readonly [title: string, text: string, key: string])[] = [
    ["side by side", '{"a":1,"a":2}', "a"],
    ["with the same value", '{"a":1,"a":1}', "a"],
    ["with others between", '{"a":1,"b":2,"c":3,"b":4}', "b"],
    ["with white space everywhere", ' {\n\t"a" : 1 ,\r\n "a" : 2 } ', "a"],
    ["once escaped", '{"a":1,"\\u0061":2}', "a"],
    ["escaped in two ways", '{"\\u0061\\u0062":1,"a\\u0062":2}', "ab"],
    ["with an escaped slash", '{"a/b":1,"a\\/b":2}', "a/b"],
    ["with an escaped quote", '{"a\\"b":1,"a\\u0022b":2}', 'a"b'],
    ["with a backslash at its end", '{"a\\\\":1,"a\\u005c":2}', "a\\"],
    ["beside an object that has it too", '{"a":{"a":1},"a":2}', "a"],
    ["behind a list of objects", '{"layers":[{"a":1},{"a":2}],"layers":[]}', "layers"],
    ["behind nested lists", '{"a":[[[1,2],[3]],[]],"a":0}', "a"],
    ["behind a text that looks like the end", '{"a":"}","a":2}', "a"],
    ["behind a text that holds quotes and braces", '{"a":"\\"},{\\\\","b":1,"b":2}', "b"],
    ["when it is empty", '{"":1,"":2}', ""],
    ["when it is beyond ASCII", '{"ä":1,"\\u00e4":2}', "ä"],
    ["when it is a pair of surrogates", '{"😀":1,"\\ud83d\\ude00":2}', "😀"],
    ["when every object has it", '{"__proto__":1,"__proto__":2}', "__proto__"],
    ["when it stands three times", '{"a":1,"a":2,"a":3}', "a"],
  ];
  for (const [title, text, key] of repeated) {
    test(`is found ${title}`, () => {
      expect(repeatedKey(text)).toBe(key);
    });
  }

  const single: readonly (readonly [title: string, text: string])[] = [
    ["an empty object", "{}"],
    ["a single key", '{"a":1}'],
    ["different keys", '{"a":1,"b":2,"A":3,"a ":4}'],
    ["a key that is also a value", '{"a":"a","b":"a"}'],
    ["a key that is also in a list", '{"a":["a","a"],"b":["b","b"]}'],
    ["a key that is also in an object", '{"a":{"a":{"a":1}}}'],
    ["a key that stands twice in an object inside", '{"x":{"a":1,"a":2}}'],
    ["a key that stands twice in an object of a list", '{"x":[{"a":1,"a":2},{"a":1}]}'],
    ["keys behind objects and lists", '{"a":{},"b":[],"c":[{}],"d":{"a":[]},"e":0}'],
    ["commas and colons in texts", '{"a":",\\"a\\":1,","b":":"}'],
    ["numbers, true, false and null", '{"a":-1.5e+3,"b":true,"c":false,"d":null}'],
    ["keys that every object has", '{"__proto__":1,"constructor":2,"toString":3,"hasOwnProperty":4}'],
    ["accents that look alike but are written differently", '{"\u00e9":1,"e\u0301":2}'],
    ["a list of objects", '[{"a":1,"a":2}]'],
    ["a text", '"a"'],
    ["a number", "1"],
  ];
  for (const [title, text] of single) {
    test(`is not found in ${title}`, () => {
      JSON.parse(text);
      expect(repeatedKey(text)).toBeUndefined();
    });
  }

  test("is the one that a naive count finds, however keys are written and whatever lies inside", () => {
    const key = fc.string({ unit: fc.constantFrom("a", "b", '"', "\\", "{", "}", ",", ":", "é"), maxLength: 2 });
    const member = fc.record({
      key,
      escaped: fc.boolean(),
      value: fc.json({ maxDepth: 3 }),
      space: fc.constantFrom("", " ", "\n\t"),
    });
    fc.assert(
      fc.property(fc.array(member, { maxLength: 6 }), (members) => {
        const written = members.map(
          (each) => `${each.space}${write(each.key, each.escaped)}${each.space}:${each.value}${each.space}`,
        );
        const keys = members.map((each) => each.key);
        const expected = keys.find((each, at) => keys.indexOf(each) < at);
        expect(repeatedKey(`{${written.join(",")}}`)).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });

  test("is never found in what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, fc.jsonValue()), (value) => {
        expect(repeatedKey(JSON.stringify(value))).toBeUndefined();
      }),
    );
  });

  test("is looked for in documents of any depth", () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    expect(repeatedKey(`{"a":${deep},"b":${deep}}`)).toBeUndefined();
    expect(repeatedKey(`{"a":${deep},"a":1}`)).toBe("a");
  });
});

/** A JSON string, with every character as a `\u` escape or as JSON.stringify does it. */
function write(text: string, escaped: boolean): string {
  if (!escaped) return JSON.stringify(text);
  const units = Array.from(
    { length: text.length },
    (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`,
  );
  return `"${units.join("")}"`;
}
