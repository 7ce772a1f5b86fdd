/** A tree of distribution in a bucket is taken over: damage in it, faults of S3 meanwhile, and what distribution did not finish. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, readdirSync, statSync, truncateSync } from "node:fs";
import { join, relative } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry, RegistryOptions } from "../../src/create-registry.ts";
import { collect } from "../../src/lib/collect.ts";
import { pushImage } from "../../src/registry/push-image.ts";
import type { S3Options } from "../../src/storage/s3-options.ts";
import { Objects } from "../../src/storage/s3/objects.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { S3Client } from "../../src/storage/s3/s3-client.ts";
import { TreeWriter } from "../adoption/support/tree-writer.ts";
import { scratchFolder } from "../support/scratch.ts";
import { FaultyS3 } from "./support/faulty-s3.ts";
import { startS3 } from "./support/s3-server.ts";

setDefaultTimeout(60_000);

const s3 = await startS3();
const scratch = await scratchFolder();
const NEVER = new AbortController().signal;
const UPLOAD = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

function newTree(): TreeWriter {
  return new TreeWriter(mkdtempSync(join(scratch, "tree-")));
}

/** Puts the files of a tree into a bucket, below the prefix of the options. */
async function put(tree: TreeWriter, options: S3Options): Promise<void> {
  const store = new S3BlobStore(options);
  for (const path of readdirSync(tree.root, { recursive: true, encoding: "utf8" })) {
    const file = join(tree.root, path);
    if (statSync(file).isFile()) await store.files.write(relative(tree.root, file), readFileSync(file));
  }
  await store.close();
}

function openOn(bucket: S3Options, options: Partial<RegistryOptions> = {}): Promise<Registry> {
  const folder = mkdtempSync(join(scratch, "data-"));
  return createRegistry({ storage: { folder, s3: bucket, adopts: true }, ...options });
}

async function statusOf(registry: Registry, path: string, method: string = "GET"): Promise<number> {
  const response = await registry.fetch(new Request(`http://registry/v2/${path}`, { method }));
  await response.arrayBuffer();
  return response.status;
}

async function findingsOf(registry: Registry): Promise<readonly string[]> {
  const findings = await collect(registry.adoptionFindings());
  return findings.map(({ kind, repository, subject }) => `${kind} ${repository} ${subject}`).toSorted();
}

describe("a tree of distribution in a bucket", () => {
  test("is served before it is indexed, and indexed with what is damaged in it", async () => {
    const tree = newTree();
    const image = tree.image("team/app", "1", ["v1"]);
    tree.index("team/app", [image], ["multi"]);
    const empty = tree.image("team/app", "2", ["empty"]);
    const cut = tree.image("team/app", "3", ["cut"]);
    const gone = tree.image("team/app/deep", "4", ["gone"]);
    const sha512 = tree.blobBySha512("team/app", "by another algorithm");
    const loose = tree.bytes("bytes that no repository shows");
    truncateSync(tree.revisionLink("team/app", empty.digest), 0);
    truncateSync(tree.blobPath(cut.layers[0]?.digest ?? ""), 3);
    tree.write(tree.tagLink("team/app", "bad"), "no digest");
    tree.remove("blobs/sha256", gone.digest.slice(7, 9), gone.digest.slice(7));
    const bucket = s3.options();
    await put(tree, bucket);
    await using registry = await openOn(bucket, { collection: { undoMs: 0 } });
    expect(await statusOf(registry, "team/app/manifests/v1")).toBe(200);
    expect(await statusOf(registry, `team/app/blobs/${image.config.digest}`)).toBe(200);
    expect(await statusOf(registry, `team/app/blobs/${sha512.digest}`)).toBe(200);
    expect(await statusOf(registry, "team/app/manifests/v2")).toBe(404);
    await registry.adoptInBackground(NEVER);
    expect(await registry.adoption()).toMatchObject({ phase: "done", openRepositories: 0 });
    expect(await findingsOf(registry)).toEqual(
      [
        `bad link team/app ${empty.digest}`,
        "bad link team/app bad",
        `missing bytes team/app/deep ${gone.digest}`,
        "missing revision team/app bad",
        "missing revision team/app empty",
        "missing revision team/app/deep gone",
        `wrong content team/app ${cut.layers[0]?.digest}`,
      ].toSorted(),
    );
    for (const path of ["team/app/manifests/multi", "team/app/manifests/cut", `team/app/blobs/${sha512.digest}`]) {
      expect([path, await statusOf(registry, path)]).toEqual([path, 200]);
    }
    expect(await statusOf(registry, `team/app/blobs/${cut.layers[0]?.digest}`)).toBe(404);

    const store = new S3BlobStore(bucket);
    const key = relative(tree.root, tree.blobPath(loose.digest));
    expect(await store.files.stat(key)).toMatchObject({ size: loose.size });
    await registry.collect({ graceMs: 0, leaseMs: 0 });
    expect(await store.files.stat(key)).toBeUndefined();
    expect(await statusOf(registry, "team/app/manifests/v1")).toBe(200);
    await store.close();
  });

  test("is indexed whole when S3 fails meanwhile: what cannot be read then is no damage", async () => {
    const tree = newTree();
    const images = Array.from({ length: 30 }, (_, each) => tree.image(`app-${each % 3}`, `${each}`, [`v${each}`]));
    await using proxy = await FaultyS3.open(s3.url);
    const bucket = s3.options();
    await put(tree, bucket);
    await using registry = await openOn({ ...bucket, endpoint: proxy.url, requestDeadlineMs: 1500 });
    // More often than one request is repeated.
    const [manifest, blob] = [images[4]?.digest ?? "", images[17]?.config.digest ?? ""].map((digest) =>
      digest.slice(7),
    );
    proxy.harm({ kind: "slow down" }, (_call, path) => path.includes(manifest ?? ""), 15);
    proxy.harm({ kind: "slow down" }, (_call, path) => path.includes(blob ?? ""), 15);
    proxy.harm({ kind: "truncated", afterBytes: 10 }, (_call, path) => path.endsWith("/data"), 5);
    await registry.adoptInBackground(NEVER);
    expect(await registry.adoption()).toMatchObject({ phase: "done", manifests: 30, tags: 30, findings: 0 });
    for (let each = 0; each < 30; each++) {
      expect(await statusOf(registry, `app-${each % 3}/manifests/v${each}`)).toBe(200);
    }
  });

  test("loses unfinished uploads of distribution when they expire, also those that are multipart uploads", async () => {
    const tree = newTree();
    tree.image("app", "1", ["v1"]);
    tree.upload("app", UPLOAD, new Date(0));
    const bucket = s3.options();
    const data = `docker/registry/v2/repositories/app/_uploads/${UPLOAD}/data`;
    await put(tree, bucket);
    const objects = new Objects(new S3Client(bucket));
    await objects.delete(data);
    const upload = await objects.createUpload(data);
    await using registry = await openOn(bucket);
    await registry.adoptInBackground(NEVER);
    expect(await objects.hasUpload(data, upload)).toBe(true);
    await registry.collect({ graceMs: 0, leaseMs: 0 });
    expect(await objects.hasUpload(data, upload)).toBe(false);
    expect(await Array.fromAsync(objects.list("docker/registry/v2/repositories/app/_uploads/"))).toEqual([]);
  });

  test("is refused without `adopts`, and when GitLab's database is in use", async () => {
    const tree = newTree();
    tree.image("app", "1", ["v1"]);
    const bucket = s3.options();
    await put(tree, bucket);
    expect(openOn(bucket, { storage: { folder: mkdtempSync(join(scratch, "data-")), s3: bucket } })).rejects.toThrow(
      "distribution",
    );
    const locked = s3.options();
    tree.write(join(tree.root, "docker/registry/lockfiles/database-in-use"), "{}");
    await put(tree, locked);
    expect(openOn(locked)).rejects.toThrow("GitLab");
  });

  test("is written by `exportLinks` with what was pushed and deleted since", async () => {
    const tree = newTree();
    const kept = tree.image("app", "kept", ["kept"]);
    const deleted = tree.image("app", "deleted", ["deleted"]);
    const bucket = s3.options();
    await put(tree, bucket);
    await using registry = await openOn(bucket, { limits: { inlineBytes: 8 } });
    await registry.adoptInBackground(NEVER);
    const pushed = await pushImage(registry.namespace, "app:new", { layers: [{ "a.txt": "x".repeat(5000) }] });
    expect(await statusOf(registry, `app/manifests/${deleted.digest}`, "DELETE")).toBe(202);
    const dry = await registry.exportLinks({ isDryRun: true });
    const report = await registry.exportLinks();
    expect({ ...report, links: 0 }).toEqual({ ...dry, links: 0 });
    expect(await registry.exportLinks()).toMatchObject({ links: 0, files: 0, removed: 0, corrupt: [] });
    const { files } = new S3BlobStore(bucket);
    const contentOf = async (path: string): Promise<string | undefined> => {
      const found = await files.read(relative(tree.root, path), 1_000_000);
      return typeof found === "object" ? Buffer.from(found.bytes).toString() : found;
    };
    expect(await contentOf(tree.tagLink("app", "new"))).toBe(pushed.digest);
    expect(await contentOf(tree.tagLink("app", "kept"))).toBe(kept.digest);
    expect(await contentOf(tree.tagLink("app", "deleted"))).toBeUndefined();
    expect(await contentOf(tree.revisionLink("app", deleted.digest))).toBeUndefined();
    const { layers } = JSON.parse((await contentOf(tree.blobPath(pushed.digest))) ?? "") as {
      layers: { digest: string; size: number }[];
    };
    for (const { digest, size } of layers) {
      expect(await contentOf(tree.layerLink("app", digest))).toBe(digest);
      expect(await files.stat(relative(tree.root, tree.blobPath(digest)))).toMatchObject({ size });
    }
  });
});
