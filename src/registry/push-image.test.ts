import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { createRegistry } from "../create-registry.ts";
import { digestOf } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import { pushImage } from "./push-image.ts";
import type { ImageOptions } from "./push-image.ts";

const registry = await createRegistry({ storage: "memory" });

async function pushed(name: string, options?: ImageOptions) {
  return await pushImage(registry.namespace, name, options);
}

async function pulled(path: string): Promise<{ readonly status: number; readonly bytes: Uint8Array }> {
  const response = await registry.fetch(new Request(`http://registry/v2/${path}`));
  return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
}

/** What these tests look at in manifests and configurations. */
interface Document {
  readonly config: { readonly digest: string };
  readonly layers: readonly [{ readonly digest: string; readonly mediaType: string }];
  readonly manifests: readonly { readonly platform: unknown; readonly digest: string; readonly artifactType: string }[];
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

async function manifestOf(path: string): Promise<Document> {
  return JSON.parse(new TextDecoder().decode((await pulled(path)).bytes)) as Document;
}

test("an image is there by its tags, with a configuration and a layer", async () => {
  const { digest } = await pushed("team/app:1.0,latest", { config: { Cmd: ["/hello"] } });
  const { bytes } = await pulled("team/app/manifests/1.0");
  expect(digestOf(bytes)).toBe(digest);
  expect((await pulled("team/app/manifests/latest")).bytes).toEqual(bytes);
  const manifest = await manifestOf("team/app/manifests/1.0");
  const config = await manifestOf(`team/app/blobs/${manifest.config.digest}`);
  expect(config).toMatchObject({ os: "linux", architecture: "amd64", config: { Cmd: ["/hello"] } });
  expect(config.rootfs.diff_ids).toEqual([manifest.layers[0].digest]);
  expect((await pulled(`team/app/blobs/${manifest.layers[0].digest}`)).status).toBe(200);
});

test("the same options give the same digest, other options another", async () => {
  const { digest } = await pushed("team/same:1", { layers: [{ "a.txt": "a" }] });
  expect((await pushed("team/same:2", { layers: [{ "a.txt": "a" }] })).digest).toBe(digest);
  expect((await pushed("team/same:3", { layers: [{ "a.txt": "b" }] })).digest).not.toBe(digest);
});

test("several platforms give an index of images", async () => {
  await pushed("team/multi:1", { platforms: ["linux/amd64", "linux/arm64/v8"] });
  const index = await manifestOf("team/multi/manifests/1");
  expect(index.manifests.map(({ platform }) => platform)).toEqual([
    { os: "linux", architecture: "amd64" },
    { os: "linux", architecture: "arm64", variant: "v8" },
  ]);
});

test("a layer in gzip keeps its bytes, and its DiffID is that of the archive inside", async () => {
  const archive = gzipSync("an archive");
  await pushed("team/zipped:1", { layers: [archive] });
  const { config, layers } = await manifestOf("team/zipped/manifests/1");
  expect(layers[0]).toMatchObject({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: digestOf(archive),
  });
  const { rootfs } = await manifestOf(`team/zipped/blobs/${config.digest}`);
  expect(rootfs.diff_ids).toEqual([digestOf(new TextEncoder().encode("an archive"))]);
});

test("a referrer is listed with its subject", async () => {
  const subject = await pushed("team/signed:1");
  const referrer = await pushed("team/signed", { artifactType: "application/x-test", subject });
  const { manifests } = await manifestOf(`team/signed/referrers/${subject.digest}`);
  expect(manifests).toHaveLength(1);
  expect(manifests[0]).toMatchObject({ digest: referrer.digest, artifactType: "application/x-test" });
});

test("a name or a tag that is invalid is refused, and nothing is pushed", async () => {
  expect(pushed("Team/App:1")).rejects.toBeInstanceOf(OciError);
  expect(pushed("team/refused:no way")).rejects.toBeInstanceOf(OciError);
  expect((await pulled("team/refused/tags/list")).status).toBe(404);
});
