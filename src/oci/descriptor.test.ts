/** Descriptors (image-spec, descriptor.md): what is taken, and the place that a refusal names. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { bytesOf, descriptorOf, digestOf } from "../../test/support/content.ts";
import { optional, readDescriptor } from "./descriptor.ts";
import { Deviations, ignoreDeviations, refuseDeviations } from "./deviation.ts";
import { OciError } from "./error.ts";

const BYTES = bytesOf("descriptor", 100);
const GOOD = descriptorOf("application/vnd.oci.image.layer.v1.tar+gzip", BYTES);
const BASE64 = Buffer.from(BYTES).toString("base64");

describe("a descriptor", () => {
  const good: readonly (readonly [title: string, more: Record<string, unknown>])[] = [
    ["has a media type, a digest and a size", {}],
    ["may have any media type", { mediaType: "x/y" }],
    ["may have no bytes", { digest: digestOf(""), size: 0 }],
    ["may have 2^53 - 1 bytes", { size: Number.MAX_SAFE_INTEGER }],
    ["may have a digest of sha512", { digest: digestOf(BYTES, "sha512") }],
    ["may have a digest of an unknown algorithm", { digest: "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7" }],
    ["may have annotations", { annotations: { "org.opencontainers.image.title": "ä", "": "" } }],
    ["may have an artifact type", { artifactType: "application/vnd.example+json" }],
    ["may have addresses", { urls: ["https://example.com/a?b#c", "ftp://example.com/", "urn:x:y"] }],
    ["may have an empty list of addresses", { urls: [] }],
    ["may have a platform", { platform: { architecture: "arm64", os: "linux", variant: "v8" } }],
    ["may have an unknown platform", { platform: { architecture: "", os: "plan10" } }],
  ];
  for (const [title, more] of good) {
    test(title, () => {
      expect(readDescriptor({ ...GOOD, ...more }, "config", refuseDeviations)).toEqual({ ...GOOD, ...more });
    });
  }

  const alsoGood: readonly (readonly [title: string, more: Record<string, unknown>])[] = [
    ["may have unknown properties", { extra: 1, "vnd.example": { a: [null] }, ["__proto__"]: { b: 2 } }],
    ["may have an empty artifact type, as some clients write absence", { artifactType: "" }],
    ["may have its content in itself", { data: BASE64 }],
    ["may have no content in itself when there is none", { data: "", digest: digestOf(""), size: 0 }],
    ["may have its content in itself under sha512", { data: BASE64, digest: digestOf(BYTES, "sha512") }],
    ["may have content in itself that cannot be verified, for want of its algorithm", { data: BASE64, digest: "a:b" }],
  ];
  for (const [title, more] of alsoGood) {
    test(title, () => {
      const { mediaType, digest, size } = { ...GOOD, ...more };
      expect(readDescriptor({ ...GOOD, ...more }, "config", refuseDeviations)).toEqual({ mediaType, digest, size });
    });
  }

  test("of a platform keeps what tells platforms apart", () => {
    const platform = { architecture: "arm", os: "linux", variant: "v7", "os.version": "1", "os.features": ["x"] };
    expect(readDescriptor({ ...GOOD, platform }, "p", refuseDeviations).platform).toEqual({
      architecture: "arm",
      os: "linux",
      variant: "v7",
    });
  });
});

describe("a descriptor that is none", () => {
  const cases: readonly (readonly [title: string, value: unknown, path: string])[] = [
    ["is absent", undefined, ""],
    ["is null", null, ""],
    ["is a text", digestOf(BYTES), ""],
    ["is a number", 1, ""],
    ["is a list", [GOOD], ""],
    ["is empty", {}, ".mediaType"],
    ["has no media type", without("mediaType"), ".mediaType"],
    ["has null for a media type", { ...GOOD, mediaType: null }, ".mediaType"],
    ["has a number for a media type", { ...GOOD, mediaType: 1 }, ".mediaType"],
    ["has a media type of 1025 characters", { ...GOOD, mediaType: `a/${"b".repeat(1023)}` }, ".mediaType"],
    ["has no digest", without("digest"), ".digest"],
    ["has null for a digest", { ...GOOD, digest: null }, ".digest"],
    ["has a number for a digest", { ...GOOD, digest: 256 }, ".digest"],
    ["has an empty digest", { ...GOOD, digest: "" }, ".digest"],
    ["has a digest without a colon", { ...GOOD, digest: "sha256" }, ".digest"],
    ["has a digest without an algorithm", { ...GOOD, digest: GOOD.digest.slice("sha256".length) }, ".digest"],
    ["has a digest that is too short", { ...GOOD, digest: GOOD.digest.slice(0, -1) }, ".digest"],
    ["has a digest in upper case", { ...GOOD, digest: `sha256:${GOOD.digest.slice(7).toUpperCase()}` }, ".digest"],
    ["has a digest of words", { ...GOOD, digest: "sha256:baddigeststring" }, ".digest"],
    ["has a digest of sha512 that is too short", { ...GOOD, digest: GOOD.digest.replace("256", "512") }, ".digest"],
    ["has a digest of an unknown algorithm of 256 characters", { ...GOOD, digest: `a:${"b".repeat(254)}` }, ".digest"],
    ["has a digest of an unknown algorithm of megabytes", { ...GOOD, digest: `a:${"b".repeat(2e6)}` }, ".digest"],
    ["has a digest of an unknown algorithm against the grammar", { ...GOOD, digest: "md5:a/b" }, ".digest"],
    ["has no size", without("size"), ".size"],
    ["has null for a size", { ...GOOD, size: null }, ".size"],
    ["has a text for a size", { ...GOOD, size: "100" }, ".size"],
    ["has a negative size", { ...GOOD, size: -1 }, ".size"],
    ["has a fraction for a size", { ...GOOD, size: 0.5 }, ".size"],
    ["has a size of 2^53, where numbers lose their last digits", { ...GOOD, size: 2 ** 53 }, ".size"],
    ["has a size beyond all numbers", { ...GOOD, size: Infinity }, ".size"],
    ["has a number for data", { ...GOOD, data: 1 }, ".data"],
    ["has data that is no base64", { ...GOOD, data: "a b=" }, ".data"],
    ["has data in the other base64", { ...GOOD, data: `-_-_${BASE64.slice(4)}` }, ".data"],
    ["has data without its padding", { ...GOOD, data: BASE64.replace(/=+$/, "") }, ".data"],
    ["has a text for urls", { ...GOOD, urls: "https://example.com/" }, ".urls"],
    ["has a number among its urls", { ...GOOD, urls: [1] }, ".urls"],
    ["has null among its urls", { ...GOOD, urls: ["https://example.com/", null] }, ".urls"],
    ["has a list for annotations", { ...GOOD, annotations: [] }, ".annotations"],
    ["has a text for annotations", { ...GOOD, annotations: "a" }, ".annotations"],
    ["has an annotation that is a number", { ...GOOD, annotations: { a: "b", c: 1 } }, ".annotations.c"],
    ["has an annotation that is an object", { ...GOOD, annotations: { a: {} } }, ".annotations.a"],
    ["has a number for an artifact type", { ...GOOD, artifactType: 1 }, ".artifactType"],
    ["has a text for a platform", { ...GOOD, platform: "linux/amd64" }, ".platform"],
    ["has a list for a platform", { ...GOOD, platform: ["linux"] }, ".platform"],
    ["has a platform whose system is a number", { ...GOOD, platform: { architecture: "a", os: 1 } }, ".platform.os"],
    ["has a platform whose variant is a number", { ...GOOD, platform: { variant: 8 } }, ".platform.variant"],
    ["has a platform whose version is a list", { ...GOOD, platform: { "os.version": [] } }, ".platform.os.version"],
    [
      "has a platform whose features are a text",
      { ...GOOD, platform: { "os.features": "a" } },
      ".platform.os.features",
    ],
  ];
  for (const [title, value, path] of cases) {
    test(`is refused by the place when it ${title}`, () => {
      const place = `layers[3]${path}`;
      expect(() => readDescriptor(value, "layers[3]", ignoreDeviations)).toThrow(
        expect.objectContaining({
          code: "MANIFEST_INVALID",
          details: [{ path: place, reason: expect.any(String) }],
          message: expect.stringContaining(`${place} `),
        }),
      );
    });
  }

  test("is refused with MANIFEST_INVALID and nothing else, whatever it is", () => {
    const field = fc.oneof(fc.jsonValue(), fc.constantFrom(...Object.values(GOOD)));
    const value = fc.record(
      Object.fromEntries(
        ["mediaType", "digest", "size", "data", "urls", "annotations", "artifactType", "platform"].map((key) => [
          key,
          field,
        ]),
      ),
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(value, fc.jsonValue()), (each) => {
        try {
          readDescriptor(each, "config", ignoreDeviations);
        } catch (error) {
          expect(error).toBeInstanceOf(OciError);
          expect(error).toMatchObject({
            code: "MANIFEST_INVALID",
            details: [{ path: expect.stringMatching(/^config/) }],
          });
        }
      }),
    );
  });

  test("is found among much data too", () => {
    const data = "A".repeat(4 * 75_000);
    const size = 3 * 75_000;
    const digest = digestOf(new Uint8Array(size));
    expect(readDescriptor({ ...GOOD, digest, size, data }, "config", refuseDeviations).size).toBe(size);
    const read = (text: string): unknown =>
      readDescriptor({ ...GOOD, digest, size, data: text }, "config", ignoreDeviations);
    expect(() => read(`${data}!`)).toThrow("config.data");
  });
});

describe("a deviation that tools write", () => {
  const { mediaType, digest, size } = GOOD;
  const nulls = { artifactType: null, annotations: null, data: null, urls: null, platform: null };
  const cases: readonly (readonly [
    title: string,
    more: Record<string, unknown>,
    paths: string | readonly string[],
    kept?: Record<string, unknown>,
  ])[] = [
    ["an empty media type", { mediaType: "" }, "mediaType", { mediaType: "" }],
    ["a media type without a slash", { mediaType: "layer" }, "mediaType", { mediaType: "layer" }],
    ["a media type with parameters", { mediaType: "a/b; c=d" }, "mediaType", { mediaType: "a/b; c=d" }],
    ["a media type with two slashes", { mediaType: "a/b/c" }, "mediaType", { mediaType: "a/b/c" }],
    ["an artifact type without a slash", { artifactType: "sbom" }, "artifactType", { artifactType: "sbom" }],
    ["an artifact type with parameters", { artifactType: "a/b;c=d" }, "artifactType", { artifactType: "a/b;c=d" }],
    ["null for each optional member", nulls, ["data", "artifactType", "annotations", "urls", "platform"]],
    ["an annotation that is null", { annotations: { a: null, b: "c" } }, "annotations.a", { annotations: { b: "c" } }],
    ["data with a line break", { data: `${BASE64}\n` }, "data"],
    ["data that is shorter than its size", { data: BASE64.slice(4) }, "data"],
    ["data that is longer than its size", { data: `AAAA${BASE64}` }, "data"],
    ["no data where there is a size", { data: "" }, "data"],
    ["data of another digest", { data: `AAAA${BASE64.slice(4)}` }, "data"],
    [
      "data of another digest of sha512",
      { data: BASE64, digest: digestOf("", "sha512") },
      "data",
      { digest: digestOf("", "sha512") },
    ],
    ["data of another size under an unknown algorithm", { data: "AAAA", digest: "a:b" }, "data", { digest: "a:b" }],
    [
      "urls that are not absolute",
      { urls: ["a/b", "//c", "", "https://d/"] },
      ["urls[0]", "urls[1]", "urls[2]"],
      { urls: ["a/b", "//c", "", "https://d/"] },
    ],
    [
      "a platform without anything",
      { platform: {} },
      ["platform.architecture", "platform.os"],
      {
        platform: { architecture: "", os: "" },
      },
    ],
    [
      "a platform of nulls",
      { platform: { architecture: null, os: "linux", variant: null, "os.version": null, "os.features": null } },
      ["platform.architecture", "platform.variant", "platform.os.version", "platform.os.features"],
      { platform: { architecture: "", os: "linux" } },
    ],
  ];
  for (const [title, more, paths, kept = {}] of cases) {
    test(`is taken, and told of by its path: ${title}`, () => {
      const deviations = new Deviations();
      const read = readDescriptor({ ...GOOD, ...more }, "config", deviations.add);
      expect<object>(read).toEqual({ mediaType, digest, size, ...kept });
      const expected = [paths].flat().map((path) => `config.${path}`);
      expect(deviations.listed.map(({ path }) => path)).toEqual(expected);
      expect(() => readDescriptor({ ...GOOD, ...more }, "config", refuseDeviations)).toThrow(expected[0]);
    });
  }

  test("an annotation that is null under a key of megabytes has a short path", () => {
    const deviations = new Deviations();
    readDescriptor({ ...GOOD, annotations: { ["k".repeat(2e6)]: null } }, "config", deviations.add);
    expect(deviations.listed[0]?.path.length).toBeLessThan(128);
  });

  test("is kept in words eight times, and counted", () => {
    const deviations = new Deviations();
    const urls = Array.from({ length: 100_000 }, () => "relative");
    readDescriptor({ ...GOOD, urls }, "config", deviations.add);
    expect(deviations.count).toBe(100_000);
    expect(deviations.listed).toHaveLength(8);
  });
});

describe("an optional property", () => {
  test("is there with its value, and not there without one", () => {
    expect(optional("a", 1)).toEqual({ a: 1 });
    expect(Object.keys(optional("a", undefined))).toEqual([]);
    expect(optional("a", "")).toEqual({ a: "" });
  });
});

function without(key: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(GOOD).filter(([each]) => each !== key));
}
