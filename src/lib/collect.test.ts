/** The items of an asynchronous list. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { collect } from "./collect.ts";

async function* each<Item>(items: readonly Item[], ended: () => void = () => {}): AsyncGenerator<Item> {
  try {
    yield* items;
  } finally {
    ended();
  }
}

describe("collecting an asynchronous list", () => {
  test("gives its items in their order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.anything()), async (items) => {
        expect(await collect(each(items))).toEqual(items);
      }),
    );
  });

  test("goes to the end of it", async () => {
    let isEnded = false;
    await collect(each([1, 2], () => (isEnded = true)));
    expect(isEnded).toBeTrue();
  });

  test("fails as the list fails", async () => {
    const failing = each([1, 2], () => {
      throw new Error("the list broke");
    });
    await expect(collect(failing)).rejects.toThrow("the list broke");
  });
});
