/** Revisions as caches compare them, by whatever engine. */
import type { RepositoryName } from "../oci/repository-name.ts";

/** What a cached answer rests on. */
export type RevisionScope =
  /**
   * One repository: its manifests, tags, referrers and signatures, and that the blobs which it shows are still there and
   * intact. A blob that it shows from now on does not move it: that something is absent is not cached.
   */
  | { readonly repository: RepositoryName }
  /** Users, robots and signing keys: what authorization rests on. */
  | "accounts"
  /** Whatever is committed: lists over all repositories rest on it. */
  | "everything";

/** Equal (`===`) to an earlier one of the same scope as long as nothing in the scope has changed since. */
export type Revision = number | string;

/** Knows the revisions of a database. */
export interface RevisionSource {
  /**
   * Returns the revision of a scope, as of the beginning of this turn of the event loop at the least: a change that was
   * answered before a request came is in it, whatever process made it.
   */
  of(scope: RevisionScope): Revision | Promise<Revision>;
}
