/**
 * The tree in which distribution (`registry:2`, `registry:3`) keeps everything:
 *
 * ```
 * docker/registry/v2/
 *   blobs/<algorithm>/<first 2 hex digits>/<hex>/data                   manifests too
 *   repositories/<name>/
 *     _layers/<algorithm>/<hex>/link                                    content: a digest, without a line end
 *     _manifests/revisions/<algorithm>/<hex>/link
 *     _manifests/tags/<tag>/current/link
 *     _manifests/tags/<tag>/index/<algorithm>/<hex>/link                every digest that the tag has had
 *     _uploads/<uuid>/{data,startedat,hashstates/…}
 * ```
 * Repositories nest: `a` and `a/b` may both hold `_manifests`. A path is made of parsed names and digests only, and what a listing
 * or a link says is parsed before it is used.
 */
import { algorithmOf, encodedOf, parseAlgorithm, parseDigest } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_NAME_LENGTH, parseRepositoryName } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import type { StorageKey } from "./blob-store.ts";
import type { TreeEntry, TreeFiles } from "./tree-files.ts";

/** Where the tree lies below the folder that distribution calls `rootdirectory`. */
export const TREE = "docker/registry/v2";
export const TREE_BLOBS: string = `${TREE}/blobs`;
export const TREE_REPOSITORIES: string = `${TREE}/repositories`;

/** A file by which GitLab's registry says that its facts are in a database: links in the tree are out of date then. */
export const DATABASE_IN_USE = "docker/registry/lockfiles/database-in-use";

/** A digest in a link has at most so many bytes; distribution's own files have 71. */
const MAX_LINK_BYTES = 256;

/** Where a blob's bytes lie in the tree: its key, which the store reads and deletes as any other. */
export function treeBlobKey(digest: Digest): StorageKey {
  const hex = encodedOf(digest);
  return `${TREE_BLOBS}/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}/data` as StorageKey;
}

/** Whether a storage key names a file of the tree. */
export function isTreeKey(key: string): boolean {
  return key.startsWith(`${TREE}/`);
}

export function repositoryFolder(name: RepositoryName): string {
  return `${TREE_REPOSITORIES}/${name}`;
}

export function layerLinkPath(name: RepositoryName, digest: Digest): string {
  return `${repositoryFolder(name)}/_layers/${pathOf(digest)}/link`;
}

export function revisionLinkPath(name: RepositoryName, digest: Digest): string {
  return `${repositoryFolder(name)}/_manifests/revisions/${pathOf(digest)}/link`;
}

export function tagLinkPath(name: RepositoryName, tag: Tag): string {
  return `${tagFolder(name, tag)}/current/link`;
}

/** The link by which the tree says that a tag points, or pointed, at a manifest. */
export function tagIndexPath(name: RepositoryName, tag: Tag, digest: Digest): string {
  return `${tagFolder(name, tag)}/index/${pathOf(digest)}/link`;
}

export function tagFolder(name: RepositoryName, tag: Tag): string {
  return `${tagsFolder(name)}/${tag}`;
}

export function tagsFolder(name: RepositoryName): string {
  return `${repositoryFolder(name)}/_manifests/tags`;
}

function pathOf(digest: Digest): string {
  return `${algorithmOf(digest)}/${encodedOf(digest)}`;
}

/** Returns the digest that the content of a link file spells; undefined when it spells none that this registry computes. */
export function parseLink(content: Uint8Array): Digest | undefined {
  return content.length > MAX_LINK_BYTES ? undefined : parseDigest(Buffer.from(content).toString("latin1"));
}

/** What a link file says. */
export type Link =
  | { readonly kind: "link"; readonly digest: Digest }
  | { readonly kind: "absent" }
  /** Empty, or no digest. */
  | { readonly kind: "bad" };

/** A name in a listing that is what belongs there, or one that is not. */
export type Listed<Item> = { readonly item: Item } | { readonly strange: string };

/** Half an upload, which only distribution could go on with. */
export interface TreeUpload {
  /** The paths of its files. */
  readonly files: readonly string[];
  /** When it began, in milliseconds since 1970, as far as its files say it. */
  readonly startedAt: number;
}

const UPLOAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Reads the tree. It changes nothing. */
export class DistributionTree {
  readonly #files: TreeFiles;

  constructor(files: TreeFiles) {
    this.#files = files;
  }

  /** Every folder that holds a repository, in byte order of the path components; in `strange` those whose name is none. */
  async *repositories(): AsyncGenerator<Listed<RepositoryName>> {
    yield* this.#repositoriesBelow("");
  }

  async *#repositoriesBelow(path: string): AsyncGenerator<Listed<RepositoryName>> {
    const folder = path === "" ? TREE_REPOSITORIES : `${TREE_REPOSITORIES}/${path}`;
    const entries = await this.#files.list(folder);
    if (path !== "" && entries.some(holdsContent)) {
      const name = parseRepositoryName(path);
      yield name === undefined ? { strange: path } : { item: name };
    }
    const below = entries.filter(({ name, isFolder }) => isFolder && !name.startsWith("_"));
    for (const { name } of below.toSorted(byName)) {
      const deeper = path === "" ? name : `${path}/${name}`;
      // No name is longer, so nothing below is one; a link that leads back to a folder above ends here too.
      if (deeper.length <= MAX_NAME_LENGTH) yield* this.#repositoriesBelow(deeper);
      else yield { strange: deeper };
    }
  }

  /** Whether the tree has a repository of this name. */
  async hasRepository(name: RepositoryName): Promise<boolean> {
    return (await this.#files.list(repositoryFolder(name))).some(holdsContent);
  }

  /** Whether a repository has a tag or a revision, so that lists of repositories show it. */
  async hasManifests(name: RepositoryName): Promise<boolean> {
    const folder = `${repositoryFolder(name)}/_manifests/revisions`;
    for (const { name: algorithm } of await this.#files.list(folder)) {
      if ((await this.#files.list(`${folder}/${algorithm}`)).length > 0) return true;
    }
    return false;
  }

  /** The tags of a repository, in byte order. */
  async tags(name: RepositoryName): Promise<readonly Listed<Tag>[]> {
    const entries = (await this.#files.list(tagsFolder(name))).filter(({ isFolder }) => isFolder);
    return entries.toSorted(byName).map((entry) => {
      const tag = parseTag(entry.name);
      return tag === undefined ? { strange: entry.name } : { item: tag };
    });
  }

  /** The digests of the manifests of a repository, in byte order. */
  revisions(name: RepositoryName): Promise<readonly Listed<Digest>[]> {
    return this.#digestsIn(`${repositoryFolder(name)}/_manifests/revisions`);
  }

  /** The digests of the blobs of a repository, in byte order. */
  layers(name: RepositoryName): Promise<readonly Listed<Digest>[]> {
    return this.#digestsIn(`${repositoryFolder(name)}/_layers`);
  }

  async #digestsIn(folder: string): Promise<readonly Listed<Digest>[]> {
    const listed: Listed<Digest>[] = [];
    for (const { name: algorithm } of (await this.#files.list(folder)).toSorted(byName)) {
      // The signatures that old versions kept beside schema 1 manifests lie deeper, below a revision.
      for (const { name: hex, isFolder } of (await this.#files.list(`${folder}/${algorithm}`)).toSorted(byName)) {
        if (isFolder) listed.push(digestIn(algorithm, hex));
      }
    }
    return listed;
  }

  tagLink(name: RepositoryName, tag: Tag): Promise<Link> {
    return this.#link(tagLinkPath(name, tag));
  }

  revisionLink(name: RepositoryName, digest: Digest): Promise<Link> {
    return this.#link(revisionLinkPath(name, digest));
  }

  layerLink(name: RepositoryName, digest: Digest): Promise<Link> {
    return this.#link(layerLinkPath(name, digest));
  }

  async #link(path: string): Promise<Link> {
    const content = await this.#files.read(path, MAX_LINK_BYTES);
    if (content === undefined) return { kind: "absent" };
    const digest = content === "too large" ? undefined : parseLink(content);
    return digest === undefined ? { kind: "bad" } : { kind: "link", digest };
  }

  /** When a tag was last moved, in milliseconds since 1970; 0 when it is not there. */
  tagTime(name: RepositoryName, tag: Tag): Promise<number> {
    return this.#timeOf(tagLinkPath(name, tag));
  }

  /** When a manifest was pushed, in milliseconds since 1970; 0 when it is not there. */
  revisionTime(name: RepositoryName, digest: Digest): Promise<number> {
    return this.#timeOf(revisionLinkPath(name, digest));
  }

  async #timeOf(path: string): Promise<number> {
    return Math.round((await this.#files.stat(path))?.mtimeMs ?? 0);
  }

  /** The bytes of a blob, up to `maxBytes`. */
  readBlob(digest: Digest, maxBytes: number): ReturnType<TreeFiles["read"]> {
    return this.#files.read(treeBlobKey(digest), maxBytes);
  }

  /** The folders below which blobs lie, such as `sha256/ab`, in byte order; those of algorithms that are not computed are left out. */
  async blobFolders(): Promise<readonly string[]> {
    const folders: string[] = [];
    for (const algorithm of (await this.#files.list(TREE_BLOBS)).filter(({ name }) => parseAlgorithm(name))) {
      for (const { name, isFolder } of await this.#files.list(`${TREE_BLOBS}/${algorithm.name}`)) {
        if (isFolder && /^[0-9a-f]{2}$/.test(name)) folders.push(`${algorithm.name}/${name}`);
      }
    }
    return folders.toSorted();
  }

  /** The digests of one of these folders, in byte order. */
  async blobsIn(folder: string): Promise<readonly Digest[]> {
    const [algorithm = "", prefix = ""] = folder.split("/");
    const digests: Digest[] = [];
    for (const { name, isFolder } of await this.#files.list(`${TREE_BLOBS}/${folder}`)) {
      const digest = isFolder && name.startsWith(prefix) ? parseDigest(`${algorithm}:${name}`) : undefined;
      if (digest !== undefined) digests.push(digest);
    }
    return digests.toSorted();
  }

  /** The unfinished uploads of a repository. */
  async uploads(name: RepositoryName): Promise<readonly TreeUpload[]> {
    const folder = `${repositoryFolder(name)}/_uploads`;
    const uploads: TreeUpload[] = [];
    for (const entry of await this.#files.list(folder)) {
      if (!entry.isFolder || !UPLOAD_ID.test(entry.name)) continue;
      const files: string[] = [];
      for await (const path of this.#filesBelow(`${folder}/${entry.name}`)) files.push(path);
      const started = await this.#files.read(`${folder}/${entry.name}/startedat`, MAX_LINK_BYTES);
      const said = started instanceof Uint8Array ? Date.parse(Buffer.from(started).toString()) : Number.NaN;
      const data = await this.#files.stat(`${folder}/${entry.name}/data`);
      uploads.push({ files, startedAt: Number.isNaN(said) ? Math.round(data?.mtimeMs ?? 0) : said });
    }
    return uploads;
  }

  /** The few files of an upload: two, and a hash state for each chunk in folders two deep. */
  async *#filesBelow(folder: string, depth: number = 3): AsyncGenerator<string> {
    for (const { name, isFolder } of await this.#files.list(folder)) {
      if (!/^[\w.-]+$/.test(name) || /^\.+$/.test(name)) continue;
      if (!isFolder) yield `${folder}/${name}`;
      else if (depth > 0) yield* this.#filesBelow(`${folder}/${name}`, depth - 1);
    }
  }
}

function digestIn(algorithm: string, hex: string): Listed<Digest> {
  const digest = parseDigest(`${algorithm}:${hex}`);
  return digest === undefined ? { strange: `${algorithm}/${hex}` } : { item: digest };
}

function holdsContent({ name, isFolder }: TreeEntry): boolean {
  return isFolder && (name === "_manifests" || name === "_layers");
}

function byName(a: TreeEntry, b: TreeEntry): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
