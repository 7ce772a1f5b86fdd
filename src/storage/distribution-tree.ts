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
import type { TreeEntry, TreeFileStat, TreeFiles } from "./tree-files.ts";

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

/** Whether a storage key names the bytes of an upload that distribution did not finish. */
export function isTreeUploadKey(key: string): boolean {
  return key.startsWith(`${TREE_REPOSITORIES}/`) && /\/_uploads\/[0-9a-f-]+\/data$/.test(key);
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
  | {
      readonly kind: "link";
      readonly digest: Digest;
      /** When it was written, in milliseconds since 1970; undefined when that is to be asked for. */
      readonly writtenAt?: number | undefined;
    }
  | { readonly kind: "absent" }
  /** Empty, or no digest. */
  | { readonly kind: "bad" };

/** A name in a listing that is what belongs there, or one that is not. */
export type Listed<Item> = { readonly item: Item } | { readonly strange: string };

/** The links of one repository, by what they are of. */
export interface RepositoryLinks {
  tagLink(tag: Tag): Promise<Link>;
  revisionLink(digest: Digest): Promise<Link>;
  layerLink(digest: Digest): Promise<Link>;
}

/** All that a repository has, with its links. */
export interface RepositoryContent {
  /** In byte order, as the others. */
  readonly tags: readonly Listed<Tag>[];
  /** Its manifests. */
  readonly revisions: readonly Listed<Digest>[];
  /** Its blobs. */
  readonly layers: readonly Listed<Digest>[];
  readonly links: RepositoryLinks;
}

/** Half an upload, which only distribution could go on with. */
export interface TreeUpload {
  /** The paths of its files. */
  readonly files: readonly string[];
  /** When it began, in milliseconds since 1970, as far as its files say it. */
  readonly startedAt: number;
}

const UPLOAD_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Folders of repositories that are listed at the same time. */
const LISTED_AT_ONCE = 16;

/** Reads the tree. It changes nothing. */
export class DistributionTree {
  readonly #files: TreeFiles;

  constructor(files: TreeFiles) {
    this.#files = files;
  }

  /** Whether an error is about one file of the tree, which stays unreadable when it is read again. */
  isUnreadable(error: unknown): boolean {
    return this.#files.isUnreadable(error);
  }

  /** Every folder that holds a repository, in byte order of the path components; in `strange` those whose name is none. */
  async *repositories(): AsyncGenerator<Listed<RepositoryName>> {
    yield* this.#repositoriesBelow("", this.#files.list(TREE_REPOSITORIES));
  }

  async *#repositoriesBelow(
    path: string,
    listing: Promise<readonly TreeEntry[]>,
  ): AsyncGenerator<Listed<RepositoryName>> {
    const entries = await listing;
    if (path !== "" && entries.some(holdsContent)) {
      const name = parseRepositoryName(path);
      yield name === undefined ? { strange: path } : { item: name };
    }
    const below = entries.filter(({ name, isFolder }) => isFolder && !name.startsWith("_")).toSorted(byName);
    const listed = inAdvance(below, LISTED_AT_ONCE, ({ name }) => {
      const deeper = path === "" ? name : `${path}/${name}`;
      // No name is longer, so nothing below is one; a link that leads back to a folder above ends here too.
      const isName = deeper.length <= MAX_NAME_LENGTH;
      const deeperEntries = isName ? this.#files.list(`${TREE_REPOSITORIES}/${deeper}`) : undefined;
      deeperEntries?.catch(() => undefined); // it is awaited when its turn comes
      return { deeper, deeperEntries };
    });
    for (const { deeper, deeperEntries } of listed) {
      if (deeperEntries) yield* this.#repositoriesBelow(deeper, deeperEntries);
      else yield { strange: deeper };
    }
  }

  /** Whether the tree has a repository of this name. */
  async hasRepository(name: RepositoryName): Promise<boolean> {
    return (await this.#files.list(repositoryFolder(name))).some(holdsContent);
  }

  /** Whether a repository has a tag or a revision, so that lists of repositories show it. */
  hasManifests(name: RepositoryName): Promise<boolean> {
    return this.#files.holdsFile(`${repositoryFolder(name)}/_manifests/revisions`);
  }

  /** The links of a repository, each of which is looked up when it is asked for. */
  links(name: RepositoryName): RepositoryLinks {
    return {
      tagLink: (tag) => this.#link(tagLinkPath(name, tag)),
      revisionLink: (digest) => this.#link(revisionLinkPath(name, digest)),
      layerLink: (digest) => this.#link(layerLinkPath(name, digest)),
    };
  }

  /** Lists all of a repository. Links whose place and size say what they lead to are not read. */
  async content(name: RepositoryName): Promise<RepositoryContent> {
    const links = this.links(name);
    const linksBy = (statOfRevision: StatOf, statOfLayer: StatOf): Omit<RepositoryLinks, "tagLink"> => ({
      revisionLink: (digest) =>
        linkBySize(statOfRevision(revisionLinkPath(name, digest)), digest, () => links.revisionLink(digest)),
      layerLink: (digest) =>
        linkBySize(statOfLayer(layerLinkPath(name, digest)), digest, () => links.layerLink(digest)),
    });
    if (!this.#files.listAll) {
      const [tags, revisions, layers] = await Promise.all([this.tags(name), this.revisions(name), this.layers(name)]);
      const statOf: StatOf = (path) => this.#files.stat(path);
      return { tags, revisions, layers, links: { ...links, ...linksBy(statOf, statOf) } };
    }
    const folder = repositoryFolder(name);
    const [manifests, blobs] = await Promise.all([
      this.#listed(`${folder}/_manifests`),
      this.#listed(`${folder}/_layers`),
    ]);
    return {
      tags: foldersIn(manifests, tagsFolder(name), 1).map(listedTag),
      revisions: foldersIn(manifests, `${folder}/_manifests/revisions`, 2).map(listedDigest),
      layers: foldersIn(blobs, `${folder}/_layers`, 2).map(listedDigest),
      links: {
        tagLink: async (tag) => (manifests.has(tagLinkPath(name, tag)) ? await links.tagLink(tag) : { kind: "absent" }),
        ...linksBy(
          (path) => manifests.get(path),
          (path) => blobs.get(path),
        ),
      },
    };
  }

  async #listed(folder: string): Promise<Files> {
    const files = new Map<string, TreeFileStat>();
    for await (const { path, size, mtimeMs } of this.#files.listAll?.(folder) ?? []) files.set(path, { size, mtimeMs });
    return files;
  }

  /** The tags of a repository, in byte order. */
  async tags(name: RepositoryName): Promise<readonly Listed<Tag>[]> {
    const entries = (await this.#files.list(tagsFolder(name))).filter(({ isFolder }) => isFolder);
    return entries.toSorted(byName).map((entry) => listedTag(entry.name));
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

  async #link(path: string): Promise<Link> {
    const content = await this.#files.read(path, MAX_LINK_BYTES);
    if (content === undefined) return { kind: "absent" };
    if (content === "too large") return { kind: "bad" };
    const digest = parseLink(content.bytes);
    return digest === undefined ? { kind: "bad" } : { kind: "link", digest, writtenAt: wholeTime(content) };
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
    return wholeTime((await this.#files.stat(path)) ?? {}) ?? 0;
  }

  /** The bytes of a blob, up to `maxBytes`. */
  async readBlob(digest: Digest, maxBytes: number): Promise<Uint8Array | "too large" | undefined> {
    const found = await this.#files.read(treeBlobKey(digest), maxBytes);
    return typeof found === "object" ? found.bytes : found;
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
      // In a bucket it is not seen while it is a multipart upload.
      const bytes = `${folder}/${entry.name}/data`;
      if (!files.includes(bytes)) files.push(bytes);
      const started = await this.#files.read(`${folder}/${entry.name}/startedat`, MAX_LINK_BYTES);
      const said = typeof started === "object" ? Date.parse(Buffer.from(started.bytes).toString()) : Number.NaN;
      const data = await this.#files.stat(bytes);
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

/** Files by their paths. */
type Files = ReadonlyMap<string, TreeFileStat>;

/** The names of the folders that lie so deep below a folder, as paths, in byte order. */
function foldersIn(files: Files, below: string, depth: number): readonly string[] {
  const paths = [...files.keys()].filter((path) => path.startsWith(`${below}/`));
  const names = paths.map((path) => path.slice(below.length + 1).split("/"));
  const folders = names.filter((parts) => parts.length > depth).map((parts) => parts.slice(0, depth).join("/"));
  return [...new Set(folders)].toSorted();
}

type StatOf = (path: string) => TreeFileStat | undefined | Promise<TreeFileStat | undefined>;

/** What a link says. It is read when its size does not tell that. */
async function linkBySize(stat: ReturnType<StatOf>, digest: Digest, read: () => Promise<Link>): Promise<Link> {
  const found = await stat;
  if (!found) return { kind: "absent" };
  // What is under a SHA-256 is linked under that alone; a link that has another size is damaged.
  if (algorithmOf(digest) !== "sha256" || found.size !== digest.length) return await read();
  return { kind: "link", digest, writtenAt: wholeTime(found) };
}

function listedDigest(path: string): Listed<Digest> {
  const slash = path.indexOf("/");
  return digestIn(path.slice(0, slash), path.slice(slash + 1));
}

function listedTag(name: string): Listed<Tag> {
  const tag = parseTag(name);
  return tag === undefined ? { strange: name } : { item: tag };
}

function wholeTime({ mtimeMs }: { readonly mtimeMs?: number | undefined }): number | undefined {
  return mtimeMs === undefined || Number.isNaN(mtimeMs) ? undefined : Math.round(mtimeMs);
}

/** Yields what `begin` makes of each item, which is called up to `many` items in advance. */
function* inAdvance<Item, Begun>(items: readonly Item[], many: number, begin: (item: Item) => Begun): Generator<Begun> {
  const begun: Begun[] = [];
  for (const item of items) {
    begun.push(begin(item));
    if (begun.length < many) continue;
    yield begun.shift() as Begun;
  }
  yield* begun;
}

function holdsContent({ name, isFolder }: TreeEntry): boolean {
  return isFolder && (name === "_manifests" || name === "_layers");
}

function byName(a: TreeEntry, b: TreeEntry): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
