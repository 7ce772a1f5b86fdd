/** Manifests that are none: 400 MANIFEST_INVALID with the place in the document, 413 beyond 4 MiB, and nothing stored. */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushBlob } from "../support/client.ts";
import { OCI_INDEX, OCI_MANIFEST, descriptorOf, digestOf } from "../support/content.ts";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import {
  BAD_DESCRIPTORS,
  BAD_HEADS,
  BAD_PARTS,
  CONFUSED,
  DUPLICATE_KEYS,
  NO_OBJECTS,
  image,
  index,
} from "./bad-manifests.ts";
import type { BadManifest } from "./bad-manifests.ts";
import { errorsOf, expectRefused } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import {
  ABSENT,
  CONFIG,
  IMAGE,
  IMAGE_TEXT,
  INDEX_TEXT,
  LAYER,
  LAYER_BYTES,
  OTHER_BLOB,
  OTHER_REPOSITORY,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";

const witness = useWitness();

const ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json";

const MAX_BYTES = 4 * 1024 * 1024;

function put(repository: string, reference: string, { body, mediaType = OCI_MANIFEST }: BadManifest): RawRequest {
  return {
    method: "PUT",
    target: `/v2/${repository}/manifests/${reference}`,
    headers: { "Content-Type": mediaType },
    body,
  };
}

/** Asserts that a manifest is refused by tag and by digest, with the place that is wrong, and is not served. */
async function expectInvalid(row: BadManifest, repositories: readonly string[] = [REPOSITORY, ABSENT]): Promise<void> {
  const { registry } = witness();
  const digest = digestOf(row.body);
  for (const repository of repositories) {
    for (const reference of ["refused", digest]) {
      const reply = await expectRefused(registry, put(repository, reference, row), "400 MANIFEST_INVALID");
      for (const part of row.place ?? []) expect(JSON.stringify(errorsOf(reply))).toContain(part);
    }
  }
  await expectRefused(registry, { target: `/v2/${REPOSITORY}/manifests/${digest}` }, "404 MANIFEST_UNKNOWN");
}

for (const [title, rows] of [
  ["a body that is not one JSON object in UTF-8", NO_OBJECTS],
  ["a key that stands twice", DUPLICATE_KEYS],
  ["a version or a type that is another", BAD_HEADS],
  ["an image and an index in one", CONFUSED],
  ["a part that is none", BAD_PARTS],
  ["a descriptor that is none", BAD_DESCRIPTORS],
] as const) {
  describe(`${title}: 400 MANIFEST_INVALID`, () => {
    for (const row of rows) test(row.title, () => expectInvalid(row));
    testUnchanged(witness, ABSENT);
  });
}

/** A layer that was never pushed. */
function absent(seed: string): typeof LAYER {
  return descriptorOf(LAYER.mediaType, `${seed} was never pushed`);
}

function layersThatAreAbsent(count: number): readonly (typeof LAYER)[] {
  return Array.from({ length: count }, (_, at) => ({ ...LAYER, digest: digestOf(`layer ${at}`) }));
}

describe("a list of more descriptors than limits.descriptors: 400 MANIFEST_INVALID, whatever is here", () => {
  const layers = Array.from({ length: 10_001 }, () => LAYER);
  const rows: readonly BadManifest[] = [
    { title: "layers", body: image({ layers }), place: ["layers", "10001", "limits.descriptors"] },
    { title: "manifests", body: index({ manifests: layers }), mediaType: OCI_INDEX, place: ["manifests", "10001"] },
    {
      title: "blobs",
      body: JSON.stringify({ mediaType: ARTIFACT, artifactType: "application/x", blobs: layers }),
      mediaType: ARTIFACT,
      place: ["blobs", "10001"],
    },
  ];
  for (const row of rows) test(row.title, () => expectInvalid(row));
  testUnchanged(witness, ABSENT);
});

function repeated(value: (at: number) => string): string {
  return Array.from({ length: 150_000 }, (_, at) => value(at)).join();
}

describe("more values than a manifest may have: 400 MANIFEST_INVALID", () => {
  const rows: readonly BadManifest[] = [
    { title: "annotations", body: `{"annotations":{${repeated((at) => `"${at}":""`)}}}`, place: ["120000"] },
    { title: "unknown members", body: `{${repeated((at) => `"${at}":0`)}}`, place: ["120000"] },
    { title: "empty objects in a list", body: `{"layers":[${repeated(() => "{}")}]}`, place: ["120000"] },
    { title: "lists in lists", body: `{"x":${"[".repeat(101)}${"]".repeat(101)}}`, place: ["100"] },
  ];
  for (const row of rows) test(row.title, () => expectInvalid(row));
  testUnchanged(witness, ABSENT);
});

describe("content that is not in the repository: 400 MANIFEST_BLOB_UNKNOWN, one error for each digest", () => {
  // Its bytes are here, but under another digest: identity is per algorithm.
  const sha512 = digestOf(LAYER_BYTES, "sha512");
  const [first, second, third] = [absent("one"), absent("two"), absent("three")];
  const rows: readonly (BadManifest & { readonly digests: readonly string[] })[] = [
    { title: "a config", body: image({ config: first }), digests: [first.digest] },
    { title: "a layer", body: image({ layers: [LAYER, first] }), digests: [first.digest] },
    {
      title: "a config and two layers",
      body: image({ config: first, layers: [second, LAYER, third] }),
      digests: [first.digest, second.digest, third.digest],
    },
    { title: "a layer that is named twice", body: image({ layers: [first, LAYER, first] }), digests: [first.digest] },
    { title: "a blob of another repository", body: image({ layers: [OTHER_BLOB] }), digests: [OTHER_BLOB.digest] },
    { title: "a layer under its sha512", body: image({ layers: [{ ...LAYER, digest: sha512 }] }), digests: [sha512] },
    {
      title: "a layer of an algorithm that is grammatical, and unknown",
      body: image({
        layers: [{ ...LAYER, digest: "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8" }],
      }),
      digests: ["multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"],
    },
    {
      title: "a layer of blake3",
      body: image({ layers: [{ ...LAYER, digest: `blake3:${"a".repeat(64)}` }] }),
      digests: [`blake3:${"a".repeat(64)}`],
    },
    { title: "a manifest as a layer", body: image({ layers: [IMAGE] }), digests: [IMAGE.digest] },
    {
      title: "a manifest in an index",
      body: index({ manifests: [IMAGE, { ...IMAGE, digest: UNKNOWN_DIGEST }] }),
      mediaType: OCI_INDEX,
      digests: [UNKNOWN_DIGEST],
    },
  ];
  for (const row of rows) {
    test(row.title, async () => {
      const { registry } = witness();
      const reply = await expectRefused(registry, put(REPOSITORY, "refused", row), "400 MANIFEST_BLOB_UNKNOWN");
      const errors = errorsOf(reply);
      expect(errors.map((error) => error.code)).toEqual(row.digests.map(() => "MANIFEST_BLOB_UNKNOWN"));
      const details = JSON.stringify(errors.map((error) => error.detail));
      for (const digest of row.digests) expect(details).toContain(digest);
      const target = `/v2/${REPOSITORY}/manifests/${digestOf(row.body)}`;
      await expectRefused(registry, { target }, "404 MANIFEST_UNKNOWN");
    });
  }

  test("ten thousand layers: the first twenty are listed, and the message says how many more there are", async () => {
    const layers = layersThatAreAbsent(10_000);
    const row = { title: "", body: image({ layers }) };
    const reply = await expectRefused(witness().registry, put(REPOSITORY, "refused", row), "400 MANIFEST_BLOB_UNKNOWN");
    expect(errorsOf(reply).map((error) => error.detail)).toEqual(layers.slice(0, 20).map(({ digest }) => ({ digest })));
    for (const { message } of errorsOf(reply)) expect(message).toContain("9980");
  });

  test("twenty layers: all are listed", async () => {
    const row = { title: "", body: image({ layers: layersThatAreAbsent(20) }) };
    const reply = await expectRefused(witness().registry, put(REPOSITORY, "refused", row), "400 MANIFEST_BLOB_UNKNOWN");
    expect(errorsOf(reply).length).toBe(20);
  });

  test("an image whose content is elsewhere does not bring its repository into being", async () => {
    const row = { title: "", body: IMAGE_TEXT };
    const reply = await expectRefused(witness().registry, put(ABSENT, "v1", row), "400 MANIFEST_BLOB_UNKNOWN");
    expect(errorsOf(reply).length).toBe(2);
  });

  test("a manifest of another repository, in an index", async () => {
    const row = { title: "", body: INDEX_TEXT, mediaType: OCI_INDEX };
    await expectRefused(witness().registry, put(OTHER_REPOSITORY, "refused", row), "400 MANIFEST_BLOB_UNKNOWN");
  });
  testUnchanged(witness, ABSENT);
});

/** An image of exactly so many bytes. */
function ofSize(bytes: number): string {
  const empty = image({ annotations: { padding: "" } });
  return image({ annotations: { padding: "x".repeat(bytes - empty.length) } });
}

describe("the size of a manifest", () => {
  const bodies: readonly (readonly [title: string, body: string | Uint8Array])[] = [
    ["4 MiB and one byte", ofSize(MAX_BYTES + 1)],
    ["4 MiB and one byte that is no manifest", new Uint8Array(MAX_BYTES + 1)],
    ["8 MiB", ofSize(2 * MAX_BYTES)],
    ["20 MiB of zeros", new Uint8Array(5 * MAX_BYTES)],
  ];
  for (const [title, body] of bodies) {
    for (const reference of ["refused", digestOf(body)]) {
      const by = reference === "refused" ? "by tag" : "by digest";

      test(`${title}, ${by} and with a Content-Length: 413 SIZE_INVALID`, async () => {
        const wanted = put(REPOSITORY, reference, { title, body });
        await expectRefused(witness().registry, wanted, "413 SIZE_INVALID");
      });

      test(`${title}, ${by} and in chunks: 413 SIZE_INVALID`, async () => {
        const chunks = [body.slice(0, 1_000_000), body.slice(1_000_000)];
        const { body: _, ...wanted } = put(REPOSITORY, reference, { title, body });
        await expectRefused(witness().registry, { ...wanted, chunks }, "413 SIZE_INVALID");
      });
    }
  }

  test("none of them is stored", async () => {
    for (const [, body] of bodies) {
      const target = `/v2/${REPOSITORY}/manifests/${digestOf(body)}`;
      await expectRefused(witness().registry, { target }, "404 MANIFEST_UNKNOWN");
    }
  });
  testUnchanged(witness);

  for (const framing of ["with a Content-Length", "in chunks"]) {
    test(`exactly 4 MiB ${framing} is taken, and given back byte by byte`, async () => {
      const { registry } = witness();
      const body = ofSize(MAX_BYTES);
      expect(Buffer.byteLength(body)).toBe(4_194_304);
      const { body: _, ...head } = put(REPOSITORY, digestOf(body), { title: "", body });
      const sent = framing === "in chunks" ? { chunks: [body.slice(0, 7), body.slice(7)] } : { body };
      expect((await request(registry.port, { ...head, ...sent })).status).toBe(201);
      const pulled = await fetch(`${registry.url}/v2/${REPOSITORY}/manifests/${digestOf(body)}`);
      expect((await pulled.text()) === body).toBe(true);
    });
  }
});

describe("tags beside a digest", () => {
  const unpushed = image({ annotations: { only: "pushed with tags beside its digest" } });
  const digest = digestOf(unpushed);
  const wanted = (reference: string, query: string): RawRequest =>
    put(REPOSITORY, `${reference}?${query}`, { title: "", body: unpushed });

  const invalid = [
    "tag=",
    "tag",
    "tag=-lead",
    "tag=.lead",
    "tag=a%20b",
    "tag=a%2fb",
    "tag=a:b",
    `tag=${"a".repeat(129)}`,
    "tag=t%C3%A4g",
  ];
  for (const query of invalid) {
    for (const whole of [query, `tag=good&${query}`, `${query}&tag=good`]) {
      test(`${whole.slice(0, 40)}: 400 TAG_INVALID, and nothing is stored`, async () => {
        const { registry } = witness();
        await expectRefused(registry, wanted(digest, whole), "400 TAG_INVALID");
        await expectRefused(registry, { target: `/v2/${REPOSITORY}/manifests/${digest}` }, "404 MANIFEST_UNKNOWN");
      });
    }
  }

  test("tags beside a tag: 400", async () => {
    const codes: readonly Refusal[] = ["400 TAG_INVALID", "400 UNSUPPORTED", "400 MANIFEST_INVALID"];
    await expectRefused(witness().registry, wanted("refused", "tag=also-refused"), codes);
  });

  test("a few tags that are too long together for a header: 414, and nothing is stored", async () => {
    const { registry } = witness();
    const tags = Array.from({ length: 20 }, (_, at) => `tag=${String(at).padStart(3, "_")}${"a".repeat(125)}`);
    await expectRefused(registry, wanted(digest, tags.join("&")), "414 UNSUPPORTED");
    await expectRefused(registry, { target: `/v2/${REPOSITORY}/manifests/${digest}` }, "404 MANIFEST_UNKNOWN");
  });

  test("a thousand tags: 414, and nothing is stored", async () => {
    const { registry } = witness();
    const many = Array.from({ length: 1_000 }, (_, at) => `tag=t${at}`).join("&");
    await expectRefused(registry, wanted(digest, many), ["414 TAG_INVALID", "414 UNSUPPORTED", "414 SIZE_INVALID"]);
    await expectRefused(registry, { target: `/v2/${REPOSITORY}/manifests/${digest}` }, "404 MANIFEST_UNKNOWN");
  });
  testUnchanged(witness);
});

describe("strange manifests that are manifests", () => {
  beforeAll(() => pushBlob(witness().registry.url, REPOSITORY, "{}"));

  const rows: readonly BadManifest[] = [
    { title: "no layers", body: image({ layers: [] }) },
    { title: "an index of nothing", body: index({ manifests: [] }), mediaType: OCI_INDEX },
    { title: "an unknown property called __proto__", body: image({}).replace("{", '{"__proto__":{"polluted":true},') },
    { title: "an unknown property called constructor", body: image({ constructor: { prototype: null } }) },
    {
      title: "an annotation called __proto__",
      body: image({ annotations: JSON.parse('{"__proto__":"a"}') as unknown }),
    },
    {
      title: "an unknown type of layer",
      body: image({ layers: [{ ...LAYER, mediaType: "application/x.nobody-knows" }] }),
    },
    {
      title: "a key that is twice in a part the registry ignores",
      body: image({}).replace("{", '{"more":{"a":1,"a":2},'),
    },
    { title: "text that looks like a second key", body: image({ annotations: { a: '","layers":[],"' } }) },
    { title: "spaces and line breaks", body: `\n\t ${JSON.stringify(JSON.parse(IMAGE_TEXT), undefined, "\r\n\t")}\n` },
    {
      title: "data that is what it says",
      body: image({ config: { ...descriptorOf(CONFIG.mediaType, "{}"), data: "e30=" } }),
    },
    { title: "a subject that was never pushed", body: image({ subject: { ...IMAGE, digest: UNKNOWN_DIGEST } }) },
  ];
  for (const row of rows) {
    test(`${row.title}: 201, and given back byte by byte`, async () => {
      const { registry } = witness();
      const digest = digestOf(row.body);
      expect((await request(registry.port, put(REPOSITORY, digest, row))).status).toBe(201);
      const pulled = await fetch(`${registry.url}/v2/${REPOSITORY}/manifests/${digest}`);
      expect(await pulled.text()).toBe(String(row.body));
    });
  }

  test("arrays in a property the registry ignores, 100,000 deep: taken as they are, or refused with 400", async () => {
    const { registry } = witness();
    const nested = "[".repeat(100_000) + "]".repeat(100_000);
    const row = { title: "", body: image({ more: "HERE" }).replace('"HERE"', nested) };
    const wanted = put(REPOSITORY, digestOf(row.body), row);
    const reply = await request(registry.port, wanted);
    if (reply.status !== 201) {
      await expectInvalid(row);
      return;
    }
    const pulled = await fetch(`${registry.url}${wanted.target}`);
    expect((await pulled.text()) === row.body).toBe(true);
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
