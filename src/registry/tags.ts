/** The tags of a repository. */
import { matchesAny } from "../lib/glob.ts";
import { conditionFailed } from "../oci/tag-condition.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import type { ChangeResult, Listed, TagEvent, TagRecord, TagRules } from "../metadata/tags.ts";
import type { Page } from "../metadata/page.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { manifestUnknown } from "../oci/unknown.ts";
import type { Backend } from "./backend.ts";
import { tagIsFixed } from "./manifests.ts";
import type { Manifest, ManifestDescriptor } from "./manifests.ts";
import { PAGE_SIZE, pagesOf } from "./pages.ts";
import { allowedByQuotas } from "./quota-refusal.ts";
import type { PageStart } from "./pages.ts";

export interface TagService {
  exists(tag: Tag): Promise<boolean>;
  /** What the tag points at; undefined when there is no such tag. */
  stat(tag: Tag): Promise<ManifestDescriptor | undefined>;
  /** The manifest it points at; undefined when there is no such tag. */
  find(tag: Tag): Promise<Manifest | undefined>;
  /** Points the tag at a manifest of this repository; refused with `MANIFEST_UNKNOWN` when that is not here. */
  put(tag: Tag, digest: Digest, condition?: TagCondition): Promise<void>;
  /** Removes the tag, not the manifest; refused with `MANIFEST_UNKNOWN` on absence. */
  delete(tag: Tag, condition?: TagCondition): Promise<void>;
  /** Tags in byte order, from any place on; read page by page, so that a million of them need no memory. */
  list(from?: PageStart): AsyncIterable<TagRecord>;
  /** Their names alone, in pages of up to 1,000. */
  namePages(from?: PageStart): AsyncGenerator<readonly Tag[], void>;
  /** What the tag has pointed at, newest first. */
  history(tag: Tag, limit?: number): Promise<readonly TagEvent[]>;
  /**
   * Points the tag at what it pointed at then, and gives that digest. Refused with `MANIFEST_UNKNOWN` when it pointed at
   * nothing, or that manifest is not here any more: one deleted by digest cannot come back.
   */
  restore(tag: Tag, at: Date): Promise<Digest>;
}

const HISTORY_LIMIT = 1000;

/**
 * Pages without the tags that are gone for clients: their rows are removed in steps. No page is empty. Where there is one of
 * them, many may lie behind it: from then on pages are read that are as large as pages get, however few tags are wanted.
 */
async function* livePages<Row extends { readonly name: Tag }>(
  { after, limit = Infinity }: PageStart,
  read: (page: Page) => Promise<readonly Listed<Row>[]>,
): AsyncGenerator<readonly Row[], void> {
  let left = limit;
  if (left <= 0) return;
  let areGone = false;
  const start = after === undefined ? {} : { after };
  const nextSize = (): number => (areGone ? PAGE_SIZE : Math.min(left, PAGE_SIZE));
  for await (const page of pagesOf(start, read, (tag) => tag.name, { nextSize })) {
    const live = page.filter((tag) => tag.isLive).slice(0, left);
    left -= live.length;
    areGone ||= live.length < page.length;
    if (live.length > 0) yield live;
    if (left <= 0) return;
  }
}

export class LocalTags implements TagService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async exists(tag: Tag): Promise<boolean> {
    return (await this.stat(tag)) !== undefined;
  }

  stat(tag: Tag): Promise<ManifestDescriptor | undefined> {
    return this.#backend.metadata.manifests.findByTag(this.#name, tag);
  }

  find(tag: Tag): Promise<Manifest | undefined> {
    return this.#backend.metadata.manifests.readByTag(this.#name, tag);
  }

  async put(tag: Tag, digest: Digest, condition?: TagCondition): Promise<void> {
    const { metadata, cause } = this.#backend;
    const result = await metadata.tags.put(this.#name, tag, digest, this.#rulesOf(tag, condition), cause);
    this.#settle(allowedByQuotas(result), tag, { digest });
  }

  async delete(tag: Tag, condition?: TagCondition): Promise<void> {
    const { metadata, cause } = this.#backend;
    const result = await metadata.tags.delete(this.#name, tag, this.#rulesOf(tag, condition), cause);
    this.#settle(result, tag, { tag });
  }

  async *list(from: PageStart = {}): AsyncGenerator<TagRecord> {
    const pages = livePages(from, (page) => this.#backend.metadata.tags.list(this.#name, page));
    for await (const page of pages) for (const { name, digest, updatedAt } of page) yield { name, digest, updatedAt };
  }

  async *namePages(from: PageStart = {}): AsyncGenerator<readonly Tag[], void> {
    const pages = livePages(from, (page) => this.#backend.metadata.tags.names(this.#name, page));
    for await (const page of pages) yield page.map(({ name }) => name);
  }

  history(tag: Tag, limit: number = HISTORY_LIMIT): Promise<readonly TagEvent[]> {
    return this.#backend.metadata.tags.history(this.#name, tag, limit);
  }

  async restore(tag: Tag, at: Date): Promise<Digest> {
    const time = at.getTime();
    const history = await this.history(tag);
    const then = history.find(({ since, until = Infinity }) => since <= time && time < until);
    if (!then) throw manifestUnknown(this.#name, { tag, at: at.toISOString() });
    await this.put(tag, then.digest);
    return then.digest;
  }

  /** Whether they hold is decided by the transaction that changes the tag: another push may come first. */
  #rulesOf(tag: Tag, condition: TagCondition | undefined): TagRules {
    return { condition, immutable: matchesAny(this.#backend.limits.immutableTagsOf(this.#name), tag) };
  }

  #settle(result: ChangeResult, tag: Tag, detail: Readonly<Record<string, unknown>>): void {
    if (result === "immutable") throw tagIsFixed(tag);
    if (result === "condition") throw conditionFailed();
    if (result === "absent") throw manifestUnknown(this.#name, detail);
  }
}
