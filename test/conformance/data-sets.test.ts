/** The official suite's sets of content, each through push, tag list, head, pull, referrers and delete. */
import { describe, expect, test } from "bun:test";
import { bytesOf, descriptorOf, digestOf, OCI_EMPTY, OCI_MANIFEST } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { AMD64, ARM64, DataSet, EXAMPLE_1, EXAMPLE_2 } from "./data-set.ts";
import type { DataSetOptions, ImageOptions } from "./data-set.ts";
import { describeDataSet, pushDataSet } from "./data-set-phases.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const HELLO = { "org.opencontainers.conformance": "hello conformance test" };
const UNIQUE = (seed: string): Readonly<Record<string, string>> => ({ ...HELLO, [`org.example.${seed}`]: seed });

/** A set, filled by `fill`. */
function dataSet(title: string, fill: (set: DataSet) => void, options: DataSetOptions = {}): DataSet {
  const set = new DataSet(title, options);
  fill(set);
  return set;
}

/** An index of two images, for amd64 and arm64. */
function addPlatforms(
  set: DataSet,
  options: Parameters<DataSet["addIndex"]>[1] = {},
  imageOptions: ImageOptions = {},
): ReturnType<DataSet["addIndex"]> {
  const children = [AMD64, ARM64].map((platform) => ({ ...set.addImage({ ...imageOptions, platform }), platform }));
  return set.addIndex(children, options);
}

/** Every manifest has a tag of its own, the last one a second, and they travel with the push. */
function tagAll(set: DataSet): void {
  for (const [at, { digest }] of set.manifests.entries()) set.tags.set(`${set.title}-${at}`, digest);
  set.pushesTags = true;
}

const SETS: readonly DataSet[] = [
  dataSet("image", (set) => set.addImage({ tag: "image" })),
  dataSet("image-uncompressed", (set) => set.addImage({ tag: "image-uncompressed", compressed: false })),
  dataSet("large-manifest", (set) => {
    const names = Array.from({ length: 390 }, (_, at) => `large-annotation-${at}`);
    const annotations = Object.fromEntries(names.map((name) => [name, "A".repeat(10_000)]));
    set.addImage({ tag: "large-manifest", annotations });
  }),
  dataSet("index", (set) => addPlatforms(set, { tag: "index" })),
  dataSet("nested-index", (set) => set.addIndex([addPlatforms(set), addPlatforms(set)], { tag: "index-of-index" })),
  dataSet("empty-index", (set) => set.addIndex([], { tag: "index" })),
  dataSet("artifact", (set) => set.addArtifact(EXAMPLE_1, { tag: "artifact" })),
  dataSet("artifact-index", (set) => {
    const children = [AMD64, ARM64].map((platform) => ({ ...set.addArtifact(EXAMPLE_1), platform }));
    set.addIndex(children, { tag: "artifact-index", artifactType: EXAMPLE_1 });
  }),
  dataSet("artifact-without-layers", (set) => set.addArtifact(OCI_EMPTY, { tag: "artifact-without-layers" })),
  dataSet("artifacts-with-subject", (set) => {
    const subject = set.addImage({ tag: "image" });
    // Without an artifact type: its config's type counts.
    set.addImage({ subject });
    set.addArtifact(EXAMPLE_1, { subject, annotations: UNIQUE("one"), tag: "tagged-artifact1" });
    const octets = "application/octet-stream";
    set.addArtifact(octets, { artifactType: EXAMPLE_2, subject, annotations: UNIQUE("two"), tag: "tagged-artifact2" });
  }),
  dataSet("index-with-subject", (set) => {
    const subject = addPlatforms(set, { tag: "index" });
    const children = [AMD64, ARM64].map((platform) => ({ ...set.addArtifact(EXAMPLE_1, { subject }), platform }));
    const annotations = UNIQUE("index");
    set.addIndex(children, { subject, artifactType: EXAMPLE_1, annotations, tag: "tagged-artifact" });
  }),
  dataSet("missing-subject", (set) => {
    const subject = { mediaType: OCI_MANIFEST, digest: digestOf("missing content"), size: 123 };
    set.addArtifact(EXAMPLE_1, { subject, annotations: UNIQUE("missing"), tag: "tagged-artifact" });
  }),
  dataSet("data-field", (set) => addPlatforms(set, { tag: "data-field" }), { withData: true }),
  dataSet("non-distributable-layers", (set) => {
    // The first two are never pushed: they lie at their urls.
    const types = [
      "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      "application/vnd.oci.image.layer.nondistributable.v1.tar",
    ];
    const foreign = types.map((type) => {
      const { digest } = descriptorOf(type, bytesOf(type, 1024));
      return {
        mediaType: type,
        digest,
        size: 123_456,
        urls: [`https://store.example.com/blobs/${digest.replace(":", "/")}`],
      };
    });
    set.addManifest(set.addConfig(), [...foreign, set.addLayer()], { tag: "non-distributable-image" });
  }),
  dataSet("custom-fields", (set) => {
    const more = { "org.example.custom": "a property that no spec knows" };
    addPlatforms(set, { tag: "custom-fields", more }, { more, configMore: more });
  }),
  dataSet("no-layers", (set) => set.addImage({ tag: "no-layers", layers: 0 })),
  // A tag by itself has a SHA-256 digest, so this set has none.
  dataSet("sha512", (set) => addPlatforms(set), { algorithm: "sha512" }),
  dataSet("tag-param-sha256", (set) => {
    addPlatforms(set, { tag: "tag-param-sha256" });
    tagAll(set);
  }),
  dataSet(
    "tag-param-sha512",
    (set) => {
      addPlatforms(set, { tag: "tag-param-sha512" });
      tagAll(set);
    },
    { algorithm: "sha512" },
  ),
];

for (const set of SETS) describeDataSet(set, repository);

describe("the data set bad-digest-image", () => {
  const set = dataSet("bad-digest-image", (each) => each.addImage());
  const [{ digest, body }] = set.manifests as [DataSet["manifests"][number]];

  test("a manifest with two spaces behind it is refused, and is not there", async () => {
    const target = repository("data-sets/bad-digest-image");
    for (const [each, bytes] of set.blobs) {
      expect((await target.send("POST", `blobs/uploads/?digest=${each}`, { body: bytes })).status).toBe(201);
    }
    const headers = { "content-type": OCI_MANIFEST };
    const reply = await target.send("PUT", `manifests/${digest}`, { headers, body: `${body}  ` });
    await expectRefused(reply, 400, "DIGEST_INVALID");
    await expectRefused(await target.get(`manifests/${digest}`), 404, "MANIFEST_UNKNOWN");
  });

  test("and a digest that is none is refused, pushed and pulled", async () => {
    const target = repository("data-sets/invalid-digest");
    for (const [each, bytes] of set.blobs) {
      expect((await target.send("POST", `blobs/uploads/?digest=${each}`, { body: bytes })).status).toBe(201);
    }
    const headers = { "content-type": OCI_MANIFEST };
    const reply = await target.send("PUT", "manifests/sha256:baddigeststring", { headers, body });
    await expectRefused(reply, 400, "DIGEST_INVALID");
    await expectRefused(await target.get("manifests/sha256:baddigeststring"), 400, "DIGEST_INVALID");
    for (const missing of [digestOf("missing"), "missing"]) {
      await expectRefused(await target.get(`manifests/${missing}`), 404, "MANIFEST_UNKNOWN");
    }
  });
});

test("all sets in one repository, as one client after the other pushes them", async () => {
  const target = repository("data-sets/together");
  for (const set of SETS) await pushDataSet(set, target);
  const tags = new Map(SETS.flatMap((set) => [...set.tags]));
  expect(await target.tags()).toEqual([...tags.keys()].toSorted());
  for (const [tag, digest] of tags) {
    expect((await target.head(`manifests/${tag}`)).headers.get("docker-content-digest")).toBe(digest);
  }
});
