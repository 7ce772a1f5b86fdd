/** Pushing and pulling manifests (distribution-spec, "Pulling manifests", "Pushing Manifests", end-3, end-7a). */
import { describe, expect, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  imageIndex,
  imageManifest,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { request } from "../support/raw-request.ts";
import { RepositoryClient, streamOf } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectManifestCreated, expectManifestServed } from "./manifest-replies.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const UNKNOWN = digestOf("nobody pushed this");
const MIB = 1024 * 1024;

/** Pushes a config and a layer, and gives their descriptors. */
async function pushBlobs(name: string, seed: string = name): Promise<[config: TestDescriptor, layer: TestDescriptor]> {
  const [config, layer] = [JSON.stringify({ architecture: "amd64", os: "linux", seed }), bytesOf(seed, 600)];
  await pushBlob(registry().url, name, config);
  await pushBlob(registry().url, name, layer);
  return [descriptorOf(OCI_CONFIG, config), descriptorOf(OCI_LAYER, layer)];
}

/** An index of exactly `size` bytes. */
const padded = (size: number): string => {
  const bare = imageIndex([], { annotations: { padding: "" } });
  return imageIndex([], { annotations: { padding: "x".repeat(size - bare.length) } });
};

describe("PUT by tag and by digest (end-7a)", () => {
  for (const algorithm of ["sha256", "sha512"] as const) {
    test(`by ${algorithm} digest: 201, the digest, and where the same bytes are`, async () => {
      const manifests = repository(`manifests/by-digest/${algorithm}`);
      const [config, layer] = await pushBlobs(manifests.name);
      const body = imageManifest(config, [layer]);
      const digest = digestOf(body, algorithm);
      const reply = await putManifest(registry().url, manifests.name, digest, body);
      await expectManifestCreated(reply, manifests, digest, body, OCI_MANIFEST);
      expect(await manifests.tags()).toEqual([]);
    });

    test(`by ${algorithm} digest: bytes that have another are refused`, async () => {
      const manifests = repository(`manifests/bad-digest/${algorithm}`);
      const [config, layer] = await pushBlobs(manifests.name);
      const body = imageManifest(config, [layer]);
      const digest = digestOf(body, algorithm);
      // As the official suite has it: two spaces behind.
      for (const changed of [`${body}  `, `${body}\n`, ` ${body}`, imageManifest(config, [])]) {
        const reply = await putManifest(registry().url, manifests.name, digest, changed);
        await expectRefused(reply, 400, "DIGEST_INVALID");
      }
      expect((await manifests.head(`manifests/${digest}`)).status).toBe(404);
    });
  }

  test("by tag: 201 and the SHA-256 digest", async () => {
    const manifests = repository("manifests/by-tag");
    const [config, layer] = await pushBlobs(manifests.name);
    const body = imageManifest(config, [layer]);
    const reply = await putManifest(registry().url, manifests.name, "v1", body);
    await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
    await expectManifestServed(manifests, "v1", digestOf(body), body, OCI_MANIFEST);
    expect(await manifests.tags()).toEqual(["v1"]);
  });

  test("again: nothing changes", async () => {
    const manifests = repository("manifests/again");
    const [config, layer] = await pushBlobs(manifests.name);
    const body = imageManifest(config, [layer]);
    for (const reference of ["v1", "v1", digestOf(body), digestOf(body), "v2"]) {
      const reply = await putManifest(registry().url, manifests.name, reference, body);
      await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
    }
    expect(await manifests.tags()).toEqual(["v1", "v2"]);
  });

  test("a tag moves to what was pushed last; what it named before stays under its digest", async () => {
    const manifests = repository("manifests/moving-tag");
    const images = [];
    for (const seed of ["one", "two", "one"])
      images.push(await pushImage(registry().url, manifests.name, "latest", seed));
    const [one, two] = images;
    await expectManifestServed(manifests, "latest", one!.digest, one!.body, OCI_MANIFEST);
    await expectManifestServed(manifests, two!.digest, two!.digest, two!.body, OCI_MANIFEST);
    expect(await manifests.tags()).toEqual(["latest"]);
  });

  test("many tags at once, and one tag by many", async () => {
    const manifests = repository("manifests/at-once");
    const [config, layer] = await pushBlobs(manifests.name);
    const bodies = Array.from({ length: 16 }, (_, at) =>
      imageManifest(config, [layer], { annotations: { at: `${at}` } }),
    );
    const replies = await Promise.all(
      bodies.flatMap((body, at) => [
        putManifest(registry().url, manifests.name, `tag-${at}`, body),
        putManifest(registry().url, manifests.name, "latest", body),
      ]),
    );
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201));
    for (const [at, body] of bodies.entries()) {
      await expectManifestServed(manifests, `tag-${at}`, digestOf(body), body, OCI_MANIFEST);
    }
    const latest = await manifests.get("manifests/latest");
    expect(bodies).toContain(await latest.text());
  });
});

describe("the bytes are kept exactly", () => {
  // "The registry MUST store the manifest in the exact byte representation provided by the client."
  const rows: readonly (readonly [title: string, write: (config: TestDescriptor, layer: TestDescriptor) => string])[] =
    [
      ["indented", (config, layer) => JSON.stringify(JSON.parse(imageManifest(config, [layer])), null, 3)],
      ["with a line break behind", (config, layer) => `${imageManifest(config, [layer])}\n`],
      ["with blanks around", (config, layer) => `\t\r\n ${imageManifest(config, [layer])} \n\n`],
      [
        "with keys in another order",
        (config, layer) => JSON.stringify({ layers: [layer], config, mediaType: OCI_MANIFEST, schemaVersion: 2 }),
      ],
      [
        "with escapes where none are needed",
        (config, layer) =>
          imageManifest(config, [layer])
            .replaceAll("/", String.raw`\/`)
            .replace("schema", String.raw`\u0073chema`),
      ],
      [
        "with text of many scripts",
        (config, layer) =>
          imageManifest(config, [layer], { annotations: { "org.example.text": "Größe 大きさ 🐳 \u2028" } }),
      ],
      [
        "with numbers written unusually",
        (config, layer) =>
          imageManifest(config, [layer]).replace(
            '"schemaVersion":2',
            '"schemaVersion":2,"x":1.0e+2,"y":9007199254740993',
          ),
      ],
    ];
  for (const [title, write] of rows) {
    test(title, async () => {
      const manifests = repository("manifests/exact");
      const body = write(...(await pushBlobs(manifests.name)));
      const reply = await putManifest(registry().url, manifests.name, digestOf(body), body);
      await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
    });
  }
});

describe("the content type", () => {
  const TYPES: readonly (readonly [type: string, write: (config: TestDescriptor, layer: TestDescriptor) => string])[] =
    [
      [OCI_MANIFEST, (config, layer) => imageManifest(config, [layer])],
      [OCI_INDEX, () => imageIndex([])],
      [DOCKER_MANIFEST, (config, layer) => imageManifest(config, [layer], { mediaType: DOCKER_MANIFEST })],
      [DOCKER_LIST, () => imageIndex([], { mediaType: DOCKER_LIST })],
    ];
  for (const [type, write] of TYPES) {
    test(`${type} is served as it was pushed`, async () => {
      const manifests = repository("manifests/types");
      const body = write(...(await pushBlobs(manifests.name)));
      const reply = await putManifest(registry().url, manifests.name, "v1", body, type);
      await expectManifestCreated(reply, manifests, digestOf(body), body, type);
      await expectManifestServed(manifests, "v1", digestOf(body), body, type);
    });

    test(`${type}: its parameters are ignored`, async () => {
      // "The registry SHOULD ignore parameters on the Content-Type header", and "SHOULD NOT include parameters".
      const manifests = repository("manifests/type-parameters");
      const body = write(...(await pushBlobs(manifests.name)));
      for (const parameters of ["; charset=utf-8", ";charset=UTF-8; x=y", " ; q=1"]) {
        const reply = await putManifest(registry().url, manifests.name, "v1", body, `${type}${parameters}`);
        await expectManifestCreated(reply, manifests, digestOf(body), body, type);
      }
    });

    test(`${type}: found out from the body when it is missing`, async () => {
      const manifests = repository("manifests/no-type");
      const body = write(...(await pushBlobs(manifests.name)));
      const target = `/v2/${manifests.name}/manifests/v1`;
      const reply = await request(registry().port, { method: "PUT", target, body });
      expect(reply.status).toBe(201);
      await expectManifestServed(manifests, "v1", digestOf(body), body, type);
    });

    test(`${type}: another than the manifest names is refused`, async () => {
      const manifests = repository("manifests/other-type");
      const body = write(...(await pushBlobs(manifests.name)));
      for (const [other] of TYPES.filter(([each]) => each !== type)) {
        const reply = await putManifest(registry().url, manifests.name, "v1", body, other);
        await expectRefused(reply, 400, "MANIFEST_INVALID");
      }
      expect((await manifests.head("manifests/v1")).status).toBe(404);
    });
  }

  test("a manifest that names no type has that of the request", async () => {
    const manifests = repository("manifests/unnamed-type");
    const [config, layer] = await pushBlobs(manifests.name);
    const image = imageManifest(config, [layer], { mediaType: undefined });
    const index = imageIndex([], { mediaType: undefined });
    for (const [body, type] of [
      [image, OCI_MANIFEST],
      [index, OCI_INDEX],
    ] as const) {
      const reply = await putManifest(registry().url, manifests.name, digestOf(body), body, type);
      await expectManifestCreated(reply, manifests, digestOf(body), body, type);
    }
  });

  test("one that no manifest has is refused", async () => {
    const manifests = repository("manifests/foreign-type");
    const [config, layer] = await pushBlobs(manifests.name);
    for (const type of ["application/json", "text/plain", "application/vnd.example.manifest.v1+json"]) {
      const body = imageManifest(config, [layer], { mediaType: type });
      await expectRefused(await putManifest(registry().url, manifests.name, "v1", body, type), 400, "MANIFEST_INVALID");
    }
  });
});

describe("GET and HEAD (end-3)", () => {
  test("HEAD has the headers of GET, and no body", async () => {
    const manifests = repository("manifests/head");
    const image = await pushImage(registry().url, manifests.name, "v1");
    for (const reference of ["v1", image.digest]) {
      const target = `/v2/${manifests.name}/manifests/${reference}`;
      const head = await request(registry().port, { method: "HEAD", target });
      const get = await request(registry().port, { target });
      expect(head.body).toBe("");
      const own = { date: "", "x-request-id": "" };
      expect({ ...head.headers, ...own }).toEqual({ ...get.headers, ...own });
      expect(get.headers).toMatchObject({
        "content-type": OCI_MANIFEST,
        "content-length": `${image.body.length}`,
        "docker-content-digest": image.digest,
        etag: `"${image.digest}"`,
        vary: "Accept",
      });
      expect(get.body).toBe(image.body);
    }
  });

  test("what is not there is not found", async () => {
    const manifests = repository("manifests/missing");
    await pushImage(registry().url, manifests.name, "v1");
    for (const reference of ["v2", "V1", UNKNOWN, digestOf("nobody", "sha512"), "-v1", "v1!", "x".repeat(129)]) {
      await expectRefused(await manifests.get(`manifests/${reference}`), 404, "MANIFEST_UNKNOWN");
      expect((await manifests.head(`manifests/${reference}`)).status).toBe(404);
    }
  });

  test("a repository that does not exist is not found", async () => {
    // "An attempt to pull a nonexistent repository MUST return response code 404 Not Found."
    const absent = repository("manifests/nobody");
    for (const reference of ["v1", UNKNOWN]) {
      await expectRefused(await absent.get(`manifests/${reference}`), 404, "MANIFEST_UNKNOWN");
      expect((await absent.head(`manifests/${reference}`)).status).toBe(404);
    }
  });

  test("what looks like a digest and is none is refused", async () => {
    const manifests = repository("manifests/bad-reference");
    const image = await pushImage(registry().url, manifests.name, "v1");
    for (const reference of ["sha256:baddigeststring", "sha256:totallywrong", `md5:${"a".repeat(32)}`, "v1:v2"]) {
      await expectRefused(await manifests.get(`manifests/${reference}`), 400, "DIGEST_INVALID");
      expect((await manifests.head(`manifests/${reference}`)).status).toBe(400);
      await expectRefused(await manifests.delete(`manifests/${reference}`), 400, "DIGEST_INVALID");
      const put = await putManifest(registry().url, manifests.name, reference, image.body);
      await expectRefused(put, 400, "DIGEST_INVALID");
    }
  });

  test("the manifest of another repository is not visible", async () => {
    const image = await pushImage(registry().url, "manifests/owner", "v1");
    const other = repository("manifests/neighbour");
    await pushImage(registry().url, other.name, "other", "other");
    for (const reference of ["v1", image.digest]) {
      await expectRefused(await other.get(`manifests/${reference}`), 404, "MANIFEST_UNKNOWN");
    }
  });

  test("a tag may be anything that the grammar allows", async () => {
    const manifests = repository("manifests/tag-grammar");
    const [config, layer] = await pushBlobs(manifests.name);
    const tags = [
      "a",
      "0",
      "_",
      "A.b-C_d",
      "list",
      "uploads",
      "__proto__",
      "1..2",
      "x---",
      UNKNOWN.replace(":", "-"),
      "x".repeat(128),
    ];
    for (const tag of tags) {
      const body = imageManifest(config, [layer], { annotations: { tag } });
      expect((await putManifest(registry().url, manifests.name, tag, body)).status).toBe(201);
      await expectManifestServed(manifests, tag, digestOf(body), body, OCI_MANIFEST);
    }
    expect(await manifests.tags()).toEqual(tags.toSorted());
  });

  test("a tag that the grammar does not allow cannot be pushed", async () => {
    const manifests = repository("manifests/bad-tag");
    const image = await pushImage(registry().url, manifests.name, "v1");
    for (const tag of ["-v1", ".v1", "v1+2", "v1%20", "%C3%A4", "x".repeat(129)]) {
      const reply = await putManifest(registry().url, manifests.name, tag, image.body);
      await expectRefused(reply, 400, "TAG_INVALID");
    }
    expect(await manifests.tags()).toEqual(["v1"]);
  });
});

describe("the size of a manifest", () => {
  test("of 4 MiB is accepted", async () => {
    // "Client and registry implementations SHOULD expect to be able to support manifest pushes of at least 4 megabytes."
    const manifests = repository("manifests/four-mebibytes");
    for (const size of [4_000_000, 4 * MIB - 1, 4 * MIB]) {
      const body = padded(size);
      expect(body).toHaveLength(size);
      const reply = await putManifest(registry().url, manifests.name, digestOf(body), body, OCI_INDEX);
      await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_INDEX);
    }
  });

  test("over the limit is refused with 413, by its length or while it is counted", async () => {
    const manifests = repository("manifests/too-large");
    await pushImage(registry().url, manifests.name, "v1");
    const body = padded(8 * MIB);
    const headers = { "content-type": OCI_INDEX };
    for (const reference of ["v2", digestOf(body)]) {
      const whole = await manifests.send("PUT", `manifests/${reference}`, { headers, body });
      await expectRefused(whole, 413, "SIZE_INVALID");
      const bytes = new TextEncoder().encode(body);
      const stream = streamOf(...Array.from({ length: 8 }, (_, at) => bytes.slice(at * MIB, (at + 1) * MIB)));
      const streamed = await manifests.send("PUT", `manifests/${reference}`, { headers, body: stream });
      await expectRefused(streamed, 413, "SIZE_INVALID");
    }
    expect(await manifests.tags()).toEqual(["v1"]);
  });

  test("is not said beforehand: a manifest may come as a stream", async () => {
    const manifests = repository("manifests/streamed");
    const [config, layer] = await pushBlobs(manifests.name);
    const body = imageManifest(config, [layer]);
    const bytes = new TextEncoder().encode(body);
    const reply = await manifests.send("PUT", "manifests/v1", {
      headers: { "content-type": OCI_MANIFEST },
      body: streamOf(bytes.slice(0, 50), bytes.slice(50)),
    });
    await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
  });
});

describe("what a manifest refers to must be there", () => {
  // "When a manifest is rejected for this reason, it MUST result in one or more MANIFEST_BLOB_UNKNOWN errors."
  test("config and layers", async () => {
    const manifests = repository("manifests/missing-blobs");
    const [config, layer] = await pushBlobs(manifests.name);
    const missing = [descriptorOf(OCI_CONFIG, "no config"), descriptorOf(OCI_LAYER, "no layer")] as const;
    const rows = [
      [imageManifest(missing[0], [layer]), [missing[0]]],
      [imageManifest(config, [layer, missing[1]]), [missing[1]]],
      [imageManifest(missing[0], [missing[1], layer]), missing],
    ] as const;
    for (const [body, named] of rows) {
      const reply = await putManifest(registry().url, manifests.name, "v1", body);
      const errors = await expectRefused(reply, 400, "MANIFEST_BLOB_UNKNOWN");
      expect(errors).toHaveLength(named.length);
      for (const { digest } of named) expect(JSON.stringify(errors)).toContain(digest);
    }
    expect((await manifests.head("manifests/v1")).status).toBe(404);
  });

  test("the children of an index", async () => {
    const manifests = repository("manifests/missing-children");
    const image = await pushImage(registry().url, manifests.name, undefined);
    const body = imageIndex([descriptorOf(OCI_MANIFEST, image.body), descriptorOf(OCI_MANIFEST, "no manifest")]);
    const reply = await putManifest(registry().url, manifests.name, "all", body, OCI_INDEX);
    const errors = await expectRefused(reply, 400, "MANIFEST_BLOB_UNKNOWN");
    expect(errors).toHaveLength(1);
    expect(JSON.stringify(errors)).toContain(digestOf("no manifest"));
  });

  test("in this repository, not in another", async () => {
    const image = await pushImage(registry().url, "manifests/elsewhere", "v1");
    const manifests = repository("manifests/here");
    const reply = await putManifest(registry().url, manifests.name, "v1", image.body);
    await expectRefused(reply, 400, "MANIFEST_BLOB_UNKNOWN");
    const index = imageIndex([descriptorOf(OCI_MANIFEST, image.body)]);
    const all = await putManifest(registry().url, manifests.name, "all", index, OCI_INDEX);
    await expectRefused(all, 400, "MANIFEST_BLOB_UNKNOWN");
  });

  test("by a digest of an algorithm that the registry does not know: it is no error of form", async () => {
    const manifests = repository("manifests/unknown-algorithm");
    const [config, layer] = await pushBlobs(manifests.name);
    for (const digest of [
      `blake3:${"a".repeat(64)}`,
      "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    ]) {
      const body = imageManifest(config, [layer, { ...layer, digest }]);
      const reply = await putManifest(registry().url, manifests.name, "v1", body);
      await expectRefused(reply, 400, "MANIFEST_BLOB_UNKNOWN");
    }
  });

  test("an index may hold blobs: so BuildKit keeps its caches", async () => {
    const manifests = repository("manifests/cache");
    const [config, layer] = await pushBlobs(manifests.name);
    const body = imageIndex([layer, { ...config, mediaType: "application/vnd.buildkit.cacheconfig.v0" }]);
    const reply = await putManifest(registry().url, manifests.name, "cache", body, OCI_INDEX);
    await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_INDEX);
  });
});

describe("what a registry need not know is accepted", () => {
  const rows: readonly (readonly [title: string, write: (config: TestDescriptor, layer: TestDescriptor) => string])[] =
    [
      [
        "a config type",
        (config, layer) => imageManifest({ ...config, mediaType: "application/vnd.example.config+json" }, [layer]),
      ],
      ["historic config types", (config, layer) => imageManifest({ ...config, mediaType: "text/html" }, [layer])],
      [
        "a layer type",
        (config, layer) => imageManifest(config, [{ ...layer, mediaType: "application/vnd.example.layer.v7" }]),
      ],
      [
        "an artifact type",
        (config, layer) => imageManifest(config, [layer], { artifactType: "application/vnd.example.thing" }),
      ],
      ["the same layer twice", (config, layer) => imageManifest(config, [layer, layer])],
      ["the config as a layer", (config) => imageManifest(config, [{ ...config, mediaType: OCI_LAYER }])],
      [
        "more properties",
        (config, layer) => imageManifest({ ...config, "x-a": [1] }, [{ ...layer, x: null }], { x: { y: {} } }),
      ],
      ["no annotations", (config, layer) => imageManifest(config, [layer], { annotations: {} })],
      [
        "a platform in a descriptor",
        (config, layer) => imageManifest(config, [{ ...layer, platform: { os: "linux", architecture: "s390x" } }]),
      ],
      [
        "urls beside a layer that is here",
        (config, layer) => imageManifest(config, [{ ...layer, urls: ["https://example.org/x"] }]),
      ],
      [
        "a layer of gigabytes that lies elsewhere",
        (config) =>
          imageManifest(config, [
            {
              mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
              digest: UNKNOWN,
              size: Number.MAX_SAFE_INTEGER,
              urls: ["https://example.org/windows"],
            },
          ]),
      ],
    ];
  for (const [title, write] of rows) {
    test(title, async () => {
      const manifests = repository("manifests/unknown-things");
      const body = write(...(await pushBlobs(manifests.name)));
      const reply = await putManifest(registry().url, manifests.name, digestOf(body), body);
      await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
    });
  }

  test("digests of two algorithms in one manifest", async () => {
    const manifests = repository("manifests/mixed-digests");
    const [config] = await pushBlobs(manifests.name);
    const bytes = bytesOf("mixed digests", 700);
    const digest = digestOf(bytes, "sha512");
    const posted = await manifests.send("POST", `blobs/uploads/?digest=${digest}`, { body: bytes });
    expect(posted.status).toBe(201);
    const body = imageManifest(config, [descriptorOf(OCI_LAYER, bytes, { digest })]);
    const reply = await putManifest(registry().url, manifests.name, "v1", body);
    await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
  });

  test("the empty descriptor, for a config and for a layer", async () => {
    const manifests = repository("manifests/empty-descriptor");
    await pushBlob(registry().url, manifests.name, "{}");
    const empty = descriptorOf(OCI_EMPTY, "{}");
    expect(empty.digest).toBe("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    const body = imageManifest(empty, [empty], { artifactType: "application/vnd.example.thing" });
    const reply = await putManifest(registry().url, manifests.name, "v1", body);
    await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
  });
});

test("a manifest in which a blob is named that another manifest names too", async () => {
  const manifests = repository("manifests/shared");
  const [config, layer] = await pushBlobs(manifests.name);
  const bodies = ["one", "two"].map((seed) => imageManifest(config, [layer], { annotations: { seed } }));
  for (const body of bodies) {
    const reply = await putManifest(registry().url, manifests.name, digestOf(body), body);
    await expectManifestCreated(reply, manifests, digestOf(body), body, OCI_MANIFEST);
  }
  expect((await manifests.delete(`manifests/${digestOf(bodies[0]!)}`)).status).toBe(202);
  expect((await manifests.head(`blobs/${layer.digest}`)).status).toBe(200);
  await expectManifestServed(manifests, digestOf(bodies[1]!), digestOf(bodies[1]!), bodies[1]!, OCI_MANIFEST);
});
