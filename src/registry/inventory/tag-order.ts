/**
 * The tags of a repository in the order of versions, and by name. No index of the database has the first, so a process sorts the
 * names once and caches them: bounded in bytes, and valid as long as the revision of the repository is the same. Those of a large repository
 * that changes all the time are read at most every `STALE_MS`: callers look up each tag that they show.
 */
import { LruCache, textBytes } from "../../lib/lru.ts";
import { SingleFlight } from "../../lib/single-flight.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Tag } from "../../oci/tag.ts";
import type { Namespace } from "../namespace.ts";
import { compareTexts, versionKey } from "./version-order.ts";

/** A tag and the text by which it compares. */
export interface OrderedTag {
  readonly tag: Tag;
  readonly key: string;
}

/** All tags in both orders. */
export interface SortedTags {
  /** The oldest version first. */
  readonly byVersion: readonly OrderedTag[];
  /** In byte order. */
  readonly byName: readonly OrderedTag[];
}

interface CachedTags extends SortedTags {
  readonly revision: unknown;
  readonly readAt: number;
}

const MAX_BYTES = 64 * 1024 ** 2;

/** Milliseconds for which a list of `MANY` tags is used whatever changed meanwhile. */
const STALE_MS = 2000;
const MANY = 10_000;

/** Bytes of an entry of the lists beside its two texts. */
const ITEM_BYTES = 72;

export class TagOrder {
  readonly #namespace: Namespace;
  readonly #sorted = new LruCache<RepositoryName, CachedTags>(MAX_BYTES);
  readonly #reading = new SingleFlight<RepositoryName, CachedTags>();

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  async of(name: RepositoryName): Promise<SortedTags> {
    const known = this.#sorted.get(name);
    const isRecent = known && known.byName.length >= MANY && performance.now() - known.readAt < STALE_MS;
    if (isRecent) return known;
    if (known && (await this.#namespace.revision({ repository: name })) === known.revision) return known;
    return await this.#reading.run(name, () => this.#read(name));
  }

  async #read(name: RepositoryName): Promise<CachedTags> {
    const revision = await this.#namespace.revision({ repository: name });
    const readAt = performance.now();
    const byName: OrderedTag[] = [];
    let bytes = 0;
    for await (const page of this.#namespace.repository(name).tags.namePages()) {
      for (const tag of page) {
        const key = versionKey(tag);
        byName.push({ tag, key });
        bytes += ITEM_BYTES + textBytes(tag) + textBytes(key);
      }
    }
    const byVersion = byName.toSorted((a, b) => compareTexts(a.key, b.key));
    const sorted = { byVersion, byName, revision, readAt };
    this.#sorted.set(name, sorted, bytes);
    return sorted;
  }
}
