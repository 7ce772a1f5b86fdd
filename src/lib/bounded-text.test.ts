import { expect, test } from "bun:test";
import { boundedText } from "./bounded-text.ts";

test("a text is taken up to its bound, a letter that came in two pieces too, and refused beyond", async () => {
  const bytes = Buffer.from("größer");
  const body = (): ReadableStream<Uint8Array> => new Blob([bytes.subarray(0, 3), bytes.subarray(3)]).stream();
  expect(await boundedText(body(), bytes.length, "it")).toBe("größer");
  expect(await boundedText(null, 0, "it")).toBe("");
  await expect(boundedText(body(), bytes.length - 1, "it")).rejects.toThrow("it sent more than 7 bytes");
});
