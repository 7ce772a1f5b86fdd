/**
 * The tags of a repository in the order of versions. No index of the database has this order, so a process sorts the names once
 * and caches them: bounded in bytes, and valid as long as the revision of the repository is the same. Those of a large repository
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

interface SortedTags {
  readonly tags: readonly OrderedTag[];
  readonly revision: unknown;
  readonly readAt: number;
}

const MAX_BYTES = 64 * 1024 ** 2;

/** Milliseconds for which a list of `MANY` tags is used whatever changed meanwhile. */
const STALE_MS = 2000;
const MANY = 10_000;

/** Bytes of an entry of the list beside its two texts. */
const ITEM_BYTES = 64;

export class TagOrder {
  readonly #namespace: Namespace;
  readonly #sorted = new LruCache<RepositoryName, SortedTags>(MAX_BYTES);
  readonly #reading = new SingleFlight<RepositoryName, SortedTags>();

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  /** All tags, the oldest version first. */
  async of(name: RepositoryName): Promise<readonly OrderedTag[]> {
    const known = this.#sorted.get(name);
    const isRecent = known && known.tags.length >= MANY && performance.now() - known.readAt < STALE_MS;
    if (isRecent) return known.tags;
    if (known && (await this.#namespace.revision({ repository: name })) === known.revision) return known.tags;
    return (await this.#reading.run(name, () => this.#read(name))).tags;
  }

  async #read(name: RepositoryName): Promise<SortedTags> {
    const revision = await this.#namespace.revision({ repository: name });
    const readAt = performance.now();
    const tags: OrderedTag[] = [];
    let bytes = 0;
    for await (const page of this.#namespace.repository(name).tags.namePages()) {
      for (const tag of page) {
        const key = versionKey(tag);
        tags.push({ tag, key });
        bytes += ITEM_BYTES + textBytes(tag) + textBytes(key);
      }
    }
    const sorted = { tags: tags.toSorted((a, b) => compareTexts(a.key, b.key)), revision, readAt };
    this.#sorted.set(name, sorted, bytes);
    return sorted;
  }
}
