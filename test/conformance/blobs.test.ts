/** Pulling blobs and asking whether they exist (distribution-spec, "Pulling blobs", end-2). */
import { beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { request } from "../support/raw-request.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { POST_ONLY, POST_PUT } from "./push-ways.ts";
import { expectBlobCreated, holds } from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const ALGORITHMS = ["sha256", "sha512"] as const;

interface Content {
  readonly title: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const text = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);

/** Where stores change their ways: nothing at all, what lies inline, what lies in a file, what no buffer holds. */
const CONTENTS: readonly Content[] = [
  { title: "the empty blob", bytes: new Uint8Array() },
  { title: "one byte", bytes: new Uint8Array([0]) },
  { title: "{}", bytes: text("{}") },
  { title: "what looks like gzip", bytes: new Uint8Array(gzipSync(bytesOf("gzip", 300))) },
  { title: "what looks like HTML", bytes: text("<!DOCTYPE html><title>blob</title>") },
  { title: "512 bytes", bytes: bytesOf("512", 512) },
  { title: "16 KiB less a byte", bytes: bytesOf("16 KiB - 1", 16 * 1024 - 1) },
  { title: "16 KiB", bytes: bytesOf("16 KiB", 16 * 1024) },
  { title: "16 KiB and a byte", bytes: bytesOf("16 KiB + 1", 16 * 1024 + 1) },
  { title: "1 MiB", bytes: bytesOf("1 MiB", 1024 * 1024) },
  { title: "9 MiB and a byte", bytes: bytesOf("9 MiB", 9 * 1024 * 1024 + 1) },
];

for (const algorithm of ALGORITHMS) {
  describe(`a ${algorithm} blob`, () => {
    test("that was never pushed is not found", async () => {
      const known = repository(`blobs/missing-${algorithm}`);
      await POST_ONLY.push(known, text("something"), digestOf("something"));
      const digest = digestOf("nobody pushed this", algorithm);
      await expectRefused(await known.get(`blobs/${digest}`), 404, "BLOB_UNKNOWN");
      expect((await known.head(`blobs/${digest}`)).status).toBe(404);
    });

    for (const { title, bytes } of CONTENTS) {
      test(`${title}: pushed, asked for, pulled, deleted`, async () => {
        const blobs = repository(`blobs/${algorithm}/${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "x")}`);
        const digest = digestOf(bytes, algorithm);
        await expectBlobCreated(await POST_PUT.push(blobs, bytes, digest), blobs, digest, bytes);

        // "A successful response MUST contain the size in bytes … in the header Content-Length", 0 included.
        const head = await request(registry().port, { method: "HEAD", target: `${blobs.path}/blobs/${digest}` });
        const get = await request(registry().port, { target: `${blobs.path}/blobs/${digest}` });
        for (const reply of [head, get]) {
          expect(reply.status).toBe(200);
          expect(reply.headers).toMatchObject({
            "content-length": `${bytes.length}`,
            "content-type": "application/octet-stream",
            // "the digest of the uploaded blob": the one that was asked for, in its algorithm.
            "docker-content-digest": digest,
            etag: `"${digest}"`,
            // oras seeks only where it sees this.
            "accept-ranges": "bytes",
          });
          expect(reply.headers["cache-control"]).toContain("max-age=31536000");
        }
        expect(head.body).toBe("");
        expect(Buffer.from(get.body, "latin1").equals(bytes)).toBe(true);

        const deleted = await blobs.delete(`blobs/${digest}`);
        expect(deleted.status).toBe(202);
        expect(deleted.headers.get("content-length")).toBe("0");
        expect((await blobs.head(`blobs/${digest}`)).status).toBe(404);
        expect((await blobs.get(`blobs/${digest}`)).status).toBe(404);
      });
    }
  });
}

test("a blob has the digest that is asked for: the same bytes under two algorithms", async () => {
  const blobs = repository("blobs/both-algorithms");
  const bytes = bytesOf("both algorithms", 20_000);
  for (const algorithm of ALGORITHMS) {
    const digest = digestOf(bytes, algorithm);
    await expectBlobCreated(await POST_PUT.push(blobs, bytes, digest), blobs, digest, bytes);
  }
  for (const algorithm of ALGORITHMS) {
    const digest = digestOf(bytes, algorithm);
    const reply = await blobs.get(`blobs/${digest}`);
    expect(reply.headers.get("docker-content-digest")).toBe(digest);
    expect(reply.headers.get("etag")).toBe(`"${digest}"`);
    expect(await holds(reply, bytes)).toBe(true);
  }
});

test("the blob of another repository is not visible", async () => {
  const bytes = text("a secret of one repository");
  const digest = digestOf(bytes);
  const owner = repository("blobs/owner");
  const other = repository("blobs/other");
  await POST_ONLY.push(owner, bytes, digest);
  await POST_ONLY.push(other, text("something else"), digestOf("something else"));
  expect((await owner.head(`blobs/${digest}`)).status).toBe(200);
  await expectRefused(await other.get(`blobs/${digest}`), 404, "BLOB_UNKNOWN");
  await expectRefused(await other.delete(`blobs/${digest}`), 404, "BLOB_UNKNOWN");
  expect((await owner.head(`blobs/${digest}`)).status).toBe(200);
});

test("a repository that does not exist has no blobs", async () => {
  const digest = digestOf("nobody pushed this");
  await expectRefused(await repository("blobs/nobody").get(`blobs/${digest}`), 404, "BLOB_UNKNOWN");
  expect((await repository("blobs/nobody").head(`blobs/${digest}`)).status).toBe(404);
});

describe("a digest that is malformed, or of an unknown algorithm, is refused", () => {
  const bad = [
    "sha256:baddigeststring",
    `sha256:${"A".repeat(64)}`,
    `sha256:${"a".repeat(63)}`,
    `sha512:${"a".repeat(64)}`,
    `md5:${"a".repeat(32)}`,
    "latest",
  ];
  const NAME = "blobs/bad-digest";
  beforeAll(() => POST_ONLY.push(repository(NAME), text("something"), digestOf("something")));
  for (const digest of bad) {
    test(digest, async () => {
      await expectRefused(await repository(NAME).get(`blobs/${digest}`), 400, "DIGEST_INVALID");
      await expectRefused(await repository(NAME).delete(`blobs/${digest}`), 400, "DIGEST_INVALID");
      expect((await repository(NAME).head(`blobs/${digest}`)).status).toBe(400);
    });
  }
});

test("no Accept header is an obstacle: blobs have no other form", async () => {
  const image = await pushImage(registry().url, "blobs/accept", "v1");
  const blobs = repository("blobs/accept");
  for (const accept of ["text/html", "application/json", "application/vnd.oci.image.layer.v1.tar+gzip, */*", ""]) {
    for (const { digest } of [image.config, ...image.layers]) {
      const reply = await blobs.get(`blobs/${digest}`, { accept });
      expect(reply.status).toBe(200);
      expect(reply.headers.get("content-type")).toBe("application/octet-stream");
    }
  }
});

test("a manifest is no blob, and a blob is no manifest", async () => {
  const image = await pushImage(registry().url, "blobs/kinds", "v1");
  const kinds = repository("blobs/kinds");
  await expectRefused(await kinds.get(`manifests/${image.config.digest}`), 404, "MANIFEST_UNKNOWN");
  await expectRefused(await kinds.delete(`manifests/${image.config.digest}`), 404, "MANIFEST_UNKNOWN");
  expect((await kinds.head(`blobs/${image.config.digest}`)).status).toBe(200);
});

test("a blob can be pulled by many at once", async () => {
  const blobs = repository("blobs/many-readers");
  const bytes = bytesOf("many readers", 300_000);
  const digest = digestOf(bytes);
  await POST_PUT.push(blobs, bytes, digest);
  const replies = await Promise.all(Array.from({ length: 16 }, () => blobs.get(`blobs/${digest}`)));
  for (const reply of replies) expect(await holds(reply, bytes)).toBe(true);
});
