/** Buildx: indexes that are made of images in the registry, without an engine. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { digestOf, OCI_INDEX } from "../support/content.ts";
import { Client } from "./support/client.ts";
import { usualModeOf } from "./support/modes.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let buildx: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start(usualModeOf("buildx")));
  buildx = resources.use(await Client.of("buildx", registry));
});

afterAll(() => resources.disposeAsync());

describe("buildx imagetools", () => {
  test("an index of images of two repositories is kept as it was written", async () => {
    const digests = await pushedPair("buildx/create");
    const index = at("buildx/create:1.0");
    const words = ["--tag", index, "--annotation", "index:org.example.made=here"];
    const images = [at("buildx/create/one:1.0"), at("buildx/create/two:1.0")];
    await buildx.run("imagetools", "create", ...words, ...images);
    const served = await registry.getManifest("buildx/create", "1.0");
    expect(served.mediaType).toBe(OCI_INDEX);
    expect(served.json.manifests?.map(({ digest }) => digest)).toEqual([...digests]);
    expect(served.text).toContain("\n  "); // it is indented, and an index that is written anew has another digest
    expect(JSON.parse(served.text)).toMatchObject({ annotations: { "org.example.made": "here" } });
    expect((await buildx.run("imagetools", "inspect", "--raw", index)).stdout).toBe(served.text);
    expect(await buildx.says("imagetools", "inspect", index)).toContain(digestOf(served.text));
    for (const digest of digests) expect((await registry.getManifest("buildx/create", digest)).digest).toBe(digest);
  });

  test("an image is added to an index", async () => {
    const [one, two] = await pushedPair("buildx/append");
    const index = at("buildx/append:1.0");
    await buildx.run("imagetools", "create", "--tag", index, at("buildx/append/one:1.0"));
    await buildx.run("imagetools", "create", "--append", "--tag", index, at("buildx/append/two:1.0"));
    const served = await registry.getManifest("buildx/append", "1.0");
    expect(served.json.manifests?.map(({ digest }) => digest)).toEqual([one, two]);
  });
});

describe("what goes wrong", () => {
  test("an image that is not there is said not to be found", async () => {
    await pushedPair("buildx/unknown");
    const failed = await buildx.fails("imagetools", "inspect", at("buildx/unknown/one:2.0"));
    expect(failed.stderr).toContain("not found");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

async function pushedPair(repository: string): Promise<readonly [one: string, two: string]> {
  const [one, two] = await Promise.all(
    ["one", "two"].map((name) => pushImage(registry.url, `${repository}/${name}`, "1.0", `${repository} ${name}`)),
  );
  return [one!.digest, two!.digest];
}
