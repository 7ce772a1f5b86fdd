/** How a manifest that is not one is refused: by the place in it and what is expected there. */
import { describe, expect, test } from "bun:test";
import { OciError } from "./error.ts";
import { invalidManifest } from "./invalid-manifest.ts";

describe("the refusal of a manifest", () => {
  test("names the place in the document and what is expected there", () => {
    const error = invalidManifest("layers[2].size", "must be a number");
    expect(error).toBeInstanceOf(OciError);
    expect(error).toMatchObject({
      code: "MANIFEST_INVALID",
      status: 400,
      message: "manifest invalid: layers[2].size must be a number",
      details: [{ path: "layers[2].size", reason: "must be a number" }],
    });
  });

  test("speaks of the manifest when the place is all of it", () => {
    expect(invalidManifest("", "must be an object").message).toBe("manifest invalid: the manifest must be an object");
  });

  test("repeats at most 256 characters of a place, which the client chose", () => {
    const error = invalidManifest("k".repeat(10_000), "must be a string");
    expect(error.message.length).toBeLessThan(400);
    expect(error.details).toEqual([{ path: "k".repeat(256), reason: "must be a string" }]);
  });
});
