/**
 * What people look for in a registry: lists of repositories, tags and manifests with what stands beside them. It only reads, and
 * reads as much as it gives, but for searches and orders that no index has: these look at all names, in steps.
 */
import { LruCache, textBytes } from "../../lib/lru.ts";
import type { Metadata } from "../../metadata/metadata.ts";
import type {
  ManifestPayload,
  ManifestSummary,
  PushPosition,
  RepositoryCounts,
  RepositorySummary,
  TagSummary,
  UploadSummary,
} from "../../metadata/inventory.ts";
import type { TagEvent } from "../../metadata/tags.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseDigest } from "../../oci/digest.ts";
import { MANIFEST_SHAPES, isManifestMediaType } from "../../oci/media-type.ts";
import { MAX_MANIFEST_SIZE } from "../../oci/manifest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Tag } from "../../oci/tag.ts";
import type { Backend } from "../backend.ts";
import type { Namespace } from "../namespace.ts";
import { PAGE_SIZE, STATEMENT_COST, listTurns } from "../pages.ts";
import { MAX_READ_BYTES, bytesOf, contentOf, isAttestation, kindOf, platformText } from "./image-summary.ts";
import type { ImageSummary } from "./image-summary.ts";
import { readConfig } from "./image-config.ts";
import { foldedChildren, linesOf } from "./image-tree.ts";
import type { ImageDetails, ManifestTree } from "./image-tree.ts";
import { referrerTree } from "./referrer-tree.ts";
import type { ReferrerTree } from "./referrer-tree.ts";
import { tagFilter } from "./tag-filter.ts";
import { TagOrder } from "./tag-order.ts";
import type { OrderedTag } from "./tag-order.ts";
import { compareTexts, versionKey } from "./version-order.ts";

export type { RepositorySummary } from "../../metadata/inventory.ts";

/** By what repositories are sorted; the largest, or last, one first where it begins with a minus. */
export const REPOSITORY_ORDERS = ["name", "-name", "size", "-size", "tags", "-tags", "pushed", "-pushed"] as const;
export type RepositoryOrder = (typeof REPOSITORY_ORDERS)[number];

export interface RepositoryQuery {
  /** Letters of the names; all when empty. */
  readonly letters: string;
  readonly order: RepositoryOrder;
  /** The last repository of the page before. */
  readonly after?: RepositoryPosition | undefined;
  readonly limit: number;
  /** Which ones the principal may see; all when absent. */
  readonly allows?: ((name: RepositoryName) => boolean) | undefined;
}

/** Where a page of repositories ended. */
export interface RepositoryPosition {
  readonly value: number;
  readonly name: string;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  /** Whether others come behind the last one. */
  readonly more: boolean;
}

export const TAG_ORDERS = ["version", "-version", "name", "-name"] as const;
export type TagOrderName = (typeof TAG_ORDERS)[number];

export interface TagQuery {
  /** Letters of the tags, or a pattern such as `1.*`; all when empty. */
  readonly letters: string;
  readonly order: TagOrderName;
  /** The last tag of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** A tag with what its manifest says. */
export interface ListedTag extends TagSummary, ImageSummary {
  /** Other tags of the same manifest, the first `MAX_ALIASES`; `sameDigest` says how many there are. */
  readonly aliases: readonly Tag[];
  /** Types of the manifests that refer to this one, the first few; empty for one without a type. */
  readonly referrerTypes: readonly string[];
}

/** A time for which a tag pointed at a manifest. */
export interface TagPeriod extends TagEvent {
  /** Whether the manifest is here, so that the tag can point there again. */
  readonly isHere: boolean;
  /** Until when collection keeps it at the least; undefined when that is without a limit, or the tag still points there. */
  readonly keptUntil: number | undefined;
}

export interface TagPage {
  readonly items: readonly ListedTag[];
  /** The tag behind which the next page begins; undefined when there is none. */
  readonly last: Tag | undefined;
  /** How many tags the letters match. */
  readonly total: number;
}

export interface ListedManifest extends ManifestSummary, ImageSummary {}

/** How much of a repository is its own. */
export interface RepositoryShares {
  readonly bytes: number;
  /** Of blobs that no other repository shows. */
  readonly ownBytes: number;
  readonly sharedBytes: number;
  readonly blobs: number;
  /** False when there are more blobs than were looked at. */
  readonly isComplete: boolean;
}

export const MAX_ALIASES = 20;
const MAX_REFERRER_TYPES = 20;

/** Children of an index, and layers of an image, that are shown. */
const MAX_SHOWN_CHILDREN = 1000;
const MAX_SHOWN_LAYERS = 1000;

/** Manifests that are counted for each layer. */
export const MAX_USERS = 100;

/** Images of an index whose sizes are added up. */
const MAX_CHILDREN = 64;

/** Manifests whose bytes are in memory at the same time, of up to `MAX_READ_BYTES` each. */
const READ_AT_ONCE = 100;

/** Bytes of the cache of what was read in manifests. A digest always means the same, so nothing in it becomes invalid. */
const MAX_SUMMARY_BYTES = 16 * 1024 ** 2;

/** Blobs of a repository that are looked at for its shares. */
const MAX_LINKS = 200_000;

export class Inventory {
  readonly #metadata: Metadata;
  readonly #namespace: Namespace;
  readonly #rules: Backend["rules"];
  readonly #order: TagOrder;
  readonly #summaries = new LruCache<Digest, ImageSummary>(MAX_SUMMARY_BYTES);

  constructor({ metadata, rules }: Pick<Backend, "metadata" | "rules">, namespace: Namespace) {
    this.#metadata = metadata;
    this.#rules = rules;
    this.#namespace = namespace;
    this.#order = new TagOrder(namespace);
  }

  /** Repositories with a manifest. An order other than by name looks at all of them. */
  async repositories(query: RepositoryQuery): Promise<Page<RepositorySummary>> {
    const { order, after, limit } = query;
    const compare = REPOSITORY_COMPARISONS[order];
    const isByName = order === "name";
    let found: RepositorySummary[] = [];
    for await (const each of this.#matching(query, isByName ? (after?.name ?? "") : "")) {
      if (after && compare(each, positioned(after)) <= 0) continue;
      found.push(each);
      if (isByName && found.length > limit) break;
      if (!isByName && found.length >= 4 * (limit + 1)) found = found.toSorted(compare).slice(0, limit + 1);
    }
    return { items: found.toSorted(compare).slice(0, limit), more: found.length > limit };
  }

  async *#matching({ letters, allows }: RepositoryQuery, from: string): AsyncGenerator<RepositorySummary> {
    for (let next: string | undefined = from; next !== undefined;) {
      await listTurns.take(STATEMENT_COST + PAGE_SIZE);
      const step = await this.#metadata.inventory.repositories(next, PAGE_SIZE, { letters });
      for (const each of step.repositories) {
        if (each.lastPush !== undefined && (allows?.(each.name) ?? true)) yield each;
      }
      ({ next } = step);
    }
  }

  /** One repository with what is in it; undefined when nothing was ever written to it. */
  async repository(name: RepositoryName): Promise<(RepositorySummary & RepositoryCounts) | undefined> {
    const found = await this.#metadata.inventory.repository(name);
    const counts = found && (await this.#metadata.inventory.counts(name));
    return counts && { ...found, ...counts };
  }

  /** How many of the bytes of a repository are its own. It looks at all its blobs, in steps, up to some hundred thousand. */
  async shares(name: RepositoryName): Promise<RepositoryShares> {
    let [ownBytes, sharedBytes, blobs, after] = [0, 0, 0, 0];
    while (blobs < MAX_LINKS) {
      await listTurns.take(STATEMENT_COST + PAGE_SIZE);
      const links = await this.#metadata.inventory.links(name, after, PAGE_SIZE);
      for (const { size, isShared } of links) {
        if (isShared) sharedBytes += size;
        else ownBytes += size;
      }
      blobs += links.length;
      const last = links.at(-1);
      if (!last || links.length < PAGE_SIZE) {
        return { bytes: ownBytes + sharedBytes, ownBytes, sharedBytes, blobs, isComplete: true };
      }
      after = last.blob;
    }
    return { bytes: ownBytes + sharedBytes, ownBytes, sharedBytes, blobs, isComplete: false };
  }

  /** Tags of a repository, and how many the letters match. */
  async tags(name: RepositoryName, query: TagQuery): Promise<TagPage> {
    const { letters, order, after, limit } = query;
    const { byVersion, byName } = await this.#order.of(name);
    const all = order.endsWith("version") ? byVersion : byName;
    const matches = tagFilter(letters);
    const chosen = letters === "" ? all : all.filter(({ tag }) => matches(tag));
    const sorted = order.startsWith("-") ? chosen.toReversed() : chosen;
    const start = after === undefined ? 0 : positionBehind(sorted, after, order);
    const page = sorted.slice(start, start + limit);
    const items = await this.#listed(
      name,
      page.map(({ tag }) => tag),
    );
    const last = start + limit < sorted.length ? page.at(-1)?.tag : undefined;
    return { items, last, total: chosen.length };
  }

  /** One tag; undefined when it is not there. */
  async tag(name: RepositoryName, tag: Tag): Promise<ListedTag | undefined> {
    return (await this.#listed(name, [tag]))[0];
  }

  /** What a tag pointed at, newest first, and whether and until when it can be pointed there again. */
  async history(name: RepositoryName, tag: Tag, limit: number): Promise<readonly TagPeriod[]> {
    const periods = await this.#namespace.repository(name).tags.history(tag, limit);
    const here = await this.#metadata.inventory.present(
      name,
      periods.map(({ digest }) => digest),
    );
    const { untagged, undoMs } = this.#rules;
    return periods.map((period) => ({
      ...period,
      isHere: here.has(period.digest),
      keptUntil: untagged && period.until !== undefined ? period.until + undoMs : undefined,
    }));
  }

  /** In the order of `tags`, without those that are gone. */
  async #listed(name: RepositoryName, tags: readonly Tag[]): Promise<readonly ListedTag[]> {
    const { inventory } = this.#metadata;
    const found = new Map((await inventory.tags(name, tags)).map((each) => [each.name, each]));
    const listed = tags.flatMap((tag) => found.get(tag) ?? []);
    const digests = [...new Set(listed.map(({ digest }) => digest))];
    const several = [...new Set(listed.filter(({ sameDigest }) => sameDigest > 1).map(({ digest }) => digest))];
    const [summaries, aliases, types] = await Promise.all([
      this.#summariesOf(name, digests),
      inventory.aliases(name, several, MAX_ALIASES + 1),
      inventory.referrerTypes(name, digests, MAX_REFERRER_TYPES),
    ]);
    const aliasesOf = new Map(several.map((digest, at) => [digest, aliases[at] ?? []]));
    const typesOf = new Map(digests.map((digest, at) => [digest, types[at] ?? []]));
    return listed.map((tag) => ({
      ...tag,
      ...(summaries.get(tag.digest) ?? unread(tag.mediaType)),
      aliases: (aliasesOf.get(tag.digest) ?? []).filter((each) => each !== tag.name).slice(0, MAX_ALIASES),
      referrerTypes: [...new Set(typesOf.get(tag.digest))],
    }));
  }

  /** Manifests, the one that was pushed last first. */
  async manifests(
    name: RepositoryName,
    { after, limit }: { readonly after?: PushPosition | undefined; readonly limit: number },
  ): Promise<Page<ListedManifest & PushPosition>> {
    const from = after ?? { pushedAt: Number.MAX_SAFE_INTEGER, id: 0 };
    const found = await this.#metadata.inventory.manifests(name, from, limit + 1);
    const page = found.slice(0, limit);
    const summaries = await this.#summariesOf(
      name,
      page.map(({ digest }) => digest),
    );
    return {
      items: page.map((each) => ({ ...each, ...(summaries.get(each.digest) ?? unread(each.mediaType)) })),
      more: found.length > limit,
    };
  }

  /** One manifest; undefined when the repository does not have it. */
  async manifest(name: RepositoryName, digest: Digest): Promise<ListedManifest | undefined> {
    const found = await this.#metadata.inventory.manifest(name, digest);
    if (!found) return undefined;
    const summaries = await this.#summariesOf(name, [digest]);
    return { ...found, ...(summaries.get(digest) ?? unread(found.mediaType)) };
  }

  /** What is in a manifest and below it; undefined when the repository does not have it. */
  async tree(name: RepositoryName, digest: Digest): Promise<ManifestTree | undefined> {
    const found = await this.manifest(name, digest);
    if (!found) return undefined;
    const { inventory } = this.#metadata;
    const [read] = await inventory.payloads(name, [digest], MAX_MANIFEST_SIZE);
    const content = read && contentOf(read.payload, read.mediaType);
    const [tags = []] = await inventory.aliases(name, [digest], MAX_ALIASES);
    const children = content?.children.slice(0, MAX_SHOWN_CHILDREN) ?? [];
    const sizes = new Map<string, number>();
    const digests = children.map((each) => each.digest);
    const here = await inventory.present(
      name,
      digests.flatMap((each) => parseDigest(each) ?? []),
    );
    for await (const { digest: child, mediaType, payload } of this.#payloads(name, digests)) {
      const parsed = contentOf(payload, mediaType);
      if (parsed) sizes.set(child, bytesOf(payload.length, parsed));
    }
    const kind = content ? kindOf(content) : found.kind;
    return { ...found, kind, tagNames: tags, content, ...foldedChildren(children, here, sizes) };
  }

  /** The config and the layers of an image; undefined when the repository has no such manifest, or it is no image. */
  async image(name: RepositoryName, digest: Digest): Promise<ImageDetails | undefined> {
    const { inventory } = this.#metadata;
    const [read] = await inventory.payloads(name, [digest], MAX_MANIFEST_SIZE);
    const content = read && contentOf(read.payload, read.mediaType);
    if (!content || kindOf(content) !== "image") return undefined;
    const configDigest = parseDigest(content.config?.digest ?? "");
    const config = configDigest && (await readConfig(this.#namespace.repository(name), configDigest));
    const users = await inventory.usersOf(
      content.layers.slice(0, MAX_SHOWN_LAYERS).map((layer) => layer.digest),
      MAX_USERS,
    );
    return { configDigest: content.config?.digest, config, lines: linesOf(content.layers, config, users) };
  }

  /** What refers to a manifest, and to that, in a tree; undefined when the repository has no such manifest. */
  async referrers(name: RepositoryName, digest: Digest): Promise<ReferrerTree | undefined> {
    if (!(await this.#metadata.inventory.manifest(name, digest))) return undefined;
    return await referrerTree(this.#namespace.repository(name).referrers, digest);
  }

  /** Unfinished uploads of a repository, in order of their ids. */
  async uploads(name: RepositoryName, after: string, limit: number): Promise<Page<UploadSummary>> {
    const found = await this.#metadata.inventory.uploads(name, after, limit + 1);
    return { items: found.slice(0, limit), more: found.length > limit };
  }

  async #summariesOf(name: RepositoryName, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, ImageSummary>> {
    const known = new Map<Digest, ImageSummary>();
    const unknown: Digest[] = [];
    for (const digest of digests) {
      const summary = this.#summaries.get(digest);
      if (summary) known.set(digest, summary);
      else unknown.push(digest);
    }
    if (unknown.length === 0) return known;
    for await (const read of this.#payloads(name, unknown)) {
      const summary = await this.#read(name, read);
      known.set(read.digest, summary);
      // What is incomplete here may be whole in another repository, or after the next push.
      if (summary.bytes === undefined || (summary.kind === "image" && summary.platforms.length === 0)) continue;
      const bytes = summary.platforms.reduce((sum, platform) => sum + textBytes(platform), textBytes(read.digest));
      this.#summaries.set(read.digest, summary, bytes + SUMMARY_BYTES);
    }
    return known;
  }

  /** The bytes of those of the manifests that are there and not too long, some of them at a time. */
  async *#payloads(name: RepositoryName, digests: readonly string[]): AsyncGenerator<ManifestPayload, void> {
    for (let at = 0; at < digests.length; at += READ_AT_ONCE) {
      yield* await this.#metadata.inventory.payloads(name, digests.slice(at, at + READ_AT_ONCE), MAX_READ_BYTES);
    }
  }

  async #read(name: RepositoryName, { mediaType, payload }: ManifestPayload): Promise<ImageSummary> {
    const content = contentOf(payload, mediaType);
    const kind = kindOf(content);
    if (!content) return { kind, platforms: [], bytes: undefined };
    if (kind !== "index") {
      const platform = kind === "image" ? await this.#platformOf(name, content.config?.digest) : undefined;
      return { kind, platforms: platform === undefined ? [] : [platform], bytes: bytesOf(payload.length, content) };
    }
    const images = content.children.filter((child) => !isAttestation(child));
    const platforms = new Set(images.flatMap(({ platform }) => platformText(platform) ?? []));
    const bytes = await this.#bytesOfIndex(
      name,
      payload.length,
      content.children.map((child) => child.digest),
    );
    return { kind, platforms: [...platforms], bytes };
  }

  async #bytesOfIndex(name: RepositoryName, own: number, children: readonly string[]): Promise<number | undefined> {
    if (children.length > MAX_CHILDREN) return undefined;
    const here = await this.#metadata.inventory.payloads(name, children, MAX_READ_BYTES);
    if (here.length < new Set(children).size) return undefined;
    return here.reduce((sum, { payload, mediaType }) => {
      const content = contentOf(payload, mediaType);
      return sum + (content ? bytesOf(payload.length, content) : payload.length);
    }, own);
  }

  async #platformOf(name: RepositoryName, config: string | undefined): Promise<string | undefined> {
    const digest = config === undefined ? undefined : parseDigest(config);
    const read = digest && (await readConfig(this.#namespace.repository(name), digest));
    return (
      read &&
      platformText({
        os: read.os ?? "",
        architecture: read.architecture ?? "",
        ...(read.variant ? { variant: read.variant } : {}),
      })
    );
  }
}

const SUMMARY_BYTES = 200;

/** Of a manifest that is too large to be read in a list. */
function unread(mediaType: string): ImageSummary {
  const kind = isManifestMediaType(mediaType) ? MANIFEST_SHAPES[mediaType] : "image";
  return { kind, platforms: [], bytes: undefined };
}

type Comparison = (a: RepositorySummary, b: RepositorySummary) => number;

const byName: Comparison = (a, b) => compareTexts(a.name, b.name);

function by(value: (repository: RepositorySummary) => number): Comparison {
  return (a, b) => value(a) - value(b) || byName(a, b);
}

function falling(value: (repository: RepositorySummary) => number): Comparison {
  return (a, b) => value(b) - value(a) || byName(a, b);
}

/** By what a repository is compared; 0 where the name alone decides. */
export function valueIn(order: RepositoryOrder, { bytes, tags, lastPush = 0 }: RepositorySummary): number {
  switch (order) {
    case "size":
    case "-size":
      return bytes;
    case "tags":
    case "-tags":
      return tags;
    case "pushed":
    case "-pushed":
      return lastPush;
    case "name":
    case "-name":
      return 0;
  }
}

const REPOSITORY_COMPARISONS: Readonly<Record<RepositoryOrder, Comparison>> = {
  name: byName,
  "-name": (a, b) => byName(b, a),
  size: by((each) => each.bytes),
  "-size": falling((each) => each.bytes),
  tags: by((each) => each.tags),
  "-tags": falling((each) => each.tags),
  pushed: by(({ lastPush = 0 }) => lastPush),
  "-pushed": falling(({ lastPush = 0 }) => lastPush),
};

/** A repository that compares as the one at the position did. */
function positioned({ value, name }: RepositoryPosition): RepositorySummary {
  return { name: name as RepositoryName, bytes: value, tags: value, lastPush: value, createdAt: 0 };
}

/** Where the first tag stands that comes behind `after`, which may be gone. */
function positionBehind(sorted: readonly OrderedTag[], after: string, order: TagOrderName): number {
  const isVersion = order.endsWith("version");
  const sign = order.startsWith("-") ? -1 : 1;
  const key = isVersion ? versionKey(after) : after;
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const each = sorted[middle];
    const order_ = each ? sign * compareTexts(isVersion ? each.key : each.tag, key) : 1;
    if (order_ <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
