/**
 * Locks for engines with several writers at a time (`Statement.locks`), in the words of PostgreSQL: other engines never see
 * them. Rows are locked in the order of their keys, so that transactions wait for each other in one direction.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { digestBytes } from "./digest-bytes.ts";
import { listed, statement } from "./sql.ts";
import type { Statement } from "./sql.ts";

const LOCK_TAGS = `
  select pg_advisory_xact_lock(hashtextextended($1::text || ':' || value, 0))
  from (select value from json_each($2) order by value) tag`;

const LOCK_BLOB = `select id from blob where digest = $1 for update`;

const LOCK_BLOBS = `
  select id from blob where id in (select cast(value as bigint) from json_each($1)) order by id for update`;

const LOCK_LINKS = `
  select repo, blob from repo_blob
  where (repo, blob) in (select cast(value ->> 0 as bigint), cast(value ->> 1 as bigint) from json_each($1))
  order by repo, blob for update`;

const LOCK_MANIFESTS = `
  select id from manifest where id in (select cast(value as bigint) from json_each($1)) order by id for update`;

const KEEP_MANIFESTS = `
  select m.id from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select unhex(value) from json_each($2)) order by m.id for key share of m`;

const LOCK_JOB = `select id from job where id = $1 for update`;

/** The lock of `fold_usage` in the schema of PostgreSQL. */
const LOCK_COUNTING = `select pg_advisory_xact_lock(x'666f6c64'::bigint)`;

/** Nothing is moved into the rows of repositories and quotas while a quota is counted. */
export function lockCounting(): Statement {
  return statement(LOCK_COUNTING);
}

const LOCK_NAMED = `select pg_advisory_xact_lock(hashtextextended($1::text, 1))`;

/** No other transaction does the work of this name. */
export function lockNamed(name: string): Statement {
  return statement(LOCK_NAMED, name);
}

const SHARE_NAMED = `select pg_advisory_xact_lock_shared(hashtextextended($1::text, 1))`;

/** No other transaction does the work of this name alone; others that share it go on. */
export function shareNamed(name: string): Statement {
  return statement(SHARE_NAMED, name);
}

/** No other transaction reads what the tags point at in order to change it. */
export function lockTags(name: RepositoryName, tags: readonly Tag[]): Statement {
  return statement(LOCK_TAGS, name, listed(tags));
}

/** No other transaction replaces the bytes of the blob, or collects it. */
export function lockBlob(blob: Digest): Statement {
  return statement(LOCK_BLOB, digestBytes(blob));
}

/** No link to these blobs is made, and none of them is pushed again; `ids` as `listedIds` returns them. */
export function lockBlobs(ids: string): Statement {
  return statement(LOCK_BLOBS, ids);
}

/** No manifest begins to need one of these links; `links` as `pairsOf` returns them. */
export function lockLinks(links: string): Statement {
  return statement(LOCK_LINKS, links);
}

/** No tag and no index begins to hold one of these manifests; `ids` as `listedIds` returns them. */
export function lockManifests(ids: string): Statement {
  return statement(LOCK_MANIFESTS, ids);
}

/** None of these manifests is deleted; `digests` as `listedDigests` returns them. */
export function keepManifests(name: RepositoryName, digests: string): Statement {
  return statement(KEEP_MANIFESTS, name, digests);
}

/** No other transaction makes a step of the job. */
export function lockJob(id: number): Statement {
  return statement(LOCK_JOB, id);
}
