/** Cosign 3: signatures and attestations as Sigstore bundles, which are referrers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { pushImage } from "../support/client.ts";
import { Client } from "./support/client.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const OFFLINE = ["--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false"];
const CHECK = ["--key", "cosign.pub", "--insecure-ignore-tlog=true"];

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let cosign: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  cosign = resources.use(await Client.of("cosign3", registry, { COSIGN_PASSWORD: "" }));
  await cosign.run("generate-key-pair");
  await cosign.run("generate-key-pair", "--output-key-prefix", "other");
  await writeFile(cosign.file("predicate.json"), JSON.stringify({ built: "here" }));
});

afterAll(() => resources.disposeAsync());

describe("cosign 3", () => {
  test("a signature is a referrer of its image, verified with its key alone, and no tag is made for it", async () => {
    const { digest, image } = await pushedImage("cosign3/sign");
    await cosign.run("sign", ...OFFLINE, image);
    expect(await registry.tags("cosign3/sign")).toEqual(["1.0"]);
    expect(await registry.referrers("cosign3/sign", digest)).toMatchObject([{ artifactType: BUNDLE }]);
    expect((await cosign.run("verify", ...CHECK, image)).stdout).toContain(digest.slice("sha256:".length));
    await cosign.fails("verify", "--key", "other.pub", ...CHECK.slice(2), image);
  });

  test("several signatures and an attestation stand beside each other", async () => {
    const { digest, image } = await pushedImage("cosign3/several");
    for (const by of ["one", "two"]) await cosign.run("sign", ...OFFLINE, "--annotations", `by=${by}`, image);
    await cosign.run("attest", ...OFFLINE, "--predicate", "predicate.json", image);
    const referrers = await registry.referrers("cosign3/several", digest);
    expect(referrers.map(({ artifactType }) => artifactType)).toEqual([BUNDLE, BUNDLE, BUNDLE]);
    await cosign.run("verify", ...CHECK, image);
    const { stdout } = await cosign.run("verify-attestation", ...CHECK, image);
    const { payload } = JSON.parse(stdout) as { readonly payload: string };
    expect(Buffer.from(payload, "base64").toString()).toContain("here");
    const tree = await cosign.says("tree", image);
    for (const referrer of referrers) expect(tree).toContain(referrer.digest);
  });

  test("an image without a signature is said to have none", async () => {
    const { image } = await pushedImage("cosign3/unsigned");
    expect((await cosign.fails("verify", ...CHECK, image)).stderr).toContain("no signatures found");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

/** Pushes an image of its own and gives its digest and its reference by it. */
async function pushedImage(repository: string): Promise<{ readonly digest: string; readonly image: string }> {
  const { digest } = await pushImage(registry.url, repository, "1.0", repository);
  return { digest, image: `${registry.name}/${repository}@${digest}` };
}
