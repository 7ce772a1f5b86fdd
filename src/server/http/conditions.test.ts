/** Conditional requests: RFC 9110, 13. */
import { describe, expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import { entityTag, isNotModified, rangeApplies, tagCondition } from "./conditions.ts";

const HERE = digestOf(Buffer.from("here"));
const OTHER = digestOf(Buffer.from("other"));

describe("an entity tag", () => {
  test("is the digest in quotes", () => {
    expect(entityTag(HERE)).toBe(`"${HERE}"`);
  });
});

describe("If-None-Match", () => {
  const same = [
    `"${HERE}"`,
    HERE,
    `W/"${HERE}"`,
    ` "${HERE}" `,
    `"${OTHER}", "${HERE}"`,
    `"${OTHER}","${HERE}"`,
    `${OTHER}, ${HERE}`,
    "*",
    " * ",
  ];
  for (const header of same) {
    test(`${header.replaceAll(/[0-9a-f]{64}/g, "…")} of what is here is answered with 304`, () => {
      expect(isNotModified(new Headers({ "if-none-match": header }), HERE)).toBeTrue();
    });
  }

  const different = [
    `"${OTHER}"`,
    OTHER,
    `W/"${OTHER}"`,
    "",
    `"`,
    `"${HERE}`,
    `"${HERE.slice(0, -1)}"`,
    `"*"`,
    `"${HERE.slice("sha256:".length)}"`,
  ];
  for (const header of different) {
    test(`${JSON.stringify(header.replaceAll(/[0-9a-f]{63,64}/g, "…"))} of something else changes nothing`, () => {
      expect(isNotModified(new Headers({ "if-none-match": header }), HERE)).toBeFalse();
    });
  }

  test("that is absent changes nothing", () => {
    expect(isNotModified(new Headers(), HERE)).toBeFalse();
  });

  test("may come as several headers", () => {
    const headers = new Headers({ "if-none-match": `"${OTHER}"` });
    headers.append("If-None-Match", `"${HERE}"`);
    expect(isNotModified(headers, HERE)).toBeTrue();
  });
});

describe("If-Match of a GET or HEAD", () => {
  test("of what is here changes nothing", () => {
    for (const header of [`"${HERE}"`, HERE, "*", `"${OTHER}", "${HERE}"`]) {
      expect(isNotModified(new Headers({ "if-match": header }), HERE)).toBeFalse();
    }
  });

  test("of something else, or of a weak tag, is refused with 412", () => {
    for (const header of [`"${OTHER}"`, OTHER, "", `"*"`, `W/"${HERE}"`, `W/"${HERE}", "${OTHER}"`]) {
      const headers = new Headers({ "if-match": header });
      expect(() => isNotModified(headers, HERE)).toThrow(expect.objectContaining({ code: "UNSUPPORTED", status: 412 }));
    }
  });

  test("is looked at before If-None-Match", () => {
    const both = new Headers({ "if-match": `"${OTHER}"`, "if-none-match": `"${HERE}"` });
    expect(() => isNotModified(both, HERE)).toThrow(expect.objectContaining({ status: 412 }));
    both.set("if-match", `"${HERE}"`);
    expect(isNotModified(both, HERE)).toBeTrue();
  });
});

describe("If-Range", () => {
  test("that is absent, or names what is here, lets a range be served", () => {
    expect(rangeApplies(new Headers(), HERE)).toBeTrue();
    for (const header of [`"${HERE}"`, ` "${HERE}" `])
      expect(rangeApplies(new Headers({ "if-range": header }), HERE)).toBeTrue();
  });

  test('that names anything else, a date, or a weak tag ("MUST NOT" be used) lets the whole be served', () => {
    const others = [
      `"${OTHER}"`,
      `W/"${HERE}"`,
      HERE,
      "*",
      "",
      "Sat, 21 Nov 2026 11:00:00 GMT",
      `"${HERE}", "${OTHER}"`,
    ];
    for (const header of others) expect(rangeApplies(new Headers({ "if-range": header }), HERE)).toBeFalse();
  });
});

describe("the condition of a change to a tag", () => {
  const cases: readonly (readonly [
    title: string,
    headers: Record<string, string>,
    condition: ReturnType<typeof tagCondition>,
  ])[] = [
    ["is none without a header", {}, undefined],
    ["is that it exists for If-Match: *", { "if-match": "*" }, { kind: "exists" }],
    ["is what it points at for If-Match", { "if-match": `"${HERE}"` }, { kind: "is", digests: [HERE] }],
    ["takes a digest without quotes", { "if-match": HERE }, { kind: "is", digests: [HERE] }],
    ["is one of several for If-Match", { "if-match": `"${HERE}", "${OTHER}"` }, { kind: "is", digests: [HERE, OTHER] }],
    ["is that it is absent for If-None-Match: *", { "if-none-match": " * " }, { kind: "absent" }],
    [
      "is what it does not point at for If-None-Match",
      { "if-none-match": `"${HERE}"` },
      { kind: "is not", digests: [HERE] },
    ],
    [
      "is none of several for If-None-Match",
      { "if-none-match": `${HERE},${OTHER}` },
      { kind: "is not", digests: [HERE, OTHER] },
    ],
    [
      "is both when there are both (RFC 9110, 13.2.2)",
      { "if-match": "*", "if-none-match": `"${HERE}"` },
      { kind: "all", of: [{ kind: "exists" }, { kind: "is not", digests: [HERE] }] },
    ],
    ["has nothing to do with If-Range", { "if-range": `"${HERE}"` }, undefined],
  ];
  for (const [title, headers, condition] of cases) {
    test(title, () => {
      expect(tagCondition(new Headers(headers))).toEqual(condition);
    });
  }

  test("is never a weak tag for If-Match", () => {
    const condition = tagCondition(new Headers({ "if-match": `W/"${HERE}", "${OTHER}"` }));
    expect(condition).toEqual({ kind: "is", digests: expect.not.arrayContaining([HERE]) });
    expect(condition).toEqual({ kind: "is", digests: expect.arrayContaining([OTHER]) });
  });

  test("that names nothing holds for no tag, rather than for every one", () => {
    expect(tagCondition(new Headers({ "if-match": "" }))).toEqual({ kind: "is", digests: [""] });
  });
});
