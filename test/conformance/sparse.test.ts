/** A registry that takes images and indexes without all of their content (`validation.manifests.sparse: true`). */
import { describe, expect, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { AMD64, ARM64, DataSet } from "./data-set.ts";
import { describeDataSet } from "./data-set-phases.ts";
import { expectManifestCreated, expectManifestServed } from "./manifest-replies.ts";
import { holds } from "./sessions.ts";

const registry = useRegistry({ env: { REGISTRY_VALIDATION_MANIFESTS_SPARSE: "true" } });
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

/** As the official suite has it: an image without its first layer, and an index without its second image. */
function sparseSet(): DataSet {
  const set = new DataSet("sparse");
  const config = set.addConfig();
  const missing = descriptorOf(OCI_LAYER, "a layer that is not pushed");
  set.addManifest(config, [missing, set.addLayer()], { tag: "sparse-image" });
  const here = { ...set.addImage({ platform: AMD64 }), platform: AMD64 };
  const elsewhere = {
    mediaType: OCI_MANIFEST,
    digest: digestOf("an image that is not pushed"),
    size: 1024,
    platform: ARM64,
  };
  set.addIndex([here, elsewhere], { tag: "sparse-index" });
  return set;
}

describeDataSet(sparseSet(), repository);

describe("what is missing may come later", () => {
  test("a layer", async () => {
    const target = repository("sparse/late-layer");
    const layer = bytesOf("late layer", 40_000);
    const config = await pushBlob(registry().url, target.name, "{}");
    const body = imageManifest({ mediaType: OCI_CONFIG, digest: config, size: 2 }, [descriptorOf(OCI_LAYER, layer)]);
    const reply = await putManifest(registry().url, target.name, "v1", body);
    await expectManifestCreated(reply, target, digestOf(body), body, OCI_MANIFEST);
    await expectRefused(await target.get(`blobs/${digestOf(layer)}`), 404, "BLOB_UNKNOWN");
    await pushBlob(registry().url, target.name, layer);
    expect(await holds(await target.get(`blobs/${digestOf(layer)}`), layer)).toBe(true);
    await expectManifestServed(target, "v1", digestOf(body), body, OCI_MANIFEST);
  });

  test("an image of an index", async () => {
    const target = repository("sparse/late-image");
    const other = await pushImage(registry().url, "sparse/late-image-source", "v1");
    const body = imageIndex([descriptorOf(OCI_MANIFEST, other.body)]);
    const reply = await putManifest(registry().url, target.name, "all", body, OCI_INDEX);
    await expectManifestCreated(reply, target, digestOf(body), body, OCI_INDEX);
    await expectRefused(await target.get(`manifests/${other.digest}`), 404, "MANIFEST_UNKNOWN");
    const image = await pushImage(registry().url, target.name, undefined);
    expect(image.digest).toBe(other.digest);
    await expectManifestServed(target, image.digest, image.digest, image.body, OCI_MANIFEST);
  });

  test("or never: a manifest of which nothing is here", async () => {
    const target = repository("sparse/nothing");
    const body = imageManifest(descriptorOf(OCI_CONFIG, "no config"), [
      descriptorOf(OCI_LAYER, "no layer"),
      { ...descriptorOf(OCI_LAYER, "unknown"), digest: `blake3:${"a".repeat(64)}` },
    ]);
    const reply = await putManifest(registry().url, target.name, "v1", body);
    await expectManifestCreated(reply, target, digestOf(body), body, OCI_MANIFEST);
    expect((await target.delete(`manifests/${digestOf(body)}`)).status).toBe(202);
  });
});

test("what is no manifest is refused all the same", async () => {
  const target = repository("sparse/invalid");
  for (const body of ["{", "{}", imageIndex([{ mediaType: OCI_MANIFEST, digest: "sha256:zz", size: 1 }])]) {
    const reply = await putManifest(registry().url, target.name, "v1", body, OCI_INDEX);
    await expectRefused(reply, 400, "MANIFEST_INVALID");
  }
});
