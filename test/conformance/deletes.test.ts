/** Deleting tags, manifests and blobs (distribution-spec, "Content Management", end-9, end-10). */
import { describe, expect, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
  OCI_INDEX,
  OCI_MANIFEST,
} from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectManifestServed } from "./manifest-replies.ts";
import { holds } from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

/** "Upon success, the registry MUST respond with a 202 Accepted code", and from then on there is nothing. */
async function expectDeleted(target: RepositoryClient, path: string): Promise<void> {
  const reply = await target.delete(path);
  expect(`${reply.status} ${await reply.text()}`).toBe("202 ");
  expect(reply.headers.get("content-length")).toBe("0");
  expect((await target.head(path)).status).toBe(404);
  expect((await target.get(path)).status).toBe(404);
}

describe("DELETE of a tag (end-9)", () => {
  test("takes that tag alone: the manifest and its other tags stay", async () => {
    const target = repository("deletes/tag");
    const image = await pushImage(registry().url, target.name, "v1");
    await putManifest(registry().url, target.name, "v2", image.body);
    await expectDeleted(target, "manifests/v1");
    await expectManifestServed(target, "v2", image.digest, image.body, OCI_MANIFEST);
    await expectManifestServed(target, image.digest, image.digest, image.body, OCI_MANIFEST);
    expect(await target.tags()).toEqual(["v2"]);
    await expectDeleted(target, "manifests/v2");
    expect(await target.tags()).toEqual([]);
    await expectManifestServed(target, image.digest, image.digest, image.body, OCI_MANIFEST);
  });

  test("that was deleted, or never was, is not found", async () => {
    const target = repository("deletes/tag-twice");
    await pushImage(registry().url, target.name, "v1");
    await expectDeleted(target, "manifests/v1");
    for (const tag of ["v1", "v2"])
      await expectRefused(await target.delete(`manifests/${tag}`), 404, "MANIFEST_UNKNOWN");
  });

  test("that cannot be is refused", async () => {
    const target = repository("deletes/bad-tag");
    await pushImage(registry().url, target.name, "v1");
    for (const tag of ["-v1", "v+1", "x".repeat(129)]) {
      await expectRefused(await target.delete(`manifests/${tag}`), 400, "TAG_INVALID");
    }
  });

  test("can be undone by pushing again", async () => {
    const target = repository("deletes/tag-again");
    const image = await pushImage(registry().url, target.name, "v1");
    for (let round = 0; round < 3; round++) {
      await expectDeleted(target, "manifests/v1");
      await putManifest(registry().url, target.name, "v1", image.body);
      await expectManifestServed(target, "v1", image.digest, image.body, OCI_MANIFEST);
    }
  });
});

describe("DELETE of a manifest (end-9)", () => {
  for (const algorithm of ["sha256", "sha512"] as const) {
    test(`by ${algorithm}: with every tag that points to it, and no other`, async () => {
      // "a GET to /v2/<name>/manifests/<digest> and any tag pointing to that digest will return a 404."
      const target = repository(`deletes/manifest/${algorithm}`);
      const kept = await pushImage(registry().url, target.name, "kept", "kept");
      const body = imageIndex([], { annotations: { algorithm } });
      const digest = digestOf(body, algorithm);
      const reply = await putManifest(registry().url, target.name, `${digest}?tag=a&tag=b&tag=c`, body, OCI_INDEX);
      expect(reply.status).toBe(201);
      await expectDeleted(target, `manifests/${digest}`);
      for (const tag of ["a", "b", "c"])
        await expectRefused(await target.get(`manifests/${tag}`), 404, "MANIFEST_UNKNOWN");
      expect(await target.tags()).toEqual(["kept"]);
      await expectManifestServed(target, "kept", kept.digest, kept.body, OCI_MANIFEST);
    });
  }

  test("under one of two digests: the other stays", async () => {
    const target = repository("deletes/two-digests");
    const body = imageIndex([], { annotations: { two: "digests" } });
    const [short, long] = [digestOf(body), digestOf(body, "sha512")];
    await putManifest(registry().url, target.name, `${short}?tag=short`, body, OCI_INDEX);
    await putManifest(registry().url, target.name, `${long}?tag=long`, body, OCI_INDEX);
    await expectDeleted(target, `manifests/${short}`);
    expect(await target.tags()).toEqual(["long"]);
    await expectManifestServed(target, long, long, body, OCI_INDEX);
  });

  test("that was deleted, or never was, is not found", async () => {
    const target = repository("deletes/manifest-twice");
    await pushImage(registry().url, target.name, "kept", "kept");
    const image = await pushImage(registry().url, target.name, "v1");
    await expectDeleted(target, `manifests/${image.digest}`);
    for (const digest of [image.digest, digestOf("nobody pushed this")]) {
      await expectRefused(await target.delete(`manifests/${digest}`), 404, "MANIFEST_UNKNOWN");
    }
  });

  test("in a repository that does not exist is not found", async () => {
    // "If the repository does not exist, the response MUST return 404 Not Found."
    for (const reference of ["v1", digestOf("nobody pushed this")]) {
      await expectRefused(await repository("deletes/nobody").delete(`manifests/${reference}`), 404, "MANIFEST_UNKNOWN");
    }
  });

  test("leaves its blobs, and the same manifest elsewhere", async () => {
    const [target, other] = [repository("deletes/blobs-stay"), repository("deletes/elsewhere")];
    const image = await pushImage(registry().url, target.name, "v1", "shared");
    await pushImage(registry().url, other.name, "v1", "shared");
    await expectDeleted(target, `manifests/${image.digest}`);
    for (const { digest } of [image.config, ...image.layers]) {
      expect((await target.head(`blobs/${digest}`)).status).toBe(200);
    }
    await expectManifestServed(other, "v1", image.digest, image.body, OCI_MANIFEST);
  });

  test("can be undone by pushing again", async () => {
    const target = repository("deletes/manifest-again");
    const image = await pushImage(registry().url, target.name, "v1");
    for (let round = 0; round < 3; round++) {
      await expectDeleted(target, `manifests/${image.digest}`);
      await putManifest(registry().url, target.name, "v1", image.body);
      await expectManifestServed(target, "v1", image.digest, image.body, OCI_MANIFEST);
    }
  });

  for (const order of ["parents first", "children first"] as const) {
    test(`that an index names, or that has referrers: ${order}`, async () => {
      const target = repository(`deletes/tree/${order.replace(" ", "-")}`);
      const image = await pushImage(registry().url, target.name, "image");
      const child = descriptorOf(OCI_MANIFEST, image.body);
      const index = imageIndex([child]);
      await putManifest(registry().url, target.name, "index", index, OCI_INDEX);
      const nested = imageIndex([descriptorOf(OCI_INDEX, index)]);
      await putManifest(registry().url, target.name, "nested", nested, OCI_INDEX);
      const referrer = imageIndex([], { subject: child });
      await putManifest(registry().url, target.name, "referrer", referrer, OCI_INDEX);

      const digests = [digestOf(referrer), digestOf(nested), digestOf(index), image.digest];
      if (order === "children first") digests.reverse();
      for (const [at, digest] of digests.entries()) {
        await expectDeleted(target, `manifests/${digest}`);
        for (const rest of digests.slice(at + 1)) expect((await target.head(`manifests/${rest}`)).status).toBe(200);
      }
      expect(await target.tags()).toEqual([]);
      for (const { digest } of [image.config, ...image.layers]) await expectDeleted(target, `blobs/${digest}`);
    });
  }

  test("many at once", async () => {
    const target = repository("deletes/at-once");
    const bodies = Array.from({ length: 16 }, (_, at) => imageIndex([], { annotations: { at: `${at}` } }));
    for (const [at, body] of bodies.entries())
      await putManifest(registry().url, target.name, `t${at}`, body, OCI_INDEX);
    const replies = await Promise.all(bodies.map((body) => target.delete(`manifests/${digestOf(body)}`)));
    expect(replies.map(({ status }) => status)).toEqual(bodies.map(() => 202));
    for (const body of bodies) expect((await target.head(`manifests/${digestOf(body)}`)).status).toBe(404);
  });

  test("the same one by many at once: one of them did it", async () => {
    const target = repository("deletes/same-at-once");
    await pushImage(registry().url, target.name, "kept", "kept");
    const image = await pushImage(registry().url, target.name, "v1");
    const replies = await Promise.all(Array.from({ length: 8 }, () => target.delete(`manifests/${image.digest}`)));
    const [done, ...others] = replies.map(({ status }) => status).toSorted((one, other) => one - other);
    expect(done).toBe(202);
    expect(others).toEqual(others.map(() => 404));
  });
});

describe("DELETE of a blob (end-10)", () => {
  for (const algorithm of ["sha256", "sha512"] as const) {
    // What lies inline, and what lies in a file.
    for (const size of [0, 600, 60_000]) {
      test(`${algorithm}, ${size} bytes: gone at once here, and nowhere else`, async () => {
        const bytes = bytesOf(`deletes/${size}`, size);
        const digest = digestOf(bytes, algorithm);
        const [target, other] = ["here", "there"].map((each) =>
          repository(`deletes/blob/${algorithm}/${size}/${each}`),
        );
        for (const each of [target!, other!]) {
          const reply = await each.send("POST", `blobs/uploads/?digest=${digest}`, { body: bytes });
          expect(reply.status).toBe(201);
        }
        await expectDeleted(target!, `blobs/${digest}`);
        expect(await holds(await other!.get(`blobs/${digest}`), bytes)).toBe(true);
        await expectDeleted(other!, `blobs/${digest}`);

        // And it can be pushed again.
        const again = await target!.send("POST", `blobs/uploads/?digest=${digest}`, { body: bytes });
        expect(again.status).toBe(201);
        expect(await holds(await target!.get(`blobs/${digest}`), bytes)).toBe(true);
      });
    }
  }

  test("that was deleted, or never was, is not found", async () => {
    // "If the blob is not found, a 404 Not Found code MUST be returned."
    const target = repository("deletes/blob-twice");
    await pushBlob(registry().url, target.name, "kept");
    const digest = await pushBlob(registry().url, target.name, "blob");
    await expectDeleted(target, `blobs/${digest}`);
    for (const each of [digest, digestOf("nobody pushed this")]) {
      await expectRefused(await target.delete(`blobs/${each}`), 404, "BLOB_UNKNOWN");
    }
  });

  test("that a manifest names: the manifest stays, and is whole again when the blob is pushed again", async () => {
    const target = repository("deletes/blob-in-use");
    const layer = bytesOf("deletes/blob-in-use", 30_000);
    const digest = await pushBlob(registry().url, target.name, layer);
    const config = await pushBlob(registry().url, target.name, "{}");
    const body = imageManifest({ mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: 2 }, [
      { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: layer.length },
    ]);
    await putManifest(registry().url, target.name, "v1", body);
    await expectDeleted(target, `blobs/${digest}`);
    await expectManifestServed(target, "v1", digestOf(body), body, OCI_MANIFEST);
    await pushBlob(registry().url, target.name, layer);
    expect(await holds(await target.get(`blobs/${digest}`), layer)).toBe(true);
  });
});
