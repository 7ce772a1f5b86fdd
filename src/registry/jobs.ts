/** Carries out jobs (`metadata/jobs.ts`): one process at a time, in small steps with pauses, so that requests do not notice. */
import { Pace } from "../lib/pace.ts";
import { pause } from "../lib/pause.ts";
import type { Job } from "../metadata/jobs.ts";
import type { Logger } from "../observe/logger.ts";
import type { Backend } from "./backend.ts";
import { afterCommits } from "./commit-watch.ts";
import { Lease } from "./gc/lease.ts";

export interface JobHooks {
  /** Called after each step with the rows that are done so far; when it says "stop", the rest is left to other processes. */
  readonly onStep?: (rows: number) => "stop" | void;
  /** Called now and then while another process carries the jobs out, with the milliseconds that it has been waited for. */
  readonly onWait?: (waitedMs: number) => void;
}

/** Should a process die in the midst of a job, another one goes on after so long. */
const LEASE_MS = 30_000;
/** Milliseconds until a job that failed is tried again. */
const RETRY_MS = 60_000;
/** Milliseconds between two looks at jobs that another process carries out. */
const WATCH_MS = 100;
/** Jobs that get a step in turn: a long one does not keep others waiting. */
const AT_ONCE = 100;

const NAME = "jobs";

/** Carries out jobs as they come until `signal` says stop. What fails is logged and tried again. */
export async function runJobsInBackground(backend: Backend, log: Logger, signal: AbortSignal): Promise<void> {
  const lease = new Lease(backend, NAME, LEASE_MS);
  const failed = new Map<number, number>();
  const onError = (error: unknown): void => {
    if (!signal.aborted) log.error({ err: error }, "jobs could not be carried out: retrying");
  };
  await afterCommits(backend, { signal, onError }, async () => {
    if ((await nextJobs(backend, { failed })).length > 0) {
      await using held = await lease.hold();
      if (!held) return "again"; // the process that has the lease may end before the jobs are done
      await carryOut(backend, { log, failed, ending: AbortSignal.any([signal, held.lost]) });
    }
    return failed.size > 0 ? "again" : "done";
  });
}

/** Carries out the jobs that there are now, or waits for the process that does. Resolves when they are done. */
export async function finishJobs(backend: Backend, { onStep, onWait }: JobHooks = {}): Promise<void> {
  const { metadata } = backend;
  const lease = new Lease(backend, NAME, LEASE_MS);
  const last = await metadata.jobs.last();
  const stopping = new AbortController();
  let rows = 0;
  let since = performance.now();
  while (!stopping.signal.aborted && (await nextJobs(backend, { last })).length > 0) {
    await using held = await lease.hold();
    if (held) {
      const ending = AbortSignal.any([stopping.signal, held.lost]);
      const counted = (more: number): void => {
        rows += more;
        if (onStep?.(rows) === "stop") stopping.abort();
      };
      await carryOut(backend, { ending, onStep: counted, last });
      since = performance.now();
    } else {
      onWait?.(performance.now() - since);
      await pause(WATCH_MS, stopping.signal);
    }
  }
}

interface Work {
  readonly ending: AbortSignal;
  /** Jobs behind it are left; none when absent. */
  readonly last?: number;
  readonly onStep?: (rows: number) => void;
  /** Where the beginning and the end of each job is logged, and what failed; when absent, a failure ends the work. */
  readonly log?: Logger;
  /** Jobs that failed, and until when they are left, in milliseconds as `performance.now` counts them. */
  readonly failed?: Map<number, number>;
}

/** Makes steps of all jobs in turn, with a rest after each. */
async function carryOut(backend: Backend, work: Work): Promise<void> {
  const { ending, onStep, log, failed } = work;
  const { metadata } = backend;
  const begun = new Set<number>();
  const pace = new Pace({ signal: ending });
  for (;;) {
    const jobs = await nextJobs(backend, work);
    if (jobs.length === 0) return;
    for (const job of jobs) {
      if (!begun.has(job.id)) log?.info({ job: described(job) }, job.done > 0 ? "job goes on" : "job begins");
      begun.add(job.id);
      try {
        const step = await pace.step(() => metadata.jobs.step(job.id));
        failed?.delete(job.id);
        onStep?.(step?.rows ?? 0);
        if (step?.isLast) log?.info({ job: described(job, step.rows) }, "job done");
      } catch (error) {
        if (!log || !failed) throw error;
        log.error({ err: error, job: described(job) }, "a job failed: it is retried in a minute");
        failed.set(job.id, performance.now() + RETRY_MS);
      }
      if (!(await pace.rest())) return;
    }
  }
}

/** The oldest jobs that are to be carried out. */
async function nextJobs(
  { metadata }: Backend,
  { last = Infinity, failed }: Pick<Work, "last" | "failed">,
): Promise<readonly Job[]> {
  const jobs = await metadata.jobs.list({ limit: AT_ONCE });
  const now = performance.now();
  return jobs.filter(({ id }) => id <= last && (failed?.get(id) ?? 0) <= now);
}

function described({ id, kind, subject, done }: Job, more = 0): object {
  return { id, kind, subject, rows: done + more };
}
