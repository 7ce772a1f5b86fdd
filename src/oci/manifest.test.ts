/** Manifests (image-spec, manifest.md and image-index.md; Docker schema 2): what is taken, and the place a refusal names. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { OCI_CONFIG, OCI_EMPTY, OCI_LAYER, bytesOf, descriptorOf } from "../../test/support/content.ts";
import { Deviations, ignoreDeviations, refuseDeviations } from "./deviation.ts";
import { OciError } from "./error.ts";
import { MAX_MANIFEST_SIZE, readManifest } from "./manifest.ts";
import type { ManifestContent } from "./manifest.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST } from "./media-type.ts";

const CONFIG = descriptorOf(OCI_CONFIG, "{}");
const LAYER = descriptorOf(OCI_LAYER, bytesOf("layer", 10));
const CHILD = descriptorOf(OCI_MANIFEST, "child", { platform: { architecture: "amd64", os: "linux" } });

const IMAGE = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER] };
const INDEX = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [CHILD] };
const DOCKER_IMAGE = { ...IMAGE, mediaType: DOCKER_MANIFEST };
const DOCKER_INDEX = { ...INDEX, mediaType: DOCKER_LIST };
const ARTIFACT = { mediaType: OCI_ARTIFACT, artifactType: "application/vnd.example", blobs: [LAYER] };

function read(value: unknown, declared?: string): ManifestContent {
  return readManifest(Buffer.from(JSON.stringify(value)), declared, refuseDeviations);
}

function readLiberally(value: unknown, declared?: string): ManifestContent {
  return readManifest(Buffer.from(JSON.stringify(value)), declared, ignoreDeviations);
}

/** What a refusal at `path` looks like. */
function refusalAt(path: string): unknown {
  return expect.objectContaining({
    code: "MANIFEST_INVALID",
    status: 400,
    details: [{ path, reason: expect.any(String) }],
    message: expect.stringContaining(path === "" ? "the manifest " : `${path} `),
  });
}

describe("an image", () => {
  for (const image of [IMAGE, DOCKER_IMAGE]) {
    test(`of type ${image.mediaType} is a config and layers`, () => {
      for (const declared of [image.mediaType, undefined]) {
        expect(read(image, declared)).toEqual({
          mediaType: image.mediaType as ManifestContent["mediaType"],
          config: CONFIG,
          layers: [LAYER],
          children: [],
          artifactType: OCI_CONFIG,
        });
      }
    });
  }

  test("may have no layers", () => {
    expect(read({ ...IMAGE, layers: [] }).layers).toEqual([]);
  });

  test("may hold digests of different algorithms, and of unknown ones", () => {
    const layers = [LAYER, { ...LAYER, digest: `sha512:${"0".repeat(128)}` }, { ...LAYER, digest: "blake3:00" }];
    expect(read({ ...IMAGE, layers }).layers).toEqual(layers);
  });

  test("may hold foreign layers, whose addresses are kept", () => {
    const mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    const layers = [{ ...LAYER, mediaType, urls: ["https://example.com/layer"] }];
    expect(read({ ...DOCKER_IMAGE, layers }).layers.at(-1)?.urls).toEqual(["https://example.com/layer"]);
  });

  test("may be an artifact without a type of its own, whose config is empty", () => {
    expect(read({ ...IMAGE, config: descriptorOf(OCI_EMPTY, "{}", { data: "e30=" }) }).artifactType).toBe(OCI_EMPTY);
  });
});

describe("an index", () => {
  for (const index of [INDEX, DOCKER_INDEX]) {
    test(`of type ${index.mediaType} is a list of manifests, which are its children`, () => {
      for (const declared of [index.mediaType, undefined]) {
        const mediaType = index.mediaType as ManifestContent["mediaType"];
        expect(read(index, declared)).toEqual({ mediaType, layers: [], children: [CHILD] });
      }
    });
  }

  test("may be empty", () => {
    expect(read({ ...INDEX, manifests: [] }).children).toEqual([]);
  });

  test("may hold indexes, and manifests of unknown types", () => {
    const manifests = [descriptorOf(OCI_INDEX, "a"), descriptorOf("application/vnd.example", "b")];
    expect(read({ ...INDEX, manifests }).children).toEqual(manifests);
  });
});

describe("a withdrawn artifact manifest", () => {
  test("is a list of blobs and needs no schemaVersion", () => {
    const expected = {
      mediaType: OCI_ARTIFACT,
      layers: [LAYER],
      children: [],
      artifactType: "application/vnd.example",
    } as const;
    expect(read(ARTIFACT)).toEqual(expected);
    expect(read(ARTIFACT, OCI_ARTIFACT)).toEqual(expected);
  });

  test("may have no blobs", () => {
    expect(read({ ...ARTIFACT, blobs: undefined }).layers).toEqual([]);
  });
});

describe("the type of a manifest", () => {
  test("may be left to the Content-Type header by OCI's manifests", () => {
    expect(read({ ...IMAGE, mediaType: undefined }, OCI_MANIFEST).mediaType).toBe(OCI_MANIFEST);
    expect(read({ ...INDEX, mediaType: undefined }, OCI_INDEX).mediaType).toBe(OCI_INDEX);
    expect(read({ ...ARTIFACT, mediaType: undefined }, OCI_ARTIFACT).mediaType).toBe(OCI_ARTIFACT);
  });

  test("is seen in the manifest when no media type is given: an index has manifests", () => {
    expect(read({ ...IMAGE, mediaType: undefined }).mediaType).toBe(OCI_MANIFEST);
    expect(read({ ...INDEX, mediaType: undefined }).mediaType).toBe(OCI_INDEX);
  });
});

describe("what a manifest says of itself", () => {
  test("is its own artifact type before that of its config", () => {
    expect(read({ ...IMAGE, artifactType: "application/vnd.example" }).artifactType).toBe("application/vnd.example");
    expect(read({ ...INDEX, artifactType: "application/vnd.example" }).artifactType).toBe("application/vnd.example");
  });

  test("is its config's type when its artifact type is empty", () => {
    expect(read({ ...IMAGE, artifactType: "" }).artifactType).toBe(OCI_CONFIG);
  });

  test("is no artifact type for an index without one", () => {
    expect(read(INDEX)).not.toHaveProperty("artifactType");
    expect(read({ ...INDEX, artifactType: "" })).not.toHaveProperty("artifactType");
  });

  test("is its subject and its annotations", () => {
    for (const manifest of [IMAGE, INDEX, DOCKER_IMAGE, ARTIFACT]) {
      const content = read({ ...manifest, subject: CHILD, annotations: { a: "b", "": "ä" } });
      expect(content).toMatchObject({ subject: CHILD, annotations: { a: "b", "": "ä" } });
    }
  });

  test("may be anything more: unknown properties are left alone, wherever they stand", () => {
    const extra = { "org.example": [1, { a: null }], extra: { config: 1, layers: 2, manifests: 3 } };
    expect(read({ ...IMAGE, ...extra, config: { ...CONFIG, ...extra }, layers: [{ ...LAYER, ...extra }] })).toEqual(
      read(IMAGE),
    );
    expect(read({ ...INDEX, ...extra, manifests: [{ ...CHILD, ...extra }] })).toEqual(read(INDEX));
  });
});

describe("bytes that are no manifest are refused:", () => {
  const cases: readonly (readonly [title: string, bytes: string | Uint8Array])[] = [
    ["none", ""],
    ["white space", " \n"],
    ["words", "not json"],
    ["JSON that is cut off", JSON.stringify(IMAGE).slice(0, -1)],
    ["JSON with something behind it", `${JSON.stringify(IMAGE)}x`],
    ["two documents", JSON.stringify(IMAGE).repeat(2)],
    ["JSON with a comment", `${JSON.stringify(IMAGE)}// x`],
    ["JSON with a comma too many", JSON.stringify(IMAGE).replace(/\}$/, ",}")],
    ["null", "null"],
    ["true", "true"],
    ["a number", "2"],
    ["a text", '"manifest"'],
    ["a list", JSON.stringify([IMAGE])],
    ["a byte order mark before JSON", `\ufeff${JSON.stringify(IMAGE)}`],
    ["UTF-16", Buffer.from(JSON.stringify(IMAGE), "utf16le")],
    ["a byte that is no UTF-8", Buffer.from(JSON.stringify({ ...IMAGE, extra: "\u00ff" }), "latin1")],
    ["half a surrogate in UTF-8", Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d])],
    ["lists too deep to read", "[".repeat(500_000)],
    ["objects too deep to read", '{"a":'.repeat(500_000)],
  ];
  for (const [title, bytes] of cases) {
    test(title, () => {
      expect(() => readManifest(Buffer.from(bytes), OCI_MANIFEST, ignoreDeviations)).toThrow(refusalAt(""));
    });
  }
});

describe("a manifest is refused by the place when it has", () => {
  const cases: readonly (readonly [title: string, value: object, path: string, declared?: string])[] = [
    // 2
    ["no schemaVersion", { ...IMAGE, schemaVersion: undefined }, "schemaVersion"],
    ["schemaVersion 1", { ...IMAGE, schemaVersion: 1 }, "schemaVersion"],
    ["schemaVersion 3", { ...INDEX, schemaVersion: 3 }, "schemaVersion"],
    ['schemaVersion "2"', { ...IMAGE, schemaVersion: "2" }, "schemaVersion"],
    ["schemaVersion null", { ...DOCKER_INDEX, schemaVersion: null }, "schemaVersion"],
    // 3
    ["another type than Content-Type says", IMAGE, "mediaType", OCI_INDEX],
    ["OCI's type under Docker's Content-Type", IMAGE, "mediaType", DOCKER_MANIFEST],
    ["an empty type under Docker's", { ...IMAGE, mediaType: "" }, "mediaType", DOCKER_MANIFEST],
    ["a number for a type", { ...IMAGE, mediaType: 2 }, "mediaType"],
    ["null for a type under Docker's", { ...INDEX, mediaType: null }, "mediaType", DOCKER_LIST],
    ["another type with parameters", { ...IMAGE, mediaType: `${OCI_INDEX}; a=b` }, "mediaType", OCI_MANIFEST],
    ["a type that is not taken", { ...IMAGE, mediaType: "application/vnd.example" }, "mediaType"],
    ["a type that every object has", { ...IMAGE, mediaType: "constructor" }, "mediaType"],
    ["a Content-Type that is not taken", IMAGE, "mediaType", "application/json"],
    ["an empty Content-Type", IMAGE, "mediaType", ""],
    ["the type of schema 1", { ...IMAGE, mediaType: DOCKER_SCHEMA1 }, "mediaType", DOCKER_SCHEMA1],
    ["no type of its own under Docker's image type", { ...IMAGE, mediaType: undefined }, "mediaType", DOCKER_MANIFEST],
    ["no type of its own under Docker's list type", { ...INDEX, mediaType: undefined }, "mediaType", DOCKER_LIST],
    // 4: one document must not be read as two things (CVE-2021-41190)
    ["manifests in an image", { ...IMAGE, manifests: [] }, "manifests"],
    ["manifests in an image of Docker's", { ...DOCKER_IMAGE, manifests: [CHILD] }, "manifests"],
    [
      "manifests in an image without a type",
      { ...IMAGE, mediaType: undefined, manifests: [] },
      "manifests",
      OCI_MANIFEST,
    ],
    ["fsLayers in an image", { ...IMAGE, fsLayers: [] }, "fsLayers"],
    ["a config in an index", { ...INDEX, config: CONFIG }, "config"],
    ["layers in an index", { ...INDEX, layers: [] }, "layers"],
    ["layers in a list of Docker's", { ...DOCKER_INDEX, layers: [LAYER] }, "layers"],
    ["fsLayers in an index", { ...INDEX, fsLayers: [] }, "fsLayers"],
    ["a config and manifests and no type", { ...IMAGE, mediaType: undefined, manifests: [CHILD] }, "config"],
    ["a config in a withdrawn artifact manifest", { ...ARTIFACT, config: CONFIG }, "config"],
    ["layers in a withdrawn artifact manifest", { ...ARTIFACT, layers: [] }, "layers"],
    ["manifests in a withdrawn artifact manifest", { ...ARTIFACT, manifests: [] }, "manifests"],
    // 5
    ["no config", { ...IMAGE, config: undefined }, "config"],
    ["null for a config", { ...DOCKER_IMAGE, config: null }, "config"],
    ["a list for a config", { ...IMAGE, config: [CONFIG] }, "config"],
    ["no layers and no type", { ...IMAGE, mediaType: undefined, layers: undefined }, "layers"],
    ["null for layers and no type", { ...IMAGE, mediaType: "", layers: null }, "layers"],
    ["an object for layers", { ...IMAGE, layers: { 0: LAYER } }, "layers"],
    ["null for manifests and no type", { schemaVersion: 2, manifests: null }, "config"],
    ["an object for manifests", { ...INDEX, manifests: {} }, "manifests"],
    ["a text for blobs", { ...ARTIFACT, blobs: "none" }, "blobs"],
    // 6 to 8: the rest of it is told by the tests of descriptors
    ["a config without a digest", { ...IMAGE, config: { ...CONFIG, digest: undefined } }, "config.digest"],
    ["a config with a size below nothing", { ...IMAGE, config: { ...CONFIG, size: -1 } }, "config.size"],
    ["a layer that is none", { ...IMAGE, layers: [LAYER, null] }, "layers[1]"],
    [
      "a layer without a type",
      { ...IMAGE, layers: [LAYER, LAYER, { ...LAYER, mediaType: undefined }] },
      "layers[2].mediaType",
    ],
    ["a layer of half a byte", { ...DOCKER_IMAGE, layers: [{ ...LAYER, size: 0.5 }] }, "layers[0].size"],
    ["a child without a size", { ...INDEX, manifests: [{ ...CHILD, size: undefined }] }, "manifests[0].size"],
    [
      "a child on a platform that is none",
      { ...INDEX, manifests: [{ ...CHILD, platform: "linux" }] },
      "manifests[0].platform",
    ],
    ["a blob without a digest", { ...ARTIFACT, blobs: [LAYER, {}] }, "blobs[1].mediaType"],
    ["a text for a subject", { ...IMAGE, subject: CHILD.digest }, "subject"],
    ["a subject with a bad digest", { ...INDEX, subject: { ...CHILD, digest: "sha256:x" } }, "subject.digest"],
    ["a list for annotations", { ...IMAGE, annotations: ["a"] }, "annotations"],
    ["an annotation that is no text", { ...INDEX, annotations: { a: "b", c: 1 } }, "annotations.c"],
    [
      "an annotation of a layer that is no text",
      { ...IMAGE, layers: [{ ...LAYER, annotations: { a: true } }] },
      "layers[0].annotations.a",
    ],
    // 7
    ["an artifact type of 1025 characters", { ...IMAGE, artifactType: "x".repeat(1025) }, "artifactType"],
    ["a number for an artifact type", { ...INDEX, artifactType: 1 }, "artifactType"],
    // Readers in Go compare keys without regard to case: they would see other layers than this reader.
    ["layers in other letters", { ...IMAGE, layers: undefined, Layers: [LAYER] }, "Layers"],
    ["layers in other letters beside its own", { ...IMAGE, LAYERS: [LAYER] }, "LAYERS"],
    ["layers with another s, which Go takes for the letter", { ...IMAGE, "layer\u017f": [LAYER] }, "layer\u017f"],
    ["its type in other letters", { ...ARTIFACT, MediaType: OCI_ARTIFACT }, "MediaType"],
    ["a subject in other letters", { ...IMAGE, Subject: CHILD }, "Subject"],
    ["manifests of an index in other letters", { ...INDEX, Manifests: [] }, "Manifests"],
  ];
  for (const [title, value, path, declared] of cases) {
    test(title, () => {
      expect(() => readLiberally(value, declared)).toThrow(refusalAt(path));
    });
  }

  // 1: "names within an object MUST be unique" (I-JSON): readers differ in which of two they take.
  for (const key of ["schemaVersion", "mediaType", "config", "layers", "subject", "annotations", "extra"]) {
    test(`${key} twice`, () => {
      const text = JSON.stringify({ ...IMAGE, subject: CHILD, annotations: {}, extra: 1 });
      expect(() =>
        readManifest(Buffer.from(text.replace("{", `{"${key}":null,`)), OCI_MANIFEST, ignoreDeviations),
      ).toThrow(refusalAt(key));
    });
  }

  test("manifests twice, once with an escape", () => {
    const text = JSON.stringify(INDEX).replace("{", '{"\\u006danifests":[],');
    expect(() => readManifest(Buffer.from(text), OCI_INDEX, ignoreDeviations)).toThrow(refusalAt("manifests"));
  });

  test("a key twice in an annotation, which the registry ignores", () => {
    const text = JSON.stringify({ ...IMAGE, annotations: {} }).replace(
      '"annotations":{}',
      '"annotations":{"a":"1","a":"2"}',
    );
    expect(readManifest(Buffer.from(text), OCI_MANIFEST, ignoreDeviations).annotations).toEqual({ a: "2" });
  });

  for (const written of ["600.0", "6e2", "6E+2", "0.0", "-0.0"]) {
    test(`the size ${written}, which readers in Go refuse`, () => {
      const text = JSON.stringify({ ...IMAGE, more: { size: "HERE" } }).replace('"HERE"', "1.5");
      expect(readManifest(Buffer.from(text), OCI_MANIFEST, refuseDeviations).layers).toHaveLength(1);
      const bad = text.replace(/"size":(\d+)/, `"size" : ${written}`);
      expect(() => readManifest(Buffer.from(bad), OCI_MANIFEST, ignoreDeviations)).toThrow(refusalAt("config.size"));
    });
  }

  test("a size that JSON could not say exactly", () => {
    const text = JSON.stringify(IMAGE).replace(/"size":\d+/, '"size":9007199254740993');
    expect(() => readManifest(Buffer.from(text), OCI_MANIFEST, ignoreDeviations)).toThrow(refusalAt("config.size"));
  });
});

describe("a manifest is taken, and its deviation told of by its path, when it has", () => {
  const cases: readonly (readonly [
    title: string,
    value: object,
    path: string,
    content: Partial<ManifestContent>,
    declared?: string,
  ])[] = [
    ["no layers", { ...IMAGE, layers: undefined }, "layers", { layers: [] }],
    ["null for layers", { ...DOCKER_IMAGE, layers: null }, "layers", { config: CONFIG, layers: [] }],
    [
      "no layers, and its type from the header",
      { ...IMAGE, mediaType: undefined, layers: undefined },
      "layers",
      { layers: [] },
      OCI_MANIFEST,
    ],
    ["no manifests", { ...INDEX, manifests: undefined }, "manifests", { children: [] }],
    ["null for manifests", { ...DOCKER_INDEX, manifests: null }, "manifests", { children: [] }],
    ["null for blobs", { ...ARTIFACT, blobs: null }, "blobs", { layers: [] }],
    ["null for its type", { ...IMAGE, mediaType: null }, "mediaType", { mediaType: OCI_MANIFEST }],
    ["an empty type", { ...INDEX, mediaType: "" }, "mediaType", { mediaType: OCI_INDEX }, OCI_INDEX],
    ["a type with parameters", { ...IMAGE, mediaType: `${OCI_MANIFEST}; a=b` }, "mediaType", { layers: [LAYER] }],
    ["null for its artifact type", { ...IMAGE, artifactType: null }, "artifactType", { artifactType: OCI_CONFIG }],
    ["an artifact type without a slash", { ...INDEX, artifactType: "sbom" }, "artifactType", { artifactType: "sbom" }],
    ["null for its subject", { ...IMAGE, subject: null }, "subject", { layers: [LAYER] }],
    ["null for its annotations", { ...IMAGE, annotations: null }, "annotations", { layers: [LAYER] }],
    [
      "an annotation that is null",
      { ...INDEX, annotations: { a: "b", c: null } },
      "annotations.c",
      { annotations: { a: "b" } },
    ],
    ["null for what must not be there", { ...IMAGE, manifests: null }, "manifests", { children: [], layers: [LAYER] }],
    [
      "a config without a slash",
      { ...IMAGE, config: { ...CONFIG, mediaType: "c" } },
      "config.mediaType",
      {
        artifactType: "c",
      },
    ],
    ["a config of no type", { ...IMAGE, config: { ...CONFIG, mediaType: "" } }, "config.mediaType", {}],
  ];
  for (const [title, value, path, content, declared] of cases) {
    test(title, () => {
      const deviations = new Deviations();
      const taken = readManifest(Buffer.from(JSON.stringify(value)), declared, deviations.add);
      expect(taken).toMatchObject(content);
      expect(deviations.listed.map((each) => each.path)).toEqual([path]);
      expect(() => readManifest(Buffer.from(JSON.stringify(value)), declared, refuseDeviations)).toThrow(
        refusalAt(path),
      );
    });
  }

  test("a config of no type, which is no artifact type either", () => {
    expect(readLiberally({ ...IMAGE, config: { ...CONFIG, mediaType: "" } })).not.toHaveProperty("artifactType");
  });
});

describe("reading a manifest", () => {
  test("fails with nothing but MANIFEST_INVALID on any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), declaredType(), expectOnlyRefusals), { numRuns: 300 });
  });

  test("fails with nothing but MANIFEST_INVALID on any JSON", () => {
    const text = fc.json({ maxDepth: 4 }).map((each) => Buffer.from(each));
    fc.assert(fc.property(text, declaredType(), expectOnlyRefusals), { numRuns: 300 });
  });

  test("fails with nothing but MANIFEST_INVALID on a manifest with anything in any of its places", () => {
    const templates = fc.constantFrom<object>(IMAGE, INDEX, DOCKER_IMAGE, DOCKER_INDEX, ARTIFACT, {
      ...IMAGE,
      subject: CHILD,
    });
    const edit = fc.record({ at: fc.nat(), value: fc.option(fc.jsonValue({ maxDepth: 2 }), { nil: undefined }) });
    const spoiled = fc
      .record({ template: templates, edits: fc.array(edit, { maxLength: 3 }) })
      .map(({ template, edits }) => Buffer.from(JSON.stringify(edits.reduce(withEdit, template))));
    fc.assert(fc.property(spoiled, declaredType(), expectOnlyRefusals), { numRuns: 500 });
  });

  test("takes 4 MiB and more: the limit belongs to the caller that reads the bytes", () => {
    expect(MAX_MANIFEST_SIZE).toBe(4_194_304);
    const annotations = { filler: "x".repeat(MAX_MANIFEST_SIZE) };
    expect(read({ ...IMAGE, annotations }).layers).toHaveLength(1);
  });
});

function declaredType(): fc.Arbitrary<string | undefined> {
  return fc.constantFrom(
    undefined,
    OCI_MANIFEST,
    OCI_INDEX,
    DOCKER_MANIFEST,
    DOCKER_LIST,
    OCI_ARTIFACT,
    "application/json",
    "",
  );
}

function expectOnlyRefusals(bytes: Uint8Array, declared: string | undefined): void {
  try {
    const { layers, children } = readManifest(bytes, declared, ignoreDeviations);
    expect(Array.isArray(layers) && Array.isArray(children)).toBeTrue();
  } catch (error) {
    expect(error).toBeInstanceOf(OciError);
    expect(error).toMatchObject({ code: "MANIFEST_INVALID", status: 400 });
  }
}

/** `document` with one of its places, counted through all of them, given another value. */
function withEdit(document: object, { at, value }: { readonly at: number; readonly value: unknown }): object {
  const copy = structuredClone(document) as Record<string, unknown>;
  const places: [holder: Record<string, unknown>, key: string][] = [];
  const visit = (holder: Record<string, unknown>): void => {
    for (const [key, each] of Object.entries(holder)) {
      places.push([holder, key]);
      if (typeof each === "object" && each !== null) visit(each as Record<string, unknown>);
    }
  };
  visit(copy);
  const place = places[at % places.length];
  if (place) place[0][place[1]] = value;
  return copy;
}
