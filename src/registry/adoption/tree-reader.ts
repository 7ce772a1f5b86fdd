/** Reads parts of repositories from distribution's tree as adoption records them, with what is damaged in them. */
import { randomUUID } from "node:crypto";
import type {
  AdoptedBlob,
  AdoptedManifest,
  AdoptedTag,
  AdoptionFinding,
  AdoptionFindingKind,
} from "../../metadata/adoption.ts";
import { Digester, algorithmOf, digestOf, parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { ignoreDeviations } from "../../oci/deviation.ts";
import { OciError } from "../../oci/error.ts";
import { MAX_MANIFEST_SIZE, readManifest } from "../../oci/manifest.ts";
import type { ManifestContent } from "../../oci/manifest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { isSchema1 } from "../../oci/schema1.ts";
import type { Tag } from "../../oci/tag.ts";
import { treeBlobKey } from "../../storage/distribution-tree.ts";
import type { DistributionTree, RepositoryLinks } from "../../storage/distribution-tree.ts";
import type { Backend } from "../backend.ts";
import { hashInTurns } from "../hash-turns.ts";
import { isElsewhere } from "../pushed-manifest.ts";

/** Blobs of one manifest that are looked at at the same time. */
const BLOBS_AT_ONCE = 4;

const WRONG_BLOB = "the bytes of the blob do not have this digest";

/** What was read of one thing in the tree. */
export interface ReadPart {
  readonly blobs: AdoptedBlob[];
  readonly manifests: AdoptedManifest[];
  readonly tags: AdoptedTag[];
  readonly findings: AdoptionFinding[];
}

export function emptyPart(): ReadPart {
  return { blobs: [], manifests: [], tags: [], findings: [] };
}

/** Reads one repository. Blobs that it has read already are not read again. */
export class RepositoryReader {
  readonly name: RepositoryName;
  readonly #tree: DistributionTree;
  readonly #links: RepositoryLinks;
  readonly #backend: Pick<Backend, "store" | "clock">;
  readonly #now: number;
  /** What is known of blobs of the repository: whether they are linked. */
  readonly #blobs = new Map<Digest, Promise<boolean>>();

  constructor(
    backend: Pick<Backend, "store" | "clock">,
    tree: DistributionTree,
    name: RepositoryName,
    links: RepositoryLinks = tree.links(name),
  ) {
    this.#backend = backend;
    this.#tree = tree;
    this.#links = links;
    this.name = name;
    this.#now = backend.clock.now();
  }

  /** Adds a manifest with the blobs that it needs to a part. Returns false when the repository has no such manifest. */
  async manifest(digest: Digest, part: ReadPart): Promise<boolean> {
    return (await this.#reading(digest, part, () => this.#manifest(digest, part))) ?? false;
  }

  /** Adds a blob to a part. Returns false when the repository does not show it. */
  async blob(digest: Digest, part: ReadPart, size?: number): Promise<boolean> {
    const known = this.#blobs.get(digest);
    if (known) return await known;
    if (this.#blobs.size >= MOST_KNOWN) this.#blobs.clear();
    const reading = this.#reading(digest, part, () => this.#blob(digest, part, size)).then((found) => found ?? false);
    this.#blobs.set(digest, reading);
    return await reading;
  }

  /** Returns what a tag points at, and when that was written; undefined, with a finding, when that cannot be said. */
  async tag(tag: Tag, part: ReadPart): Promise<AdoptedTag | undefined> {
    return await this.#reading(tag, part, async () => {
      const link = await this.#links.tagLink(tag);
      if (link.kind === "link") {
        const updatedAt = link.writtenAt ?? (await this.#tree.tagTime(this.name, tag));
        return { name: tag, digest: link.digest, updatedAt };
      }
      if (link.kind === "bad") this.#find(part, "bad link", tag, "the link of the tag holds no digest");
      else this.#find(part, "missing link", tag, "the tag has no link that says what it points at");
      return undefined;
    });
  }

  #find(part: ReadPart, kind: AdoptionFindingKind, subject: string, detail: string): void {
    part.findings.push({ repository: this.name, kind, subject, detail });
  }

  /** What cannot be read is a finding, and what is wrong with one thing keeps no other from being read. */
  async #reading<Result>(subject: string, part: ReadPart, read: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!this.#tree.isUnreadable(error)) throw error;
      this.#find(part, "unreadable", subject, (error as Error).message);
      return undefined;
    }
  }

  async #manifest(digest: Digest, part: ReadPart): Promise<boolean> {
    const link = await this.#links.revisionLink(digest);
    if (link.kind === "absent") return false;
    if (link.kind === "bad") {
      this.#find(part, "bad link", digest, "the link of the manifest holds no digest");
      return false;
    }
    const [payload, pushedAt] = await Promise.all([
      this.#tree.readBlob(link.digest, MAX_MANIFEST_SIZE),
      link.writtenAt ?? this.#tree.revisionTime(this.name, digest),
    ]);
    const content = this.#contentOf(digest, payload, part);
    if (!content) return false;
    const { config, layers, children } = content.manifest;
    const named = [...(config ? [config] : []), ...layers];
    const unlinked: string[] = [];
    await readEach(
      named,
      async ({ digest: text, size, ...more }) => {
        const blob = parseDigest(text);
        const isLinked = blob !== undefined && (await this.blob(blob, part, size));
        if (isLinked) return;
        unlinked.push(text);
        if (isElsewhere({ digest: text, size, ...more })) return;
        if (blob === undefined) this.#find(part, "unsupported digest", text.slice(0, 255), `${digest} names it`);
        else this.#find(part, "missing blob", text, `${digest} needs it, and it is not in the repository`);
      },
      BLOBS_AT_ONCE,
    );
    await readEach(
      children,
      async ({ digest: text, size }) => {
        const child = parseDigest(text);
        const isHere =
          child !== undefined &&
          ((await this.#links.revisionLink(child)).kind === "link" || (await this.blob(child, part, size)));
        if (!isHere) this.#find(part, "missing manifest", text.slice(0, 255), `${digest} lists it`);
      },
      BLOBS_AT_ONCE,
    );
    const { mediaType, artifactType, subject, annotations } = content.manifest;
    part.manifests.push({
      digest,
      mediaType,
      artifactType,
      subject: subject?.digest,
      annotations: annotations && JSON.stringify(annotations),
      payload: content.payload,
      pushedAt,
      blobs: named.map((each) => each.digest),
      children: children.map((each) => each.digest),
      unlinked,
    });
    return true;
  }

  /** The bytes of a manifest, read; undefined, with a finding, when they are none. */
  #contentOf(
    digest: Digest,
    payload: Uint8Array | "too large" | undefined,
    part: ReadPart,
  ): { readonly payload: Uint8Array; readonly manifest: ManifestContent } | undefined {
    if (payload === undefined) {
      this.#find(part, "missing bytes", digest, "the bytes of the manifest are not in the tree");
      return undefined;
    }
    if (payload === "too large") {
      this.#find(part, "bad manifest", digest, `it has more than ${MAX_MANIFEST_SIZE} bytes`);
      return undefined;
    }
    try {
      if (isSchema1(payload, undefined)) {
        this.#find(
          part,
          "schema 1",
          digest,
          "manifests of Docker schema 1 are not adopted: push the image with a newer client",
        );
        return undefined;
      }
      if (digestOf(payload, algorithmOf(digest)) !== digest) {
        this.#find(part, "wrong content", digest, "the bytes of the manifest do not have this digest");
        return undefined;
      }
      return { payload, manifest: readManifest(payload, undefined, ignoreDeviations) };
    } catch (error) {
      if (!(error instanceof OciError)) throw error;
      const isIntact = digestOf(payload, algorithmOf(digest)) === digest;
      if (isIntact) this.#find(part, "bad manifest", digest, error.message);
      else this.#find(part, "wrong content", digest, "the bytes of the manifest do not have this digest");
      return undefined;
    }
  }

  async #blob(digest: Digest, part: ReadPart, size: number | undefined): Promise<boolean> {
    const { store } = this.#backend;
    // Nearly every link leads to what its own path says.
    const expected = treeBlobKey(digest);
    const [link, found] = await Promise.all([this.#links.layerLink(digest), store.stat(expected)]);
    if (link.kind === "absent") return false;
    if (link.kind === "bad") {
      this.#find(part, "bad link", digest, "the link of the blob holds no digest");
      return false;
    }
    const stat = link.digest === digest ? found : await store.stat(treeBlobKey(link.digest));
    if (!stat) {
      this.#find(part, "missing bytes", digest, "the bytes of the blob are not in the tree");
      return false;
    }
    // Bytes that were pushed under another digest than SHA-256 lie under their SHA-256.
    if (link.digest !== digest) return await this.#copy(link.digest, digest, part);
    const isSuspect = stat.size === 0 || (size !== undefined && size !== stat.size);
    const isIntact = !isSuspect || (await this.#hasDigest(digest));
    if (!isIntact) this.#find(part, "wrong content", digest, WRONG_BLOB);
    part.blobs.push({ digest, ...stat, storageKey: expected, isIntact, createdAt: this.#now });
    return true;
  }

  /** Makes a blob of its own of the bytes under another digest, because one file has one row. */
  async #copy(stored: Digest, digest: Digest, part: ReadPart): Promise<boolean> {
    const { store } = this.#backend;
    const algorithm = algorithmOf(digest);
    const digester = Digester.of(algorithm);
    const key = store.partKey(randomUUID());
    {
      await using writer = await store.begin(key);
      for await (const piece of store.read(treeBlobKey(stored))) {
        await hashInTurns(digester, piece);
        await writer.append(piece);
      }
      if (digester.digest(algorithm) === digest) {
        const storageKey = store.storageKey(key, digest);
        const stat = await writer.commit(storageKey);
        part.blobs.push({ digest, ...stat, storageKey, isIntact: true, createdAt: this.#now });
        return true;
      }
    }
    await store.delete([key]);
    this.#find(part, "wrong content", digest, WRONG_BLOB);
    return false;
  }

  async #hasDigest(digest: Digest): Promise<boolean> {
    const algorithm = algorithmOf(digest);
    const digester = Digester.of(algorithm);
    for await (const piece of this.#backend.store.read(treeBlobKey(digest))) await hashInTurns(digester, piece);
    return digester.digest(algorithm) === digest;
  }
}

/** Blobs of a repository in the cache, so that images which share them read them once. */
const MOST_KNOWN = 100_000;

/** Reads items, up to `atOnce` at the same time. */
export async function readEach<Item>(
  items: readonly Item[],
  read: (item: Item) => Promise<void | boolean>,
  atOnce: number,
): Promise<void> {
  const left = items.values();
  const readLeft = async (): Promise<void> => {
    for (const item of left) await read(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, readLeft));
}
