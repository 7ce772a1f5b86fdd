/** Statements that compare what is recorded with what is there. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { whereabouts } from "./blobs.ts";
import type { BytesRow } from "./blobs.ts";
import type { NeedingManifest, Page, RecordedBlob } from "./metadata-store.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const BLOBS = `
  select b.digest, b.size, b.storage_key, b.mtime, b.state, i.payload
  from blob b left join blob_inline i on i.digest = b.digest
  where b.digest > $1 order by b.digest limit $2`;

const KNOWN = `
  select 1 as found from blob where storage_key = $1
  union all select 1 from upload where id = $2 and (storage_key = $1 or final_key = $1)
  union all select 1 from trash where storage_key = $1
  limit 1`;

const NEEDING = `
  select r.name as repository, e.repo, e.manifest from manifest_blob e join repo r on r.id = e.repo
  where e.blob = $1 order by r.name, e.manifest limit $2`;

const TAGS = `select name from tag where repo = $1 and digest = $2 order by name`;

export function* allBlobs(page: Page): Transaction<readonly RecordedBlob[]> {
  const found = yield* rows<BytesRow & { digest: Digest; size: number; state: string }>(
    BLOBS,
    page.after ?? "",
    page.limit,
  );
  return found.map((row) => ({
    digest: row.digest,
    size: row.size,
    at: whereabouts(row),
    damaged: row.state !== "live",
  }));
}

export function* knownKeys(keys: readonly string[]): Transaction<ReadonlySet<string>> {
  const known = new Set<string>();
  for (const key of keys) if (yield* first(KNOWN, key, uploadIn(key))) known.add(key);
  return known;
}

/** An upload's id stands in every key that is made for it: its row is found by it, without a walk over all uploads. */
function uploadIn(key: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(key)?.[0] ?? "";
}

export function* manifestsNeeding(digest: Digest, limit: number): Transaction<readonly NeedingManifest[]> {
  const found = yield* rows<{ repository: RepositoryName; repo: number; manifest: Digest }>(NEEDING, digest, limit);
  const needing: NeedingManifest[] = [];
  for (const { repository, repo, manifest } of found) {
    const tags = (yield* rows<{ name: Tag }>(TAGS, repo, manifest)).map((row) => row.name);
    needing.push({ repository, digest: manifest, tags });
  }
  return needing;
}
