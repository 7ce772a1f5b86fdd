/**
 * Manifests that deviate from the image-spec as tools of today write them, and as other registries hold them: they are
 * stored byte for byte, and a `Warning` names each place. With `validation.manifests.strict: true` they are refused.
 */
import { describe, expect, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectManifestCreated, expectManifestServed } from "./manifest-replies.ts";

const registry = useRegistry();
const strictRegistry = useRegistry({ env: { REGISTRY_VALIDATION_MANIFESTS_STRICT: "true" } });

const CONFIG_TEXT = '{"architecture":"amd64","os":"linux"}';
const LAYER_BYTES = bytesOf("a layer", 700);
const CONFIG = descriptorOf(OCI_CONFIG, CONFIG_TEXT);
const LAYER = descriptorOf(OCI_LAYER, LAYER_BYTES);
const CHILD_TEXT = imageManifest(CONFIG, [LAYER]);
const PLATFORM = { architecture: "amd64", os: "linux" };
const CHILD = descriptorOf(OCI_MANIFEST, CHILD_TEXT, { platform: PLATFORM });

type Fields = Readonly<Record<string, unknown>>;

function image(changes: Fields, mediaType: string = OCI_MANIFEST): string {
  return JSON.stringify({ schemaVersion: 2, mediaType, config: CONFIG, layers: [LAYER], ...changes });
}

function index(changes: Fields, mediaType: string = OCI_INDEX): string {
  return JSON.stringify({ schemaVersion: 2, mediaType, manifests: [CHILD], ...changes });
}

function withLayer(changes: Fields): string {
  return image({ layers: [LAYER, { ...LAYER, ...changes }] });
}

function withConfig(changes: Fields): string {
  return image({ config: { ...CONFIG, ...changes } });
}

function withChild(changes: Fields): string {
  return index({ manifests: [{ ...CHILD, ...changes }] });
}

interface Deviating {
  readonly title: string;
  readonly body: string;
  /** The `Content-Type`; an OCI image's when absent. */
  readonly mediaType?: string;
  /** The places that the warning names. */
  readonly paths: readonly string[];
}

const base64 = (content: string | Uint8Array): string => Buffer.from(content).toString("base64");

const SIZES: readonly Deviating[] = [
  { title: "a config of one byte more", body: withConfig({ size: CONFIG.size + 1 }), paths: ["config.size"] },
  { title: "a config of no bytes", body: withConfig({ size: 0 }), paths: ["config.size"] },
  { title: "a layer of one byte less", body: withLayer({ size: LAYER.size - 1 }), paths: ["layers[1].size"] },
  { title: "a layer of 2^53 - 1 bytes", body: withLayer({ size: 2 ** 53 - 1 }), paths: ["layers[1].size"] },
  {
    title: "an uncompressed size of every layer",
    body: image({ layers: [LAYER, LAYER].map((each) => ({ ...each, size: 10_240 })) }),
    paths: ["layers[0].size", "layers[1].size"],
  },
  {
    title: "a child of one byte more",
    body: withChild({ size: CHILD.size + 1 }),
    mediaType: OCI_INDEX,
    paths: ["manifests[0].size"],
  },
  {
    title: "a child of a Docker list of no bytes",
    body: index({ manifests: [{ ...CHILD, size: 0 }] }, DOCKER_LIST),
    mediaType: DOCKER_LIST,
    paths: ["manifests[0].size"],
  },
];

const DATA: readonly Deviating[] = [
  { title: "data of another content", body: withConfig({ data: base64("{}") }), paths: ["config.data"] },
  {
    title: "data that is cut off",
    body: withLayer({ data: base64(LAYER_BYTES.subarray(1)) }),
    paths: ["layers[1].data"],
  },
  { title: "no data at all", body: withConfig({ data: "" }), paths: ["config.data"] },
  { title: "data with a line break", body: withConfig({ data: `${base64(CONFIG_TEXT)}\n` }), paths: ["config.data"] },
  {
    title: "a child's data as it was before the child was changed",
    body: withChild({ data: base64(`${CHILD_TEXT} `) }),
    mediaType: OCI_INDEX,
    paths: ["manifests[0].data"],
  },
  {
    title: "a subject's data of another content",
    body: image({ subject: { ...CHILD, data: base64("another") } }),
    paths: ["subject.data"],
  },
];

const LISTS: readonly Deviating[] = [
  { title: "layers that are null", body: image({ layers: null }), paths: ["layers"] },
  { title: "layers that are absent", body: image({ layers: undefined }), paths: ["layers"] },
  {
    title: "layers that are absent, and a type in the header alone",
    body: image({ layers: undefined, mediaType: undefined, artifactType: "application/vnd.example" }),
    paths: ["layers"],
  },
  {
    title: "layers of a Docker image that are null",
    body: image({ layers: null }, DOCKER_MANIFEST),
    mediaType: DOCKER_MANIFEST,
    paths: ["layers"],
  },
  { title: "manifests that are null", body: index({ manifests: null }), mediaType: OCI_INDEX, paths: ["manifests"] },
  {
    title: "manifests that are absent",
    body: index({ manifests: undefined }),
    mediaType: OCI_INDEX,
    paths: ["manifests"],
  },
];

const NULLS: readonly Deviating[] = [
  ...["mediaType", "artifactType", "subject", "annotations", "manifests"].map((member): Deviating => ({
    title: `${member} of an image that is null`,
    body: image({ [member]: null }),
    paths: [member],
  })),
  ...["mediaType", "artifactType", "subject", "annotations", "layers", "config"].map((member): Deviating => ({
    title: `${member} of an index that is null`,
    body: index({ [member]: null }),
    mediaType: OCI_INDEX,
    paths: [member],
  })),
  ...["artifactType", "annotations", "data", "urls", "platform"].map((member): Deviating => ({
    title: `${member} of a layer that is null`,
    body: withLayer({ [member]: null }),
    paths: [`layers[1].${member}`],
  })),
  ...["variant", "os.version", "os.features", "features", "os", "architecture"].map((member): Deviating => ({
    title: `${member} of a platform that is null`,
    body: withChild({ platform: { ...PLATFORM, [member]: null } }),
    mediaType: OCI_INDEX,
    paths: [`manifests[0].platform.${member}`],
  })),
  { title: "an annotation that is null", body: image({ annotations: { a: null, b: "" } }), paths: ["annotations.a"] },
  {
    title: "a platform without members",
    body: withChild({ platform: {} }),
    mediaType: OCI_INDEX,
    paths: ["manifests[0].platform.architecture", "manifests[0].platform.os"],
  },
];

const TYPES: readonly Deviating[] = [
  ...["sbom", "text/plain; charset=utf-8", "a/b/c", "ä/ö", "a b", ""].flatMap((mediaType): readonly Deviating[] => [
    { title: `a layer of type "${mediaType}"`, body: withLayer({ mediaType }), paths: ["layers[1].mediaType"] },
    { title: `a config of type "${mediaType}"`, body: withConfig({ mediaType }), paths: ["config.mediaType"] },
    {
      title: `a child of type "${mediaType}"`,
      body: withChild({ mediaType }),
      mediaType: OCI_INDEX,
      paths: ["manifests[0].mediaType"],
    },
  ]),
  ...["sbom", "application/vnd.example; version=2"].flatMap((artifactType): readonly Deviating[] => [
    { title: `an artifact type "${artifactType}"`, body: image({ artifactType }), paths: ["artifactType"] },
    {
      title: `a child's artifact type "${artifactType}"`,
      body: withChild({ artifactType }),
      mediaType: OCI_INDEX,
      paths: ["manifests[0].artifactType"],
    },
  ]),
  { title: "an empty type of its own", body: image({ mediaType: "" }), paths: ["mediaType"] },
  { title: "its own type with parameters", body: image({ mediaType: `${OCI_MANIFEST}; a=b` }), paths: ["mediaType"] },
];

const URLS: readonly Deviating[] = [
  { title: "a path", body: withLayer({ urls: ["layers/one.tar"] }), paths: ["layers[1].urls[0]"] },
  { title: "an empty text", body: withLayer({ urls: [""] }), paths: ["layers[1].urls[0]"] },
  {
    title: "a host among others",
    body: withConfig({ urls: ["https://example.com/a", "//example.com/a"] }),
    paths: ["config.urls[1]"],
  },
];

/** A repository that has a config, a layer and an image. */
async function filled(url: string, name: string): Promise<RepositoryClient> {
  await pushBlob(url, name, CONFIG_TEXT);
  await pushBlob(url, name, LAYER_BYTES);
  expect((await putManifest(url, name, digestOf(CHILD_TEXT), CHILD_TEXT)).status).toBe(201);
  return new RepositoryClient(url, name);
}

/** The text of a `Warning`, as containers/image and others read it: agent `-`, no date. */
function warningOf(reply: Response): string {
  const header = reply.headers.get("warning") ?? "";
  expect(header.length).toBeLessThanOrEqual(4096);
  const [, text = ""] = /^299 - "((?:[ !#-[\]-~]|\\["\\])*)"$/.exec(header) ?? [];
  return text;
}

for (const [what, rows] of [
  ["a size that is not the content's", SIZES],
  ["data that is not the content", DATA],
  ["a list that is absent or null", LISTS],
  ["an optional member that is null", NULLS],
  ["a type with parameters or without a slash", TYPES],
  ["urls that are not absolute", URLS],
] as const) {
  describe(`a manifest with ${what} is stored as it came, with a warning; a strict registry refuses it with 400`, () => {
    for (const { title, body, mediaType = OCI_MANIFEST, paths } of rows) {
      test(title, async () => {
        const { url } = registry();
        const target = await filled(url, "deviations/liberal");
        const byTag = await putManifest(url, target.name, "v1", body, mediaType);
        const warning = warningOf(byTag);
        for (const path of paths) expect(warning).toContain(`${path} `);
        await expectManifestCreated(byTag, target, digestOf(body), body, mediaType);
        await expectManifestServed(target, "v1", digestOf(body), body, mediaType);
        const byDigest = await putManifest(url, target.name, digestOf(body), body, mediaType);
        expect([byDigest.status, warningOf(byDigest)]).toEqual([201, warning]);

        const strict = await filled(strictRegistry().url, "deviations/strict");
        const refused = await putManifest(strictRegistry().url, strict.name, "v1", body, mediaType);
        expect(refused.status).toBe(400);
        expect(await refused.json()).toMatchObject({
          errors: [{ code: "MANIFEST_INVALID", detail: { path: paths[0] } }],
        });
        await expectRefused(await strict.get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
      });
    }
  });
}

test("a manifest without deviations has no warning, and a strict registry takes it", async () => {
  for (const { url } of [registry(), strictRegistry()]) {
    const target = await filled(url, "deviations/none");
    for (const [body, mediaType] of [
      [image({}), OCI_MANIFEST],
      [image({}, DOCKER_MANIFEST), DOCKER_MANIFEST],
      [index({}), OCI_INDEX],
      [image({ artifactType: "" }), OCI_MANIFEST],
      [withConfig({ data: base64(CONFIG_TEXT), urls: [] }), OCI_MANIFEST],
      [withChild({ platform: { architecture: "", os: "", variant: "v8" } }), OCI_INDEX],
    ] as const) {
      const reply = await putManifest(url, target.name, "v1", body, mediaType);
      expect([reply.status, reply.headers.get("warning")]).toEqual([201, null]);
    }
  }
});

describe("what is answered is exact, whatever a manifest says", () => {
  test("a blob has its own size, and so has a range of it", async () => {
    const target = await filled(registry().url, "deviations/blob-size");
    const body = image({ layers: [{ ...LAYER, size: 5 }] });
    expect((await putManifest(registry().url, target.name, "v1", body)).status).toBe(201);
    const head = await target.head(`blobs/${LAYER.digest}`);
    expect(head.headers.get("content-length")).toBe(String(LAYER_BYTES.length));
    const pulled = await target.get(`blobs/${LAYER.digest}`);
    expect(Buffer.from(await pulled.arrayBuffer()).equals(LAYER_BYTES)).toBe(true);
    const range = await target.send("GET", `blobs/${LAYER.digest}`, { headers: { range: "bytes=5-" } });
    expect(range.headers.get("content-range")).toBe(`bytes 5-${LAYER_BYTES.length - 1}/${LAYER_BYTES.length}`);
  });

  test("a referrer is listed with its own size, the type that it says, and annotations that are texts", async () => {
    const target = await filled(registry().url, "deviations/referrers");
    const subject = { ...CHILD, size: 1, platform: null };
    const annotations = { "org.example.none": null, "org.example.some": "yes" };
    const body = image({ subject, artifactType: "sbom", annotations, config: { ...CONFIG, size: 3 } });
    const put = await putManifest(registry().url, target.name, digestOf(body), body);
    expect([put.status, put.headers.get("oci-subject")]).toEqual([201, CHILD.digest]);
    const expected = {
      mediaType: OCI_MANIFEST,
      digest: digestOf(body),
      size: Buffer.byteLength(body),
      artifactType: "sbom",
      annotations: { "org.example.some": "yes" },
    };
    for (const query of ["", "?artifactType=sbom"]) {
      const listed = (await (await target.get(`referrers/${CHILD.digest}${query}`)).json()) as { manifests: unknown };
      expect(listed.manifests).toEqual([expected]);
    }
  });

  test("a referrer whose config has no type has no artifact type", async () => {
    const target = await filled(registry().url, "deviations/no-artifact-type");
    const body = image({ subject: CHILD, config: { ...CONFIG, mediaType: "" } });
    expect((await putManifest(registry().url, target.name, digestOf(body), body)).status).toBe(201);
    const listed = (await (await target.get(`referrers/${CHILD.digest}`)).json()) as { manifests: TestDescriptor[] };
    expect(listed.manifests).toEqual([descriptorOf(OCI_MANIFEST, body)]);
  });

  test("a Docker client of before 2016 gets the child of a list whose size is another", async () => {
    const target = new RepositoryClient(registry().url, "deviations/old-client");
    const child = await pushImage(registry().url, target.name, undefined);
    const manifests = [{ mediaType: DOCKER_MANIFEST, digest: child.digest, size: 1, platform: PLATFORM }];
    const list = index({ manifests }, DOCKER_LIST);
    expect((await putManifest(registry().url, target.name, "v1", list, DOCKER_LIST)).status).toBe(201);
    const pulled = await target.send("GET", "manifests/v1", { headers: { accept: DOCKER_MANIFEST } });
    expect(pulled.headers.get("docker-content-digest")).toBe(child.digest);
  });
});

describe("content has to be here all the same", () => {
  const absent = descriptorOf(OCI_LAYER, "a layer that nobody pushed");
  const rows: readonly (readonly [title: string, body: string])[] = [
    ["a layer whose url is a path", image({ layers: [{ ...absent, urls: ["layers/one.tar"] }] })],
    ["a layer whose url is null", image({ layers: [{ ...absent, urls: null }] })],
    ["a config with a url", image({ config: { ...absent, urls: ["https://example.com/config"] } })],
    ["a layer that is in its data", image({ layers: [{ ...absent, data: base64("a layer that nobody pushed") }] })],
  ];
  for (const [title, body] of rows) {
    test(`${title}: 400 MANIFEST_BLOB_UNKNOWN`, async () => {
      const target = await filled(registry().url, "deviations/absent");
      await expectRefused(await putManifest(registry().url, target.name, "v1", body), 400, "MANIFEST_BLOB_UNKNOWN");
    });
  }
});

describe("the warning", () => {
  test("names the first places of many, and counts the others", async () => {
    const target = await filled(registry().url, "deviations/many");
    const layers = Array.from({ length: 10_000 }, () => ({ ...LAYER, mediaType: "layer" }));
    const warning = warningOf(await putManifest(registry().url, target.name, "v1", image({ layers })));
    expect(warning).toContain("layers[0].mediaType ");
    expect(warning).toContain("9992 more ");
  });

  test("is within the header's grammar and bounds, whatever a key is", async () => {
    const target = await filled(registry().url, "deviations/keys");
    for (const key of ['"\\', "\r\nSet-Cookie: a=b", "ключ\u0085\u009b", "k".repeat(2_000_000)]) {
      const annotations = Object.fromEntries(
        Array.from({ length: 100 }, (_, at) => [`${at}${key}`.slice(0, 2e6), null]),
      );
      const body = image({ annotations: key.length > 1e6 ? { [key]: null } : annotations });
      const reply = await putManifest(registry().url, target.name, "v1", body);
      expect(reply.status).toBe(201);
      expect(warningOf(reply)).toContain("annotations.");
      expect(reply.headers.get("set-cookie")).toBeNull();
    }
  });
});

/** In our own words, manifests of kinds that stand in the test data of other projects. */
describe("manifests as other projects write them", () => {
  test("a helm chart whose types are words", async () => {
    const target = await filled(registry().url, "deviations/chart");
    const body = image({ config: { ...CONFIG, mediaType: "config" }, layers: [{ ...LAYER, mediaType: "chart" }] });
    await expectManifestCreated(
      await putManifest(registry().url, target.name, "1.0.0", body),
      target,
      digestOf(body),
      body,
      OCI_MANIFEST,
    );
  });

  test("a manifest written by hand: no layers, a size that was copied", async () => {
    const target = await filled(registry().url, "deviations/by-hand");
    await pushBlob(registry().url, target.name, "{}");
    const config = { mediaType: OCI_EMPTY, digest: digestOf("{}"), size: 53 };
    const body = JSON.stringify({ schemaVersion: 2, mediaType: "", config });
    const reply = await putManifest(registry().url, target.name, "v1", body);
    expect(warningOf(reply)).toContain("config.size is 53");
    await expectManifestCreated(reply, target, digestOf(body), body, OCI_MANIFEST);
  });

  test("an empty layout's index, whose list is null", async () => {
    const target = await filled(registry().url, "deviations/layout");
    const body = '{"schemaVersion":2,"manifests":null}';
    const reply = await putManifest(registry().url, target.name, "v1", body, OCI_INDEX);
    await expectManifestCreated(reply, target, digestOf(body), body, OCI_INDEX);
    const untyped = await putManifest(registry().url, target.name, "v2", body, "");
    await expectRefused(untyped, 400, "MANIFEST_INVALID");
  });
});
