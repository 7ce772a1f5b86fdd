/** Manifests of a repository, and what refers to them. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import type { OciError } from "../../oci/error.ts";
import { tag } from "../../oci/tag.ts";
import {
  APP,
  OCI_INDEX,
  OCI_MANIFEST,
  OTHER,
  bytes,
  contentOf,
  descriptorOf,
  imageOf,
  indexOf,
  push,
  pushImage,
  refusalOf,
} from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

const LATEST = tag("latest");
const ABSENT = digestOf(bytes("absent"));

export function testManifests(open: OpenContract): void {
  test("a manifest is kept byte by byte", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const { document, blobs } = imageOf(1, { annotations: { "with spaces": "é\n" }, "unknown.field": [1, 2.5e3] });
    for (const blob of blobs) await push(repository, blob);
    const payload = bytes(`  ${JSON.stringify(document, undefined, 3)}\n\n`);
    const digest = digestOf(payload);
    const facts = { mediaType: OCI_MANIFEST, digest, size: payload.length };
    expect(await repository.manifests.put(payload)).toEqual({
      ...facts,
      missing: [],
      deviations: [],
      deviationCount: 0,
    });
    expect(await repository.manifests.find(digest)).toEqual({ ...facts, payload });
    expect(await repository.manifests.stat(digest)).toEqual(facts);
    expect(await repository.manifests.exists(digest)).toBe(true);
  });

  test("a manifest that is not here is nothing", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(subject.namespace.repository(OTHER), 1);
    expect(await repository.manifests.find(digest)).toBeUndefined();
    expect(await repository.manifests.stat(digest)).toBeUndefined();
    expect(await repository.manifests.exists(digest)).toBe(false);
    expect(await refusalOf(repository.manifests.delete(digest))).toBe("MANIFEST_UNKNOWN 404");
    await pushImage(repository, 2);
    expect(await refusalOf(repository.manifests.delete(digest))).toBe("MANIFEST_UNKNOWN 404");
  });

  test("the digest that a client names is the one that counts, in its algorithm", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const { payload, blobs } = imageOf(1);
    for (const blob of blobs) await push(repository, blob);
    const digest = digestOf(payload, "sha512");
    expect((await repository.manifests.put(payload, { digest, tags: [LATEST] })).digest).toBe(digest);
    expect((await repository.tags.stat(LATEST))?.digest).toBe(digest);
    expect(await repository.manifests.exists(digestOf(payload))).toBe(false);
    expect(await refusalOf(repository.manifests.put(payload, { digest: ABSENT }))).toBe("DIGEST_INVALID 400");
  });

  test("the media type is the one that the manifest came with, or its own", async () => {
    await using subject = await open();
    const { manifests } = subject.namespace.repository(APP);
    const bare = bytes('{"schemaVersion":2,"manifests":[]}');
    expect((await manifests.put(bare)).mediaType).toBe(OCI_INDEX);
    expect((await manifests.put(bare, { mediaType: OCI_INDEX })).mediaType).toBe(OCI_INDEX);
    expect(await refusalOf(manifests.put(indexOf([]), { mediaType: OCI_MANIFEST }))).toBe("MANIFEST_INVALID 400");
    expect(await refusalOf(manifests.put(bare, { mediaType: "text/plain" }))).toBe("MANIFEST_INVALID 400");
  });

  test("what is no manifest is refused, and so is one that is too large", async () => {
    await using subject = await open();
    const { manifests } = subject.namespace.repository(APP);
    for (const text of ["", "null", "[]", "{", '{"schemaVersion":1}', '{"schemaVersion":2,"schemaVersion":2}']) {
      expect(await refusalOf(manifests.put(bytes(text)))).toBe("MANIFEST_INVALID 400");
    }
    const filler = "x".repeat(4 * 1024 * 1024 - indexOf([], { filler: "" }).length);
    expect(await refusalOf(manifests.put(indexOf([], { filler: `${filler}x` })))).toBe("SIZE_INVALID 413");
    expect((await manifests.put(indexOf([], { filler }))).size).toBe(4 * 1024 * 1024);
  });

  testNeeds(open);
  testTagsOfPut(open);
  testListsAndDeletes(open);
  testReferrers(open);
}

/** An image that deviates from the spec in four places, one of which only the repository can tell. */
function deviating(): { readonly payload: Uint8Array; readonly blobs: readonly Uint8Array[] } {
  const { document, blobs } = imageOf(1);
  const config = { ...document.config, size: document.config.size + 1, data: "AAAA" };
  const layers = [{ ...document.layers[0]!, mediaType: "layer" }];
  return { payload: bytes(JSON.stringify({ ...document, artifactType: null, config, layers })), blobs };
}

function testNeeds(open: OpenContract): void {
  test("all blobs that are missing are named, and nothing is stored", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const { payload, blobs, digest } = imageOf(1);
    const refused = repository.manifests.put(payload, { tags: [LATEST] });
    expect(await refusalOf(refused)).toBe("MANIFEST_BLOB_UNKNOWN 400");
    const error = await refused.catch((each: unknown) => each);
    const missing = (error as OciError).details.map((detail) => (detail as { digest: Digest }).digest);
    expect(missing.toSorted()).toEqual(blobs.map((blob) => digestOf(blob)).toSorted());
    expect(await repository.manifests.exists(digest)).toBe(false);
    expect(await repository.tags.exists(LATEST)).toBe(false);
    expect(await repository.exists()).toBe(false);
  });

  test("a blob of another repository is missing here", async () => {
    await using subject = await open();
    const { payload, blobs } = imageOf(1);
    for (const blob of blobs) await push(subject.namespace.repository(OTHER), blob);
    const { manifests, blobs: here } = subject.namespace.repository(APP);
    expect(await refusalOf(manifests.put(payload))).toBe("MANIFEST_BLOB_UNKNOWN 400");
    for (const blob of blobs) await here.mount(digestOf(blob), OTHER);
    expect((await manifests.put(payload)).size).toBe(payload.length);
  });

  test("a manifest that deviates from the spec as tools write it is kept byte by byte, and the deviations are told", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const { payload, blobs } = deviating();
    expect(await refusalOf(repository.manifests.put(payload))).toBe("MANIFEST_BLOB_UNKNOWN 400");
    for (const blob of blobs) await push(repository, blob);
    const put = await repository.manifests.put(payload);
    const paths = put.deviations.map(({ path }) => path);
    expect(paths.toSorted()).toEqual(["artifactType", "config.data", "config.size", "layers[0].mediaType"]);
    expect(put.deviationCount).toBe(4);
    expect((await repository.manifests.find(digestOf(payload)))?.payload).toEqual(payload);
    const [config] = blobs;
    expect((await repository.blobs.get(digestOf(config!))).size).toBe(config!.length);
  });

  test("a strict registry refuses each deviation, and one of another size too", async () => {
    await using subject = await open({ strict: true });
    const repository = subject.namespace.repository(APP);
    const { payload, blobs } = deviating();
    for (const blob of blobs) await push(repository, blob);
    expect(await refusalOf(repository.manifests.put(payload))).toBe("MANIFEST_INVALID 400");
    const { document } = imageOf(1);
    const wrongSize = { ...document, config: { ...document.config, size: document.config.size + 1 } };
    const refused = repository.manifests.put(bytes(JSON.stringify(wrongSize)));
    await expect(refused).rejects.toMatchObject({ code: "MANIFEST_INVALID", details: [{ path: "config.size" }] });
    expect((await repository.manifests.put(imageOf(1).payload)).deviations).toEqual([]);
  });

  test("an index needs its children, which may be manifests or blobs", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const child = imageOf(1);
    const layer = contentOf("cached layer", 300);
    const payload = indexOf([
      descriptorOf(child.payload, OCI_MANIFEST),
      descriptorOf(layer, "application/octet-stream"),
    ]);
    await pushImage(repository, 1);
    expect(await refusalOf(repository.manifests.put(payload))).toBe("MANIFEST_BLOB_UNKNOWN 400");
    await push(repository, layer);
    expect((await repository.manifests.put(payload)).mediaType).toBe(OCI_INDEX);
  });

  test("a sparse registry takes manifests whose content is not here", async () => {
    await using subject = await open({ sparse: true });
    const { manifests } = subject.namespace.repository(APP);
    const { payload, digest } = imageOf(1);
    expect((await manifests.put(payload)).digest).toBe(digest);
    const index = indexOf([descriptorOf(bytes("nowhere"), OCI_MANIFEST)]);
    expect((await manifests.put(index)).digest).toBe(digestOf(index));
  });

  test("foreign layers, and those with addresses, may be elsewhere", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const { document, blobs } = imageOf(1);
    await push(repository, blobs[0]!);
    const layer = document.layers[0]!;
    for (const elsewhere of [
      { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" },
      { ...layer, urls: ["https://example.com/layer"] },
    ]) {
      const payload = bytes(JSON.stringify({ ...document, layers: [elsewhere] }));
      expect((await repository.manifests.put(payload)).digest).toBe(digestOf(payload));
    }
    for (const urls of [[], ["layer"], [""], null]) {
      const nowhere = bytes(JSON.stringify({ ...document, layers: [{ ...layer, urls }] }));
      expect(await refusalOf(repository.manifests.put(nowhere))).toBe("MANIFEST_BLOB_UNKNOWN 400");
    }
  });
}

function testTagsOfPut(open: OpenContract): void {
  test("a manifest comes with its tags, all at once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1, { tags: [LATEST, tag("v1"), tag("v1.0")] });
    for (const name of ["latest", "v1", "v1.0"]) expect((await repository.tags.stat(tag(name)))?.digest).toBe(digest);
    const moved = await pushImage(repository, 2, { tags: [LATEST] });
    expect((await repository.tags.stat(LATEST))?.digest).toBe(moved);
    expect((await repository.tags.stat(tag("v1")))?.digest).toBe(digest);
  });

  test("a tag that is not as the condition says keeps the manifest out", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const condition = { kind: "absent" } as const;
    const first = await pushImage(repository, 1, { tags: [LATEST], condition });
    const { payload, digest, blobs } = imageOf(2);
    for (const blob of blobs) await push(repository, blob);
    const put = (kind: "is", digests: readonly string[]): Promise<unknown> =>
      repository.manifests.put(payload, { tags: [LATEST], condition: { kind, digests } });
    expect(await refusalOf(repository.manifests.put(payload, { tags: [LATEST], condition }))).toBe("UNSUPPORTED 412");
    expect(await refusalOf(put("is", [ABSENT]))).toBe("UNSUPPORTED 412");
    expect(await repository.manifests.exists(digest)).toBe(false);
    expect(await refusalOf(put("is", [ABSENT, first]))).toBe("none");
    expect((await repository.tags.stat(LATEST))?.digest).toBe(digest);
  });
}

function testListsAndDeletes(open: OpenContract): void {
  test("all manifests are listed in order of their digests, from any place on", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digests: Digest[] = [];
    for (let seed = 0; seed < 7; seed++) digests.push(await pushImage(repository, seed));
    await pushImage(subject.namespace.repository(OTHER), 99);
    digests.sort();
    const list = async (from?: Parameters<typeof repository.manifests.all>[0]): Promise<Digest[]> =>
      (await Array.fromAsync(repository.manifests.all(from))).map(({ digest }) => digest);
    expect(await list()).toEqual(digests);
    expect(await list({ after: digests[2]! })).toEqual(digests.slice(3));
    expect(await list({ after: "sha256:", limit: 3 })).toEqual(digests.slice(0, 3));
    const [first] = await Array.fromAsync(repository.manifests.all({ limit: 1 }));
    expect(first).toEqual(await repository.manifests.stat(digests[0]!));
  });

  test("a manifest is deleted with its tags, and its content stays until it is collected", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1, { tags: [LATEST, tag("v1")] });
    const other = await pushImage(repository, 2, { tags: [tag("v2")] });
    await repository.manifests.delete(digest);
    expect(await repository.manifests.exists(digest)).toBe(false);
    expect(await repository.tags.find(LATEST)).toBeUndefined();
    expect((await Array.fromAsync(repository.tags.list())).map(({ name }) => name)).toEqual([tag("v2")]);
    expect(await repository.manifests.exists(other)).toBe(true);
    expect(await repository.blobs.exists(digestOf(contentOf(1, 300)))).toBe(true);
    expect(await refusalOf(repository.manifests.delete(digest))).toBe("MANIFEST_UNKNOWN 404");
    expect(await pushImage(repository, 1)).toBe(digest);
  });
}

function testReferrers(open: OpenContract): void {
  test("what names a subject is listed among its referrers, with what it says of itself", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const image = imageOf("image");
    const about = descriptorOf(image.payload, OCI_MANIFEST);
    const annotations = { "org.example": "yes" };
    const artifactType = "application/vnd.example.sbom";
    const sbom = imageOf("sbom", { subject: about, artifactType, annotations });
    for (const blob of sbom.blobs) await push(repository, blob);
    expect((await repository.manifests.put(sbom.payload)).subject).toBe(about.digest);
    const plain = await pushImage(repository, "plain", {}, { subject: about });
    const configType = sbom.document.config.mediaType;

    const listed = await Array.fromAsync(repository.referrers.list(image.digest));
    const expected = [
      { mediaType: OCI_MANIFEST, digest: sbom.digest, size: sbom.payload.length, artifactType, annotations },
      {
        mediaType: OCI_MANIFEST,
        digest: plain,
        size: imageOf("plain", { subject: about }).payload.length,
        artifactType: configType,
      },
    ];
    expect<object>(listed).toEqual(expected.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)));
    const filtered = await Array.fromAsync(repository.referrers.list(image.digest, { artifactTypes: [artifactType] }));
    expect(filtered.map(({ digest }) => digest)).toEqual([sbom.digest]);
    expect(await Array.fromAsync(subject.namespace.repository(OTHER).referrers.list(image.digest))).toEqual([]);
    await repository.manifests.delete(sbom.digest);
    expect((await Array.fromAsync(repository.referrers.list(image.digest))).map(({ digest }) => digest)).toEqual([
      plain,
    ]);
  });

  test("a list of referrers that is longer than a page is read to its end", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const about = { mediaType: OCI_MANIFEST, digest: ABSENT, size: 6 };
    const digests: Digest[] = [];
    for (let at = 0; at < 5; at++) {
      const payload = indexOf([], { subject: about, annotations: { note: `${at}`.repeat(400_000) } });
      digests.push((await repository.manifests.put(payload)).digest);
    }
    const listed = await Array.fromAsync(repository.referrers.list(ABSENT));
    expect(listed.map(({ digest }) => digest)).toEqual(digests.toSorted());
    const page = await repository.referrers.page(ABSENT, {}, 500_000);
    expect(page.referrers).toHaveLength(1);
    expect(page.more).toBe(true);
  });
}
