/**
 * Jobs: work on many rows that goes on after the transaction that made it necessary, in steps that are short transactions.
 *
 *   a client deletes something
 *     → one short transaction: what hides it from all clients, and the row of a job
 *   step after step (`registry/jobs.ts`), in any process: a bounded number of rows, and the position from which the next step
 *     goes on, in one transaction; the last step removes the job's row
 *
 * A crash loses nothing: the next step begins where the last one that was committed ended. Two processes that make steps of
 * one job do no harm, because each step reads the position in its transaction.
 */
import { anyDigest, integer, optional, query, text, word } from "./columns.ts";
import { digestBytes } from "./digest-bytes.ts";
import { lockJob } from "./locks.ts";
import { rows, run, bound, locked, rowsOf } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** What jobs do; `job-steps.ts` has the step of each kind. */
export type JobKind = "delete repository" | "remove tags" | "review referrers";

export const JOB_KIND = word<JobKind>("delete repository", "remove tags", "review referrers");

export interface Job {
  readonly id: number;
  readonly kind: JobKind;
  /** The id of a repository; 0 for none. */
  readonly repo: number;
  /** The id of a manifest, whose row may be gone; undefined for none. */
  readonly manifest: number | undefined;
  /** What it is about: a digest in the repository, or the name that the repository had; empty for neither. */
  readonly subject: string;
  /** Where the next step goes on, as the last one wrote it; empty before the first step. */
  readonly position: string;
  /** Rows that the steps so far were about. */
  readonly done: number;
  /** Milliseconds since 1970. */
  readonly begunAt: number;
}

/** What one step did. */
export interface JobStep {
  /** Rows that it removed, changed or looked at. */
  readonly rows: number;
  /** Where the next step goes on; unchanged when absent. */
  readonly position?: string;
  /** Whether the job has no more to do. */
  readonly isLast: boolean;
}

/** Rows that one step of a job takes: one or two milliseconds, for which writers wait. */
export const STEP_ROWS = 100;

const BEGIN = `
  insert into job (kind, repo, manifest, digest, name, begun_at) values ($1, $2, $3, $4, $5, $6)`;

const COLUMNS = {
  id: integer,
  kind: JOB_KIND,
  repo: integer,
  manifest: optional(integer),
  digest: optional(anyDigest),
  name: optional(text),
  position: text,
  done: integer,
  begunAt: integer,
};

const SELECT = "select id, kind, repo, manifest, digest, name, position, done, begun_at from job";

const FIND = query(COLUMNS, `${SELECT} where id = $1`);

const LIST = query(COLUMNS, `${SELECT} where id > $1 order by id limit $2`);

function jobOf({ digest, name, ...job }: ReturnType<typeof FIND.decode>): Job {
  return { ...job, subject: digest ?? name ?? "" };
}

/** A job that is not done. */
export function* findJob(id: number): Transaction<Job | undefined> {
  const [found] = yield* rowsOf(locked([lockJob(id)], bound(FIND, id)));
  return found && jobOf(found);
}

/** Jobs that are not done, the oldest first. */
export function* listJobs(after: number, limit: number): Transaction<readonly Job[]> {
  return (yield* rows(LIST, after, limit)).map(jobOf);
}

/** What a job is about. */
export interface JobSubject {
  readonly repo: number;
  readonly manifest?: number;
  readonly digest?: string;
  readonly name?: string;
}

/** Begins a job in the transaction that makes it necessary. */
export function* beginJob(kind: JobKind, about: JobSubject, now: number): Transaction<void> {
  const { repo, manifest = null, digest, name = null } = about;
  yield* run(BEGIN, kind, repo, manifest, digest === undefined ? null : digestBytes(digest), name, now);
}
