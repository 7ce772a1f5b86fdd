import { describe, expect, test } from "bun:test";
import { AcmeError, problemText } from "./acme-error.ts";

describe("what an authority says", () => {
  test("is told with all of its parts", () => {
    expect(problemText({ type: "urn:x", detail: "no", subproblems: [{ detail: "a" }, { detail: "b" }] })).toBe(
      "no; a; b",
    );
    expect(problemText({ type: "urn:ietf:params:acme:error:rateLimited" })).toBe("rateLimited");
    expect(problemText({})).toBe("without a reason");
  });

  test("is one line in the end", () => {
    expect(new AcmeError("refused", "a\r\nb\u001b[31m").message).toBe("a b [31m");
  });
});
