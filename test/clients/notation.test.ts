/** Notation: signatures of the Notary Project, kept as referrers or in the older way, under a tag. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { pushImage } from "../support/client.ts";
import { Client } from "./support/client.ts";
import { usualModeOf } from "./support/modes.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const SIGNATURE = "application/vnd.cncf.notary.signature";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let notation: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start(usualModeOf("notation")));
  notation = resources.use(await Client.of("notation", registry));
  await notation.run("cert", "generate-test", "--default", "stowage.test");
  await writeFile(notation.file("policy.json"), JSON.stringify(TRUST_POLICY));
  await notation.run("policy", "import", notation.file("policy.json"));
});

afterAll(() => resources.disposeAsync());

const TRUST_POLICY = {
  version: "1.0",
  trustPolicies: [
    {
      name: "all",
      registryScopes: ["*"],
      signatureVerification: { level: "strict" },
      trustStores: ["ca:stowage.test"],
      trustedIdentities: ["*"],
    },
  ],
};

describe("notation sign, notation list and notation verify", () => {
  test("a signature is found among the referrers, and no tag is made for it", async () => {
    const { digest, image } = await pushedImage("notation/referrers");
    await notation.run("sign", "--force-referrers-tag=false", image);
    await notation.run("sign", "--force-referrers-tag=false", "--signature-format", "cose", image);
    expect(await notation.says("verify", image)).toContain("Successfully verified signature");
    const signatures = await registry.referrers("notation/referrers", digest);
    expect(signatures.map(({ artifactType }) => artifactType)).toEqual([SIGNATURE, SIGNATURE]);
    const listed = await notation.says("list", image);
    for (const signature of signatures) expect(listed).toContain(signature.digest);
    expect(await registry.tags("notation/referrers")).toEqual(["1.0"]);
  });

  test("a signature that is pushed in the older way is among the referrers too", async () => {
    const { digest, image } = await pushedImage("notation/tag-schema");
    await notation.run("sign", image);
    const tags = await registry.tags("notation/tag-schema");
    expect(tags).toEqual(["1.0", expect.stringMatching(/^sha256-[0-9a-f]{64}$/)]);
    expect(await registry.referrers("notation/tag-schema", digest)).toMatchObject([{ artifactType: SIGNATURE }]);
    expect(await notation.says("verify", image)).toContain("Successfully verified signature");
  });

  test("the signature of an image is none of another image", async () => {
    const [signed, other] = [await pushedImage("notation/signed"), await pushedImage("notation/unsigned")];
    await notation.run("sign", "--force-referrers-tag=false", signed.image);
    expect((await notation.fails("verify", other.image)).stderr).toContain("no signature is associated");
  });
});

test("the registry answered nothing with a fault of its own", () => {
  expect(registry.wire.exchanges.length).toBeGreaterThan(0);
  registry.expectNoFaults();
});

/** Pushes an image of its own and gives its digest and its reference by it. */
async function pushedImage(repository: string): Promise<{ readonly digest: string; readonly image: string }> {
  const { digest } = await pushImage(registry.url, repository, "1.0", repository);
  return { digest, image: `${registry.name}/${repository}@${digest}` };
}
