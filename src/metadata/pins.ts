/** Statements about manifests that somebody keeps on purpose. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Page, Pin } from "./metadata-store.ts";
import { findRepository, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { reviewManifest } from "./trash.ts";

const PIN = `
  insert into pin (repo, digest, why) values ($1, $2, $3) on conflict (repo, digest) do update set why = excluded.why`;

const UNPIN = `delete from pin where repo = $1 and digest = $2 returning digest`;

const LIST = `
  select p.digest, p.why from repo r join pin p on p.repo = r.id
  where r.name = $1 and p.digest > $2 order by p.digest limit $3`;

/** False when the repository has no such manifest. */
export function* pinManifest(name: RepositoryName, digest: Digest, why: string): Transaction<boolean> {
  const repo = yield* findRepository(name);
  if (repo === undefined || !(yield* hasManifest(repo, digest))) return false;
  yield* rows(PIN, repo, digest, why);
  yield* moveRepository(repo);
  return true;
}

/** False when it was not pinned. What the pin held is looked at anew. */
export function* unpinManifest(name: RepositoryName, digest: Digest, now: number): Transaction<boolean> {
  const repo = yield* findRepository(name);
  if (repo === undefined || !(yield* first(UNPIN, repo, digest))) return false;
  yield* moveRepository(repo);
  yield* reviewManifest(repo, digest, now);
  return true;
}

export function* listPins(name: RepositoryName, page: Page): Transaction<readonly Pin[]> {
  return yield* rows<Pin>(LIST, name, page.after ?? "", page.limit);
}
