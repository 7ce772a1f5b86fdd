/** Docker's image manifest, version 2, schema 1: off by default, and what it does when it is on. */
import { describe, expect, test } from "bun:test";
import { schema1Document, signed, signer } from "../../src/oci/testing/signed-schema1.ts";
import { pushBlob, putManifest } from "../support/client.ts";
import { digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { useRegistry } from "../support/use-registry.ts";

const SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const UNSIGNED = "application/vnd.docker.distribution.manifest.v1+json";
const KEY = signer("ES256");
const LAYER = "a layer of long ago";

describe("switched off, as it is by default", () => {
  const registry = useRegistry();

  for (const type of [SIGNED, UNSIGNED, "application/json"]) {
    test(`it is refused, with what to do: ${type}`, async () => {
      await pushBlob(registry().url, "old/app", LAYER);
      const { bytes } = signed(schema1Document("old/app", "v1", [digestOf(LAYER)]), KEY);
      const reply = await putManifest(registry().url, "old/app", "v1", bytes, type);
      const [error] = await expectRefused(reply, 400, "MANIFEST_INVALID");
      expect(error?.message).toContain("schema 1");
      expect((await fetch(`${registry().url}/v2/old/app/manifests/v1`)).status).toBe(404);
    });
  }
});

describe("switched on", () => {
  const registry = useRegistry({ env: { REGISTRY_COMPATIBILITY_SCHEMA1_ENABLED: "true" } });
  const url = (): string => registry().url;

  test.each([SIGNED, UNSIGNED, "application/json"])("it is stored byte for byte, and served: %s", async (type) => {
    await pushBlob(url(), "old/app", LAYER);
    const tag = `v${type.length}`;
    const layers = [digestOf(LAYER), digestOf(LAYER)]; // layers that add nothing are named again and again
    const { bytes, digest } = signed(schema1Document("old/app", tag, layers), KEY);
    const put = await putManifest(url(), "old/app", tag, bytes, type);
    expect([put.status, put.headers.get("docker-content-digest")]).toEqual([201, digest]);
    expect(put.headers.get("warning")).toMatch(/^299 - "[ -~]*schema 1[ -~]*"$/);
    for (const reference of [tag, digest]) {
      const got = await fetch(`${url()}/v2/old/app/manifests/${reference}`, { headers: { accept: SIGNED } });
      expect([got.status, got.headers.get("content-type")]).toEqual([200, SIGNED]);
      expect(got.headers.get("docker-content-digest")).toBe(digest);
      expect(await got.bytes()).toEqual(bytes);
    }
  });

  test("it may be put under the digest of what was signed, and no other", async () => {
    await pushBlob(url(), "old/app", LAYER);
    const { bytes, digest } = signed(schema1Document("old/app", "by-digest", [digestOf(LAYER)]), KEY);
    await expectRefused(await putManifest(url(), "old/app", digestOf(bytes), bytes, SIGNED), 400, "DIGEST_INVALID");
    expect((await putManifest(url(), "old/app", digest, bytes, SIGNED)).status).toBe(201);
  });

  test("a layer that is not here is named", async () => {
    const absent = digestOf("never pushed");
    const { bytes } = signed(schema1Document("old/app", "v1", [absent]), KEY);
    const [error] = await expectRefused(
      await putManifest(url(), "old/app", "v1", bytes, SIGNED),
      400,
      "MANIFEST_BLOB_UNKNOWN",
    );
    expect(error?.detail).toEqual({ digest: absent });
  });

  test("one that was made for another repository or another tag is refused", async () => {
    await pushBlob(url(), "old/app", LAYER);
    const of = (name: string, tag: string) => signed(schema1Document(name, tag, [digestOf(LAYER)]), KEY).bytes;
    await expectRefused(await putManifest(url(), "old/app", "v1", of("old/b", "v1"), SIGNED), 400, "NAME_INVALID");
    await expectRefused(await putManifest(url(), "old/app", "v1", of("old/app", "v2"), SIGNED), 400, "TAG_INVALID");
  });

  test("one that is not signed, or was changed, is refused", async () => {
    await pushBlob(url(), "old/app", LAYER);
    const document = schema1Document("old/app", "v1", [digestOf(LAYER)]);
    const put = (body: string): Promise<Response> => putManifest(url(), "old/app", "v1", body, SIGNED);
    await expectRefused(await put(JSON.stringify(document)), 400, "MANIFEST_UNVERIFIED");
    const changed = Buffer.from(signed(document, KEY).bytes).toString().replace('"amd64"', '"arm64"');
    await expectRefused(await put(changed), 400, "MANIFEST_UNVERIFIED");
  });
});
