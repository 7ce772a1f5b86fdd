/** The media types that a registry has to know, and the grammar of all others (RFC 6838, 4.2). */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
  MANIFEST_SHAPES,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
  essenceOf,
  isForeignLayer,
  isManifestMediaType,
  isMediaType,
} from "./media-type.ts";

describe("a media type", () => {
  const good = [
    OCI_MANIFEST,
    DOCKER_SCHEMA1_SIGNED,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "text/html",
    "a/b",
    "0/1",
    "A/B",
    "x/y!#$&^_.+-",
    `${"a".repeat(127)}/${"b".repeat(127)}`,
  ];
  for (const text of good) {
    test(`may be ${text.slice(0, 48)}`, () => {
      expect(isMediaType(text)).toBeTrue();
    });
  }

  const bad = [
    "",
    "/",
    "a",
    "a/",
    "/b",
    "a/b/c",
    " a/b",
    "a/b ",
    "a/b\n",
    "a /b",
    "a/b;c=d",
    "a/b, c/d",
    "*/*",
    "a/*",
    ".a/b",
    "a/.b",
    "a/+b",
    "ä/b",
    "a/b%20",
    `${"a".repeat(128)}/b`,
    `a/${"b".repeat(128)}`,
  ];
  for (const text of bad) {
    test(`may not be ${JSON.stringify(text.slice(0, 48))}`, () => {
      expect(isMediaType(text)).toBeFalse();
    });
  }
});

describe("the types of manifests", () => {
  test("are an image, an index and an artifact of OCI's and an image and a list of Docker's", () => {
    expect(MANIFEST_SHAPES).toEqual({
      [OCI_MANIFEST]: "image",
      [DOCKER_MANIFEST]: "image",
      [OCI_INDEX]: "index",
      [DOCKER_LIST]: "index",
      [OCI_ARTIFACT]: "artifact",
    });
    expect(Object.keys(MANIFEST_SHAPES).every(isManifestMediaType)).toBeTrue();
  });

  test("are no others: neither schema 1, nor other letters, nor what every object has", () => {
    const others = [
      DOCKER_SCHEMA1,
      DOCKER_SCHEMA1_SIGNED,
      "application/json",
      OCI_MANIFEST.toUpperCase(),
      `${OCI_MANIFEST};a=b`,
    ];
    for (const text of [...others, "", "constructor", "toString", "__proto__"])
      expect(isManifestMediaType(text)).toBeFalse();
  });
});

describe("the essence of a Content-Type header", () => {
  const cases: readonly (readonly [header: string, essence: string])[] = [
    [OCI_MANIFEST, OCI_MANIFEST],
    ["Application/JSON", "application/json"],
    ["text/html; charset=utf-8", "text/html"],
    ["text/html;charset=utf-8", "text/html"],
    ["  text/html  ; a=b; c=d", "text/html"],
    ["text/html;", "text/html"],
    ["", ""],
    ["; charset=utf-8", ""],
  ];
  for (const [header, essence] of cases) {
    test(`of ${JSON.stringify(header)} is ${JSON.stringify(essence)}`, () => {
      expect(essenceOf(header)).toBe(essence);
    });
  }

  test("is the same when it is taken twice, whatever the header", () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        expect(essenceOf(essenceOf(header))).toBe(essenceOf(header));
        expect(essenceOf(header)).not.toContain(";");
      }),
    );
  });
});

describe("a foreign layer", () => {
  const foreign = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  ];
  for (const type of foreign) {
    test(`is one of type ${type}`, () => {
      expect(isForeignLayer(type)).toBeTrue();
    });
  }

  test("is none of a type that everybody may pass on", () => {
    const others = [
      "application/vnd.oci.image.layer.v1.tar+gzip",
      "application/vnd.docker.image.rootfs.diff.tar.gzip",
      "",
      "a/b",
    ];
    for (const type of others) expect(isForeignLayer(type)).toBeFalse();
  });
});
