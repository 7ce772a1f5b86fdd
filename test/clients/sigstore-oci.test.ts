/** Sigstore's library for Node: a bundle that is attached to an image. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { pushImage } from "../support/client.ts";
import { digestOf } from "../support/content.ts";
import { Client } from "./support/client.ts";
import type { FaultyWire } from "./support/faulty-wire.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let wire: FaultyWire;
let sigstore: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  wire = resources.use(await registry.openFaultyWire());
  sigstore = resources.use(await Client.of("sigstore-oci", wire));
  await writeFile(sigstore.file("bundle.json"), `{"mediaType":"${BUNDLE}"}`);
});

afterAll(() => resources.disposeAsync());

test("a bundle becomes a referrer of its image, and no tag is made for it", async () => {
  const { digest } = await pushImage(registry.url, "sigstore-oci/attach", "1.0", "sigstore-oci");
  const image = `${wire.name}/sigstore-oci/attach`;
  await challenged(async () => {
    expect(await sigstore.says("digest", `${image}:1.0`)).toBe(digest);
    await sigstore.run("attach", `${image}@${digest}`, "bundle.json", BUNDLE);
  });
  const [referrer] = await registry.referrers("sigstore-oci/attach", digest);
  expect(referrer?.artifactType).toBe(BUNDLE);
  const { json } = await registry.getManifest("sigstore-oci/attach", referrer?.digest ?? "");
  expect(json.layers?.map((layer) => layer.digest)).toEqual([digestOf(`{"mediaType":"${BUNDLE}"}`)]);
  expect(await registry.tags("sigstore-oci/attach")).toEqual(["1.0"]);
});

test("an image that is not there is said not to be", async () => {
  await pushImage(registry.url, "sigstore-oci/unknown", "1.0", "sigstore-oci");
  await challenged(async () => {
    const failed = await sigstore.fails("digest", `${wire.name}/sigstore-oci/unknown:2.0`);
    expect(failed.stderr).toContain("404");
  });
});

/** Puts a challenge where there is none into the answers to its first question: it deals with no registry without one. */
function challenged(work: () => Promise<void>): Promise<void> {
  return wire.changing(
    (request, head) =>
      request.startsWith("POST ") && !/^www-authenticate:/im.test(head)
        ? `${head}\r\nWWW-Authenticate: Basic realm="registry"`
        : head,
    work,
  );
}
