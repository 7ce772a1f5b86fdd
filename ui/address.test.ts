import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { IMAGE_TABS, USUAL_SORT, addressOf, screenAt } from "./address.ts";
import type { Screen } from "./address.ts";

const component = fc.stringMatching(/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/);
const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const tag = fc.stringMatching(/^\w[\w.-]{0,40}$/);
const letters = fc.string({ maxLength: 20 });
const tab = fc.constantFrom(...IMAGE_TABS);
const reference = fc.oneof(
  tag.map((value) => ({ kind: "tag", tag: value }) as const),
  fc.constant({ kind: "digest", digest: `sha256:${"a".repeat(64)}` } as const),
);
const screen: fc.Arbitrary<Screen> = fc.oneof(
  fc.constant({ kind: "home" } as const),
  fc.constant({ kind: "login" } as const),
  fc.record({ kind: fc.constant("repositories" as const), q: letters, sort: fc.constantFrom("name", "-bytes") }),
  fc.record({ kind: fc.constant("repository" as const), name, q: letters, sort: fc.constantFrom("-version", "name") }),
  fc.record({
    kind: fc.constant("image" as const),
    name,
    reference,
    tab,
    platform: fc.constantFrom(undefined, "linux/amd64", "linux/arm64/v8"),
  }),
  fc.record({ kind: fc.constant("history" as const), name, tag }),
);

test("an address shows the screen that it was made of", () => {
  fc.assert(
    fc.property(screen, (shown) => {
      const url = new URL(addressOf(shown), "http://registry/");
      expect(screenAt(url.pathname, url.search)).toEqual(shown);
    }),
  );
});

test("any path is the address of some screen, or of none", () => {
  fc.assert(fc.property(fc.webPath(), fc.webQueryParameters(), (path, query) => void screenAt(path, `?${query}`)));
  for (const path of [
    "/r/a",
    "/r//-/",
    "/r/a/-/t",
    "/r/a/-/t/",
    "/r/a/-/t/1/nonsense",
    "/r/a/-/t/1/raw/more",
    "/r/a/-/t/1%3Fq=%3B%20rm%20-rf%20~",
    "/r/a/-/t/..%2F..%2Fother%2F-%2Ftags%2F1",
    "/r/a/-/history/..%2F..%2Fother%2F-%2Ftags%2F1",
    "/r/a/-/d/sha256:a%3Fx",
    "/elsewhere",
  ]) {
    expect([path, screenAt(path).kind]).toEqual([path, "unknown"]);
  }
});

test("the usual order is not in the address", () => {
  expect(addressOf({ kind: "repository", name: "a/b", q: "", sort: USUAL_SORT.tags })).toBe("r/a/b/-/");
});
