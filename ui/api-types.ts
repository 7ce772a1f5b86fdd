/** What the API answers: the types of its schemas. */
import type { Deletion } from "../src/server/api/deletions.ts";
import type { Image, ManifestDetails } from "../src/server/api/manifests.ts";

export type { Referrer, ReferrerTree } from "../src/server/api/manifests.ts";
export type { Repository, RepositoryDetails } from "../src/server/api/repositories.ts";
export type { Session } from "../src/server/api/session.ts";
export type { Tag, TagHistory, TagPage } from "../src/server/api/tags.ts";
export type { Deletion, Image, ManifestDetails };

/** A page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
  /** On all pages; absent where the API does not say. */
  readonly total?: number;
}

export type IndexEntry = ManifestDetails["images"][number];
export type ImageConfig = NonNullable<Image["config"]>;
export type ImageLine = Image["lines"][number];
export type TagTarget = Deletion["tags"][number];
