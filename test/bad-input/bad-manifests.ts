/** Documents that are no manifests, each with the one thing that is wrong (image-spec; "DO refuse" of each bullet). */
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { CONFIG, IMAGE, IMAGE_TEXT, INDEX_TEXT, LAYER } from "./witness.ts";

export interface BadManifest {
  readonly title: string;
  readonly body: string | Uint8Array;
  /** The `Content-Type`; an image's when absent. */
  readonly mediaType?: string;
  /** Names that the error has to mention: where in the document it is. */
  readonly place?: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/** An image whose properties are changed; those that become undefined are left out. */
export function image(changes: Fields): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: CONFIG, layers: [LAYER], ...changes });
}

/** An index whose properties are changed. */
export function index(changes: Fields): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [IMAGE], ...changes });
}

/** How a value reads in a title. */
function say(value: unknown): string {
  return value === undefined ? "absent" : JSON.stringify(value).slice(0, 48);
}

const NESTED = 100_000;

/** Bodies that are not one JSON object in UTF-8. */
export const NO_OBJECTS: readonly BadManifest[] = [
  ...[
    "",
    " ",
    "\n",
    "null",
    "true",
    "0",
    "-1.5",
    '"text"',
    "[]",
    `[${IMAGE_TEXT}]`,
    "{",
    "}",
    "{}{}",
    "undefined",
    "NaN",
    "{'schemaVersion':2}",
    "{schemaVersion:2}",
    "schemaVersion: 2",
    "<manifest/>",
    "<!doctype html><title>Not found</title>",
  ].map((body): BadManifest => ({ title: `the body ${JSON.stringify(body).slice(0, 40)}`, body })),
  { title: "a comma too many", body: IMAGE_TEXT.replace(/\}$/, ",}") },
  { title: "a comment", body: `/* an image */${IMAGE_TEXT}` },
  { title: "a line comment", body: `${IMAGE_TEXT}//` },
  { title: "a manifest that is cut off", body: IMAGE_TEXT.slice(0, -1) },
  { title: "two manifests", body: IMAGE_TEXT + IMAGE_TEXT },
  { title: "a word behind", body: `${IMAGE_TEXT} yes` },
  { title: "a NUL behind", body: `${IMAGE_TEXT}\0` },
  { title: "a NUL in front", body: `\0${IMAGE_TEXT}` },
  { title: "a NUL in a string", body: IMAGE_TEXT.replace('"config"', '"con\0fig":1,"config"') },
  { title: "a line break in a string", body: image({ annotations: { a: "LINE" } }).replace("LINE", "a\nb") },
  {
    title: "an escape that JSON does not have",
    body: image({ annotations: { a: "ESCAPE" } }).replace("ESCAPE", "\\x41"),
  },
  { title: "a number with a plus", body: IMAGE_TEXT.replace('"schemaVersion":2', '"schemaVersion":+2') },
  { title: "a number with a leading zero", body: IMAGE_TEXT.replace('"schemaVersion":2', '"schemaVersion":02') },
  { title: "a hexadecimal number", body: IMAGE_TEXT.replace('"schemaVersion":2', '"schemaVersion":0x2') },
  { title: "infinity", body: IMAGE_TEXT.replace(/"size":\d+/, '"size":Infinity') },
  { title: "a byte order mark", body: `\uFEFF${IMAGE_TEXT}` },
  { title: "UTF-16", body: Buffer.from(IMAGE_TEXT, "utf16le") },
  { title: "UTF-16 with a byte order mark", body: Buffer.from(`\uFEFF${IMAGE_TEXT}`, "utf16le") },
  { title: "a byte that is not UTF-8", body: withBytes([0xff]) },
  { title: "a byte of Latin 1", body: withBytes([0xe9]) },
  { title: "an overlong slash", body: withBytes([0xc0, 0xaf]) },
  { title: "half a surrogate pair", body: withBytes([0xed, 0xa0, 0x80]) },
  { title: "a character beyond Unicode", body: withBytes([0xf4, 0x90, 0x80, 0x80]) },
  { title: "a character that is cut off", body: withBytes([0xe2, 0x82]) },
  { title: "a gzip of a manifest", body: Bun.gzipSync(Buffer.from(IMAGE_TEXT)) },
  { title: "a megabyte of zeros", body: new Uint8Array(1_000_000) },
  { title: "arrays, 100,000 deep", body: "[".repeat(NESTED) + "]".repeat(NESTED) },
  { title: "arrays, 100,000 deep and not closed", body: "[".repeat(NESTED) },
  { title: "objects, 100,000 deep and not closed", body: '{"a":'.repeat(NESTED) },
  {
    title: "arrays and objects, 100,000 deep and closed in the wrong order",
    body: `${'[{"a":'.repeat(NESTED)}${"]}".repeat(NESTED)}`,
  },
];

/** An image with an annotation of exactly these bytes. */
function withBytes(bytes: readonly number[]): Uint8Array {
  const [before = "", behind = ""] = image({ annotations: { a: "HERE" } }).split("HERE");
  return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(behind)]);
}

const JSON_OF = { config: JSON.stringify(CONFIG), layers: JSON.stringify([LAYER]), subject: JSON.stringify(IMAGE) };

/** Two readers may take different ones of two keys (RFC 7493, 2.3: "MUST NOT have members with duplicate names"). */
export const DUPLICATE_KEYS: readonly BadManifest[] = [
  { title: "schemaVersion", body: twice(IMAGE_TEXT, '"schemaVersion":2'), place: ["schemaVersion"] },
  { title: "mediaType", body: twice(IMAGE_TEXT, `"mediaType":"${OCI_MANIFEST}"`), place: ["mediaType"] },
  { title: "mediaType, first another", body: twice(IMAGE_TEXT, `"mediaType":"${OCI_INDEX}"`), place: ["mediaType"] },
  { title: "config", body: twice(IMAGE_TEXT, `"config":${JSON_OF.config}`), place: ["config"] },
  { title: "layers", body: twice(IMAGE_TEXT, `"layers":${JSON_OF.layers}`), place: ["layers"] },
  { title: "layers, first none", body: twice(IMAGE_TEXT, '"layers":[]'), place: ["layers"] },
  { title: "manifests", body: twice(INDEX_TEXT, '"manifests":[]'), mediaType: OCI_INDEX, place: ["manifests"] },
  {
    title: "subject",
    body: twice(image({ subject: IMAGE }), `"subject":${JSON_OF.subject}`),
    place: ["subject"],
  },
  { title: "one of them escaped", body: twice(IMAGE_TEXT, '"l\\u0061yers":[]'), place: ["layers"] },
  { title: "far apart", body: `${IMAGE_TEXT.slice(0, -1)},"more":{"layers":[{}]},"layers" : []}`, place: ["layers"] },
].map((row) => ({ ...row, title: `the key ${row.title}, twice` }));

/** A document that begins with one more member. */
function twice(text: string, member: string): string {
  return `{${member},${text.slice(1)}`;
}

/** Good in themselves, and never pushed. */
const UNPUSHED_IMAGE = image({ annotations: { sent: "under another type" } });
const UNPUSHED_INDEX = index({ annotations: { sent: "under another type" } });

export const BAD_HEADS: readonly BadManifest[] = [
  ...[undefined, null, 0, 1, 3, -2, 2.5, "2", "", true, [2], {}, 2 ** 53].flatMap(
    (schemaVersion): readonly BadManifest[] => [
      { title: `schemaVersion ${say(schemaVersion)}`, body: image({ schemaVersion }), place: ["schemaVersion"] },
      {
        title: `an index's schemaVersion ${say(schemaVersion)}`,
        body: index({ schemaVersion }),
        mediaType: OCI_INDEX,
        place: ["schemaVersion"],
      },
    ],
  ),
  ...[2, true, [OCI_MANIFEST], {}, OCI_INDEX, DOCKER_MANIFEST, "text/plain", `${OCI_INDEX}; charset=utf-8`].map(
    (mediaType): BadManifest => ({
      title: `mediaType ${say(mediaType)} under an image's Content-Type`,
      body: image({ mediaType }),
      place: ["mediaType"],
    }),
  ),
  { title: "an image under an index's Content-Type", body: UNPUSHED_IMAGE, mediaType: OCI_INDEX, place: ["mediaType"] },
  {
    title: "an index under an image's Content-Type",
    body: UNPUSHED_INDEX,
    mediaType: OCI_MANIFEST,
    place: ["mediaType"],
  },
  {
    title: "an OCI image under Docker's Content-Type",
    body: UNPUSHED_IMAGE,
    mediaType: DOCKER_MANIFEST,
    place: ["mediaType"],
  },
  {
    title: "an OCI index under Docker's Content-Type",
    body: UNPUSHED_INDEX,
    mediaType: DOCKER_LIST,
    place: ["mediaType"],
  },
  {
    title: "a Docker image that does not name its type",
    body: image({ mediaType: undefined }),
    mediaType: DOCKER_MANIFEST,
    place: ["mediaType"],
  },
  ...[null, ""].map((mediaType): BadManifest => ({
    title: `a Docker image whose mediaType is ${say(mediaType)}`,
    body: image({ mediaType }),
    mediaType: DOCKER_MANIFEST,
    place: ["mediaType"],
  })),
  {
    title: "a Docker list that does not name its type",
    body: index({ mediaType: undefined }),
    mediaType: DOCKER_LIST,
    place: ["mediaType"],
  },
  ...[
    "text/plain",
    "application/json",
    "application/octet-stream",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "multipart/form-data; boundary=x",
    "constructor",
    `${OCI_MANIFEST}, ${OCI_INDEX}`,
    "nonsense",
  ].map((mediaType): BadManifest => ({ title: `the Content-Type ${mediaType}`, body: UNPUSHED_IMAGE, mediaType })),
  {
    title: "a manifest of schema 1",
    body: JSON.stringify({
      schemaVersion: 1,
      name: "app",
      tag: "v1",
      architecture: "amd64",
      fsLayers: [],
      history: [],
    }),
    mediaType: "application/vnd.docker.distribution.manifest.v1+json",
  },
];

/** One document that two readers would take for two things: CVE-2021-41190. */
export const CONFUSED: readonly BadManifest[] = [
  { title: "an image with manifests", body: image({ manifests: [IMAGE] }), place: ["manifests"] },
  { title: "an image with an empty list of manifests", body: image({ manifests: [] }), place: ["manifests"] },
  { title: "an image with fsLayers", body: image({ fsLayers: [{ blobSum: LAYER.digest }] }), place: ["fsLayers"] },
  { title: "an index with layers", body: index({ layers: [LAYER] }), mediaType: OCI_INDEX, place: ["layers"] },
  {
    title: "an index with an empty list of layers",
    body: index({ layers: [] }),
    mediaType: OCI_INDEX,
    place: ["layers"],
  },
  { title: "an index with a config", body: index({ config: CONFIG }), mediaType: OCI_INDEX, place: ["config"] },
  { title: "an index with fsLayers", body: index({ fsLayers: [] }), mediaType: OCI_INDEX, place: ["fsLayers"] },
  {
    title: "a Docker image with manifests",
    body: image({ mediaType: DOCKER_MANIFEST, manifests: [IMAGE] }),
    mediaType: DOCKER_MANIFEST,
    place: ["manifests"],
  },
  {
    title: "a Docker list with layers",
    body: index({ mediaType: DOCKER_LIST, layers: [LAYER] }),
    mediaType: DOCKER_LIST,
    place: ["layers"],
  },
  {
    title: "neither type named, an image and an index at once",
    body: image({ mediaType: undefined, manifests: [IMAGE] }),
  },
  // Readers that compare keys without regard to case (Go's) would see other content than the registry does.
  ...["Layers", "LAYERS", "layer\u017f"].map((key): BadManifest => ({
    title: `an image with ${key} beside layers`,
    body: image({ [key]: [LAYER] }),
  })),
  { title: "an image with Layers alone", body: image({ layers: undefined, Layers: [LAYER] }), place: ["layers"] },
  { title: "an image with a Config beside its config", body: image({ Config: LAYER }), place: ["config"] },
  { title: "an image with a Subject", body: image({ Subject: IMAGE }), place: ["subject"] },
  {
    title: "an index with Manifests",
    body: index({ manifests: undefined, Manifests: [IMAGE] }),
    mediaType: OCI_INDEX,
    place: ["manifests"],
  },
];

/** What is no list where the lists are, and no descriptor where the descriptors are. */
export const BAD_PARTS: readonly BadManifest[] = [
  ...[{}, "layers", 1, true, LAYER].map((layers): BadManifest => ({
    title: `layers ${say(layers)}`,
    body: image({ layers }),
    place: ["layers"],
  })),
  ...[{}, "manifests", 1, IMAGE].map((manifests): BadManifest => ({
    title: `manifests ${say(manifests)}`,
    body: index({ manifests }),
    mediaType: OCI_INDEX,
    place: ["manifests"],
  })),
  {
    title: "a config that only __proto__ has",
    body: image({ config: undefined }).replace("{", `{"__proto__":{"config":${JSON_OF.config}},`),
    place: ["config"],
  },
  ...[undefined, null, [], [CONFIG], "config", CONFIG.digest, 1, true, {}].map((config): BadManifest => ({
    title: `config ${say(config)}`,
    body: image({ config }),
    place: ["config"],
  })),
  ...[null, [], [LAYER], "layer", LAYER.digest, 1, true, {}].flatMap((part): readonly BadManifest[] => [
    { title: `a layer ${say(part)}`, body: image({ layers: [LAYER, part] }), place: ["layers", "1"] },
    {
      title: `a manifest ${say(part)} in an index`,
      body: index({ manifests: [IMAGE, part] }),
      mediaType: OCI_INDEX,
      place: ["manifests", "1"],
    },
  ]),
  ...[[], [IMAGE], "subject", IMAGE.digest, 1, true, {}].flatMap((subject): readonly BadManifest[] => [
    { title: `subject ${say(subject)}`, body: image({ subject }), place: ["subject"] },
    { title: `an index's subject ${say(subject)}`, body: index({ subject }), mediaType: OCI_INDEX, place: ["subject"] },
  ]),
  ...badMaps().map(([title, annotations]): BadManifest => ({
    title: `annotations that are ${title}`,
    body: image({ annotations }),
    place: ["annotations"],
  })),
  ...[1, true, {}, ["a/b"], `a/${"b".repeat(2_000_000)}`].map((artifactType): BadManifest => ({
    title: `artifactType ${say(artifactType)}`,
    body: image({ artifactType }),
    place: ["artifactType"],
  })),
];

/** "This OPTIONAL property contains arbitrary metadata … MUST be a string-string map." */
function badMaps(): readonly (readonly [title: string, value: unknown])[] {
  return [
    ["a list", ["a"]],
    ["a text", "a=b"],
    ["a number", 1],
    ["true", true],
    ["a number inside", { a: 1 }],
    ["true inside", { good: "yes", bad: true }],
    ["a list inside", { a: ["b"] }],
    ["a map inside", { a: { b: "c" } }],
  ];
}

/** Changes that make a descriptor bad, with the property they concern. */
const BAD_FIELDS: readonly (readonly [property: string, value: unknown])[] = [
  ["mediaType", undefined],
  ["mediaType", null],
  ["mediaType", 1],
  ["mediaType", ["text/plain"]],
  ["mediaType", `text/${"p".repeat(2_000_000)}`],
  ["digest", undefined],
  ["digest", null],
  ["digest", 1],
  ["digest", ""],
  ["digest", {}],
  ["digest", "sha256"],
  ["digest", "sha256:"],
  ["digest", "sha256:zz"],
  ["digest", "sha256:baddigeststring"],
  ["digest", LAYER.digest.toUpperCase()],
  ["digest", LAYER.digest.replace(/[a-f]/g, (letter) => letter.toUpperCase())],
  ["digest", LAYER.digest.slice(0, -1)],
  ["digest", `${LAYER.digest}0`],
  ["digest", ` ${LAYER.digest}`],
  ["digest", `${LAYER.digest}\n`],
  ["digest", LAYER.digest.replace("sha256", "sha512")],
  ["digest", LAYER.digest.replace("sha256", "SHA256")],
  ["digest", "sha256:../../../../../etc/passwd"],
  ["digest", `blake3:${"a".repeat(249)}`],
  ["digest", `blake3:${"a".repeat(2_000_000)}`],
  ["size", undefined],
  ["size", null],
  ["size", "600"],
  ["size", ""],
  ["size", true],
  ["size", [600]],
  ["size", {}],
  ["size", -1],
  ["size", -600],
  ["size", 600.5],
  ["size", 1e-7],
  ["size", 2 ** 53],
  ["size", 2 ** 63],
  ["size", 1e300],
  ["urls", "https://example.org/layer"],
  ["urls", {}],
  ["urls", 1],
  ["urls", [1]],
  ["urls", [null]],
  ["urls", ["https://example.org/layer", {}]],
  ["urls", [["https://example.org/layer"]]],
  ["data", 1],
  ["data", {}],
  ["data", ["e30="]],
  ["data", "***"],
  ["data", "e30"],
  ["data", "e3-_"],
  ["data", "e30=="],
  ["artifactType", 1],
  ["artifactType", {}],
  ...badMaps().map(([, value]) => ["annotations", value] as const),
];

const BAD_PLATFORMS: readonly unknown[] = [
  "linux/amd64",
  ["linux", "amd64"],
  1,
  true,
  { architecture: 64, os: "linux" },
  { architecture: "amd64", os: ["linux"] },
  { architecture: "amd64", os: "linux", variant: 1 },
  { architecture: "amd64", os: "linux", "os.version": 10.1 },
  { architecture: "amd64", os: "linux", "os.features": "win32k" },
];

/** Every bad descriptor in every place where a descriptor stands. */
export const BAD_DESCRIPTORS: readonly BadManifest[] = [
  ...BAD_FIELDS.flatMap(([property, value]): readonly BadManifest[] => [
    {
      title: `config.${property} ${say(value)}`,
      body: image({ config: { ...CONFIG, [property]: value } }),
      place: ["config", property],
    },
    {
      title: `layers[1].${property} ${say(value)}`,
      body: image({ layers: [LAYER, { ...LAYER, [property]: value }] }),
      place: ["layers", "1", property],
    },
    {
      title: `manifests[1].${property} ${say(value)}`,
      body: index({ manifests: [IMAGE, { ...IMAGE, [property]: value }] }),
      mediaType: OCI_INDEX,
      place: ["manifests", "1", property],
    },
    {
      title: `subject.${property} ${say(value)}`,
      body: image({ subject: { ...IMAGE, [property]: value } }),
      place: ["subject", property],
    },
  ]),
  ...BAD_PLATFORMS.map((platform): BadManifest => ({
    title: `manifests[0].platform ${say(platform)}`,
    body: index({ manifests: [{ ...IMAGE, platform }] }),
    mediaType: OCI_INDEX,
    place: ["manifests", "0", "platform"],
  })),
  {
    title: "annotations with arrays, 100,000 deep",
    body: image({ annotations: { a: "HERE" } }).replace('"HERE"', "[".repeat(NESTED) + "]".repeat(NESTED)),
    place: ["100 levels"],
  },
  {
    title: "a subject of arrays, 100,000 deep",
    body: image({ subject: "HERE" }).replace('"HERE"', "[".repeat(NESTED) + "]".repeat(NESTED)),
    place: ["100 levels"],
  },
  {
    title: "a size of five thousand digits",
    body: image({ config: { ...CONFIG, size: "HERE" } }).replace('"HERE"', "9".repeat(5_000)),
    place: ["config", "size"],
  },
  ...["600.0", "6e2"].map((size): BadManifest => ({
    title: `a layer's size that is written ${size}`,
    body: image({ layers: [LAYER] }).replace(`"size":${LAYER.size}`, `"size":${size}`),
    place: ["layers", "size"],
  })),
  {
    title: "a size that a double rounds down to a good one",
    body: image({ config: { ...CONFIG, size: "HERE" } }).replace('"HERE"', "9007199254740992.5"),
    place: ["config", "size"],
  },
];
