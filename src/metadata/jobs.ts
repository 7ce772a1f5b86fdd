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
import { integer, query, text, word } from "./columns.ts";
import { first } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** What jobs do; `job-steps.ts` has the step of each kind. */
export type JobKind = "delete repository" | "remove tags" | "review referrers";

export const JOB_KIND = word<JobKind>("delete repository", "remove tags", "review referrers");

export interface Job {
  readonly id: number;
  readonly kind: JobKind;
  /** The id of a repository; 0 for none. */
  readonly repo: number;
  /** What it is about, such as the name of a repository, or a digest in one. */
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

const BEGIN = query(
  { id: integer },
  `insert into job (kind, repo, subject, begun_at) values ($1, $2, $3, $4) returning id`,
);

export const JOB = {
  id: integer,
  kind: JOB_KIND,
  repo: integer,
  subject: text,
  position: text,
  done: integer,
  begunAt: integer,
};

/** Begins a job in the transaction that makes it necessary; returns its id, which is larger than all before. */
export function* beginJob(
  kind: JobKind,
  about: { readonly repo?: number; readonly subject?: string },
  now: number,
): Transaction<number> {
  const begun = yield* first(BEGIN, kind, about.repo ?? 0, about.subject ?? "", now);
  if (!begun) throw new Error("a job was not recorded");
  return begun.id;
}
