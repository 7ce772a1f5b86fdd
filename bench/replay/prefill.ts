/** What must be in a registry before a trace is replayed: everything that is asked for before it was pushed. */
import { join } from "node:path";
import { digestOf, imageManifest, OCI_EMPTY, OCI_LAYER } from "../../test/support/content.ts";
import type { StoredBlob, StoredManifest, StoredRepository } from "../contents.ts";
import { blobSetsOf } from "./blob-sets.ts";
import { writeContent } from "./content.ts";
import { PULLED_BLOB_BYTES } from "./quantiles.ts";
import type { TraceLine } from "./trace.ts";

export interface Prefill {
  /** Bytes of all content that the trace names. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly repositories: ReadonlyMap<string, PrefilledRepository>;
  /** For lines that get or put a manifest: the blobs that belong to it. */
  readonly blobSets: ReadonlyMap<TraceLine, ReadonlySet<string>>;
}

interface PrefilledRepository {
  readonly blobs: Set<string>;
  /** The blobs of each image. */
  readonly tags: Map<string, Set<string>>;
}

/** The same blob of two bytes is the config of all manifests. */
const EMPTY = "{}";

/** Smaller content might be the same under two names. */
const LEAST_BYTES = 32;

/** Where a mount finds what no other repository of the trace has. */
const MOUNTED_FROM = "mounted/from";

/** No blob will be bigger than `capBytes`. */
export function prefillOf(lines: readonly TraceLine[], capBytes: number): Prefill {
  const blobSets = blobSetsOf(lines);
  const sizes = new Map<string, number>();
  const repositories = new Map<string, PrefilledRepository>();
  const pushed = new Set<string>();
  const missing = new Set<string>();
  const repositoryOf = (name: string): PrefilledRepository =>
    repositories.getOrInsertComputed(name, () => ({ blobs: new Set(), tags: new Map() }));

  for (const line of lines) {
    if (line.repo === "") continue;
    const { blobs, tags } = repositoryOf(line.repo);
    const tag = line.ref.replace(/^@/, "");
    switch (line.op) {
      case "head-blob":
      case "get-blob":
        sizes.set(line.ref, Math.max(line.size, sizes.get(line.ref) ?? 0));
        if (!pushed.has(`${line.repo} ${line.ref}`)) blobs.add(line.ref);
        break;
      case "mount":
      case "upload":
        sizes.set(line.ref, Math.max(line.size, sizes.get(line.ref) ?? 0));
        if (line.op === "mount" && !pushed.has(line.ref)) missing.add(line.ref);
        pushed.add(line.ref).add(`${line.repo} ${line.ref}`);
        break;
      case "head-manifest":
      case "get-manifest":
      case "referrers":
        if (pushed.has(`${line.repo}:${tag}`)) break;
        for (const ref of blobSets.get(line) ?? []) tags.getOrInsert(tag, new Set()).add(ref);
        tags.getOrInsert(tag, new Set());
        break;
      case "put-manifest":
        pushed.add(`${line.repo}:${tag}`);
        break;
      case "tags":
        if (tags.size === 0) tags.set("first", new Set()); // some refuse to list none
        break;
      case "ping":
      case "token":
        break;
      default:
        line.op satisfies never;
    }
  }
  for (const { blobs } of repositories.values()) for (const ref of blobs) missing.delete(ref);
  for (const ref of missing) repositoryOf(MOUNTED_FROM).blobs.add(ref);
  for (const [name, { blobs, tags }] of repositories) {
    for (const [tag, set] of tags) {
      for (const ref of set) if (!blobs.has(ref)) set.delete(ref);
      if (set.size > 0) continue;
      // The client already had the blobs, and so the trace does not name them.
      const ref = `layer of ${name}:${tag}`;
      set.add(ref);
      blobs.add(ref);
      sizes.set(ref, PULLED_BLOB_BYTES.at(0.5));
    }
  }
  for (const [ref, size] of sizes) {
    sizes.set(ref, Math.min(capBytes, Math.max(LEAST_BYTES, size || PULLED_BLOB_BYTES.at(0.5))));
  }
  return { sizes, repositories, blobSets };
}

/** Content that exists: the digests of blobs by their names, and repositories for a peer to be filled with. */
export interface MadePrefill {
  readonly digests: ReadonlyMap<string, string>;
  readonly repositories: readonly StoredRepository[];
}

/** Makes what must be there. The blobs are files in `folder`. */
export async function makePrefill({ sizes, repositories }: Prefill, folder: string): Promise<MadePrefill> {
  const emptyPath = join(folder, "empty");
  await Bun.write(emptyPath, EMPTY);
  const empty = { digest: digestOf(EMPTY), size: EMPTY.length, path: emptyPath };
  const blobs = new Map<string, StoredBlob>();
  for (const ref of new Set([...repositories.values()].flatMap((repository) => [...repository.blobs]))) {
    const [path, size] = [join(folder, String(blobs.size)), sizes.get(ref) ?? LEAST_BYTES];
    blobs.set(ref, { digest: await writeContent(path, ref, size), size, path });
  }
  const digests = new Map([...blobs].map(([ref, { digest }]) => [ref, digest]));
  const made = [...repositories].map(([name, repository]) => ({
    name,
    blobs: [empty, ...[...repository.blobs].map((ref) => blobs.get(ref)!)],
    manifests: [...repository.tags].map(([tag, set]): StoredManifest => {
      const text = manifestOf(
        [...set].map((ref) => blobs.get(ref)!),
        tag,
      );
      return { digest: digestOf(text), text, tags: [tag] };
    }),
    referrers: [],
  }));
  return { digests, repositories: made };
}

/** The text of a manifest over these blobs, of which there is at least one. `version` makes it differ from others. */
export function manifestOf(
  blobs: readonly { readonly digest: string; readonly size: number }[],
  version: string,
): string {
  const config = { mediaType: OCI_EMPTY, digest: digestOf(EMPTY), size: EMPTY.length };
  const layers = blobs.map(({ digest, size }) => ({ mediaType: OCI_LAYER, digest, size }));
  return imageManifest(config, layers.length > 0 ? layers : [config], {
    annotations: { "org.opencontainers.image.version": version },
  });
}
