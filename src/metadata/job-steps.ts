/** The steps of jobs (`jobs.ts`), and which jobs there are. */
import { integer, query } from "./columns.ts";
import type { Database } from "./database.ts";
import { stepOfDeletion } from "./deleted-repositories.ts";
import { stepOfReferrers } from "./gc-queue.ts";
import { findJob, listJobs } from "./jobs.ts";
import type { Job, JobKind, JobStep } from "./jobs.ts";
import { first, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { stepOfTagRemoval } from "./tags.ts";

/**
 * One step of each kind of job: at most about `STEP_ROWS` rows, whatever there is. It may find that another process made steps
 * meanwhile, or that what it is about is gone; then it is the last one.
 */
const STEPS: Readonly<Record<JobKind, (job: Job, database: Database) => Transaction<JobStep>>> = {
  *"delete repository"(job, { clock, periods }) {
    const now = clock.now();
    return yield* stepOfDeletion(job, now, now + periods.graceMs);
  },
  "remove tags": (job) => stepOfTagRemoval(job),
  "review referrers": (job, { periods }) => stepOfReferrers(job, periods.graceMs),
};

const LAST = query({ id: integer }, `select coalesce(max(id), 0) as id from job`);

const GO_ON = `update job set position = $2, done = done + $3 where id = $1`;

const END = `delete from job where id = $1`;

export class Jobs {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Jobs that are not done, the oldest first. */
  list({ after = 0, limit }: { readonly after?: number; readonly limit: number }): Promise<readonly Job[]> {
    return this.#database.engine.read(() => listJobs(after, limit));
  }

  /** The id of the newest job that is not done; 0 when there is none. */
  async last(): Promise<number> {
    return (await this.#database.engine.read(() => first(LAST)))?.id ?? 0;
  }

  /**
   * Makes the next step of a job. Undefined when the job is done already, by whatever process. Durable after `flush`: a step
   * that a power loss takes back is made again.
   */
  step(id: number): Promise<JobStep | undefined> {
    const database = this.#database;
    return database.engine.write(function* (): Transaction<JobStep | undefined> {
      const job = yield* findJob(id);
      if (!job) return undefined;
      const step = yield* STEPS[job.kind](job, database);
      if (step.isLast) yield* run(END, id);
      else yield* run(GO_ON, id, step.position ?? job.position, step.rows);
      return step;
    }, "soon");
  }
}
