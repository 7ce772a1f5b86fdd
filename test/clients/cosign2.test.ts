/** Cosign 2: signatures and attestations under tags, as most images have them, or as referrers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { pushImage } from "../support/client.ts";
import { Client } from "./support/client.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const SIGN = ["sign", "--yes", "--key", "cosign.key", "--tlog-upload=false"];
const ATTEST = ["attest", "--yes", "--key", "cosign.key", "--tlog-upload=false", "--predicate", "predicate.json"];
const CHECK = ["--key", "cosign.pub", "--insecure-ignore-tlog=true", "--private-infrastructure"];

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let cosign: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  cosign = resources.use(await Client.of("cosign2", registry, { COSIGN_PASSWORD: "", COSIGN_EXPERIMENTAL: "1" }));
  await cosign.run("generate-key-pair");
  await cosign.run("generate-key-pair", "--output-key-prefix", "other");
  await writeFile(cosign.file("predicate.json"), JSON.stringify({ built: "here" }));
});

afterAll(() => resources.disposeAsync());

describe("cosign 2 with tags", () => {
  test("a signature is kept under its tag, and verified with its key alone", async () => {
    const { digest, image, tag } = await pushedImage("cosign2/sign");
    await cosign.run(...SIGN, image);
    expect(await registry.tags("cosign2/sign")).toEqual(["1.0", `${tag}.sig`]);
    expect(await cosign.says("triangulate", image)).toBe(`${registry.name}/cosign2/sign:${tag}.sig`);
    expect(await digestsVerified(image)).toEqual([digest]);
    expect((await cosign.fails("verify", "--key", "other.pub", ...CHECK.slice(2), image)).stderr).toContain(
      "no matching signatures",
    );
  });

  test("a second signature is added to the first", async () => {
    const { digest, image } = await pushedImage("cosign2/twice");
    for (const by of ["one", "two"]) await cosign.run(...SIGN, "--annotations", `by=${by}`, image);
    expect(await digestsVerified(image)).toEqual([digest, digest]);
    expect(await digestsVerified(image, "--annotations", "by=two")).toEqual([digest]);
  });

  test("an attestation is kept under its tag, and verified", async () => {
    const { image, tag } = await pushedImage("cosign2/attest");
    await cosign.run(...ATTEST, image);
    expect(await registry.tags("cosign2/attest")).toEqual(["1.0", `${tag}.att`]);
    const { stdout } = await cosign.run("verify-attestation", ...CHECK, image);
    const { payload } = JSON.parse(stdout) as { readonly payload: string };
    expect(Buffer.from(payload, "base64").toString()).toContain(`"built\\":\\"here\\"`);
  });

  test("an image is copied with its signature and its attestation", async () => {
    const { digest, image } = await pushedImage("cosign2/copy");
    await cosign.run(...SIGN, image);
    await cosign.run(...ATTEST, image);
    await cosign.run("copy", image, `${registry.name}/cosign2/copied:1.0`);
    const copy = `${registry.name}/cosign2/copied@${digest}`;
    expect(await digestsVerified(copy)).toEqual([digest]);
    await cosign.run("verify-attestation", ...CHECK, copy);
  });

  test("signatures are removed, and the image stays", async () => {
    const { digest, image } = await pushedImage("cosign2/clean");
    await cosign.run(...SIGN, image);
    await cosign.run("clean", "--force", image);
    expect(await registry.tags("cosign2/clean")).toEqual(["1.0"]);
    expect((await registry.getManifest("cosign2/clean", "1.0")).digest).toBe(digest);
  });
});

describe("cosign 2 with referrers", () => {
  test("a signature is a referrer of its image, and no tag is made for it", async () => {
    const { digest, image } = await pushedImage("cosign2/referrers");
    await cosign.run(...SIGN, "--registry-referrers-mode=oci-1-1", image);
    expect(await registry.tags("cosign2/referrers")).toEqual(["1.0"]);
    expect(await registry.referrers("cosign2/referrers", digest)).toMatchObject([
      { artifactType: "application/vnd.dev.cosign.artifact.sig.v1+json" },
    ]);
    expect(await digestsVerified(image, "--experimental-oci11")).toEqual([digest]);
  });
});

describe("what goes wrong", () => {
  test("an image without a signature is said to have none", async () => {
    const { image } = await pushedImage("cosign2/unsigned");
    expect((await cosign.fails("verify", ...CHECK, image)).stderr).toContain("no signatures found");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

interface Signed {
  readonly digest: string;
  readonly image: string;
  /** How its signatures' tags begin. */
  readonly tag: string;
}

async function pushedImage(repository: string): Promise<Signed> {
  const { digest } = await pushImage(registry.url, repository, "1.0", repository);
  return { digest, image: `${registry.name}/${repository}@${digest}`, tag: digest.replace(":", "-") };
}

/** The digests that the verified signatures of an image are for. */
async function digestsVerified(image: string, ...words: readonly string[]): Promise<readonly string[]> {
  const payloads = await cosign.json<readonly Payload[]>("verify", ...CHECK, ...words, image);
  return payloads.map(({ critical }) => critical.image["docker-manifest-digest"]);
}

interface Payload {
  readonly critical: { readonly image: { readonly "docker-manifest-digest": string } };
}
