/** Writes trees as distribution (`registry:2`, `registry:3`) lays them out, and damages them. */
import { createHash } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, digestOf } from "../../support/content.ts";
import type { TestDescriptor } from "../../support/content.ts";

export interface WrittenImage extends TestDescriptor {
  readonly config: TestDescriptor;
  readonly layers: readonly TestDescriptor[];
  readonly bytes: Uint8Array;
}

/** A tree below one folder. Every method that writes content returns its descriptor. */
export class TreeWriter {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** The path of a file of the tree. */
  path(...parts: readonly string[]): string {
    return join(this.root, "docker/registry/v2", ...parts);
  }

  write(path: string, content: string | Uint8Array): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }

  remove(...parts: readonly string[]): void {
    rmSync(this.path(...parts), { recursive: true });
  }

  blobPath(digest: string): string {
    const [algorithm = "", hex = ""] = digest.split(":");
    return this.path("blobs", algorithm, hex.slice(0, 2), hex, "data");
  }

  layerLink(repository: string, digest: string): string {
    return this.path("repositories", repository, "_layers", ...digest.split(":"), "link");
  }

  revisionLink(repository: string, digest: string): string {
    return this.path("repositories", repository, "_manifests/revisions", ...digest.split(":"), "link");
  }

  tagLink(repository: string, tag: string): string {
    return this.path("repositories", repository, "_manifests/tags", tag, "current/link");
  }

  /** Bytes that no repository shows. */
  bytes(content: string | Uint8Array): { readonly digest: string; readonly size: number } {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    this.write(this.blobPath(digest), bytes);
    return { digest, size: bytes.length };
  }

  blob(repository: string, content: string | Uint8Array, mediaType: string = OCI_LAYER): TestDescriptor {
    const { digest, size } = this.bytes(content);
    this.write(this.layerLink(repository, digest), digest);
    return { mediaType, digest, size };
  }

  /** A manifest of any JSON, or of any bytes. */
  manifest(repository: string, content: object | string, tags: readonly string[] = []): WrittenImage {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    const { digest, size } = this.bytes(text);
    this.write(this.revisionLink(repository, digest), digest);
    for (const tag of tags) this.tag(repository, tag, digest);
    const fields = typeof content === "string" ? {} : (content as Record<string, unknown>);
    const mediaType = typeof fields["mediaType"] === "string" ? fields["mediaType"] : OCI_MANIFEST;
    const nothing = { config: { mediaType: "", digest: "", size: 0 }, layers: [] };
    return { ...nothing, mediaType, digest, size, bytes: Buffer.from(text) };
  }

  tag(repository: string, tag: string, digest: string): void {
    this.write(this.tagLink(repository, tag), digest);
    const [algorithm = "", hex = ""] = digest.split(":");
    this.write(this.path("repositories", repository, "_manifests/tags", tag, "index", algorithm, hex, "link"), digest);
  }

  /** An image of one layer that `seed` determines. */
  image(repository: string, seed: string, tags: readonly string[] = [], more: object = {}): WrittenImage {
    const layer = this.blob(repository, `layer ${seed}`);
    const config = this.blob(repository, JSON.stringify({ architecture: "amd64", os: "linux", seed }), OCI_CONFIG);
    const written = this.manifest(
      repository,
      { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer], ...more },
      tags,
    );
    return { ...written, config, layers: [layer] };
  }

  index(repository: string, manifests: readonly TestDescriptor[], tags: readonly string[] = []): WrittenImage {
    const descriptors = manifests.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
    return this.manifest(repository, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: descriptors }, tags);
  }

  /** Content that was pushed by its SHA-512: it lies under its SHA-256, and has a link under both. */
  blobBySha512(repository: string, content: string): TestDescriptor {
    const { digest, size } = this.bytes(content);
    const sha512 = `sha512:${createHash("sha512").update(content).digest("hex")}`;
    this.write(this.layerLink(repository, digest), digest);
    this.write(this.layerLink(repository, sha512), digest);
    return { mediaType: OCI_LAYER, digest: sha512, size };
  }

  upload(repository: string, id: string, startedAt: Date): void {
    const folder = this.path("repositories", repository, "_uploads", id);
    this.write(join(folder, "data"), "half a blob");
    this.write(join(folder, "startedat"), startedAt.toISOString());
    this.write(join(folder, "hashstates/sha256/0"), "state");
  }
}
