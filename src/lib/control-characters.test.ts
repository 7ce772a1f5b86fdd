import { describe, expect, test } from "bun:test";
import { assert, property, string } from "fast-check";
import { escapeControls, escapeControlsInJson, escapeControlsInLines } from "./control-characters.ts";

const ALL = Array.from({ length: 0xa0 }, (_, code) => String.fromCharCode(code)).join("");

describe("control characters", () => {
  test("in one line are escaped, every one of C0, DEL, C1 and Unicode's line ends", () => {
    expect(escapeControls("a\n\t\u001b[2K\u007f\u0085\u009b2K\u2028\u2029b")).toBe(
      String.raw`a\u000a\u0009\u001b[2K\u007f\u0085\u009b2K\u2028\u2029b`,
    );
    expect(escapeControls(ALL)).not.toMatch(/\p{Cc}/u);
  });

  test("in lines are escaped but for line feed and tab", () => {
    expect(escapeControlsInLines("a\tb\nc\rd\u009b\u2028\n")).toBe("a\tb\nc\\u000dd\\u009b\\u2028\n");
    expect(escapeControlsInLines(ALL).replaceAll(/[\n\t]/g, "")).not.toMatch(/\p{Cc}/u);
  });

  test("in JSON are escaped, and it says the same", () => {
    assert(
      property(string({ unit: "binary" }), (text) => {
        const value = [text, { [text]: ALL }];
        const json = escapeControlsInJson(JSON.stringify(value));
        expect(json).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
        expect(JSON.parse(json)).toEqual(value);
      }),
    );
  });
});
