/** Work on the whole registry: garbage collection, integrity checks, backups, statistics, the audit of commands. */
import type { RecordedBlob } from "../metadata/blobs.ts";
import type { Backlog, Collectable } from "../metadata/collection.ts";
import type { CollectionRules } from "../metadata/database.ts";
import type { Job } from "../metadata/jobs.ts";
import type { Overview, RunName } from "../metadata/overview.ts";
import type { QuotaUsage } from "../metadata/quota-counting.ts";
import type { RepositoryUsage } from "../metadata/repositories.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Backend } from "./backend.ts";
import { check } from "./check.ts";
import type { CheckOptions, Finding } from "./check.ts";
import { collectInBackground } from "./gc/background.ts";
import type { BackgroundOptions } from "./gc/background.ts";
import { holdUnlinking } from "./gc/backup-lease.ts";
import { collectAll, previewCollection } from "./gc/collector.ts";
import type { CollectionHooks, CollectionReport } from "./gc/collector.ts";
import { Lease } from "./gc/lease.ts";
import type { HeldLease } from "./gc/lease.ts";
import { finishJobs, runJobsInBackground } from "./jobs.ts";
import type { JobHooks } from "./jobs.ts";
import { scrubInBackground } from "./gc/scrub.ts";
import type { ScrubOptions } from "./gc/scrub.ts";
import { auditOperations } from "./operations-audit.ts";
import { paged } from "./pages.ts";
import { repair } from "./repair.ts";

export interface Maintenance {
  /**
   * Removes what nothing needs any more, now and as a whole; requests go on meanwhile. `rules` stand in for those that the
   * registry was opened with.
   */
  collect(rules?: Partial<CollectionRules>, hooks?: CollectionHooks): Promise<CollectionReport>;
  /** What waits for collection, and until when. */
  backlog(): Promise<Backlog>;
  /**
   * What `collect` would take first. Only reads, page by page: each is true at the moment when it is read. What a manifest that
   * goes has held is not in it.
   */
  collectable(rules?: Partial<CollectionRules>): AsyncIterable<Collectable>;
  /** Compares what is recorded with what is there, and gives everything that is wrong; requests go on meanwhile. */
  check(options: CheckOptions & { readonly repair?: boolean }): AsyncIterable<Finding>;
  /**
   * Until it is disposed of, or lost, no file that is recorded now is removed: for a program that copies them. Rejects with
   * `UNAVAILABLE` while another process does.
   */
  holdUnlinking(): Promise<HeldLease>;
  /** How much there is, and what was last done; it walks through the whole database. */
  overview(): Promise<Overview>;
  /** How much is in each repository that has a manifest, in byte order of their names. */
  repositoryUsage(): AsyncIterable<RepositoryUsage>;
  /** How much is in one repository; undefined when nothing was ever written to it. */
  usageOf(repository: RepositoryName): Promise<Omit<RepositoryUsage, "lastPush"> | undefined>;
  /**
   * Deletes a repository with all that is in it, also what immutable tags need, at once for all clients; a push to its name begins
   * a new one. A job removes its rows. False when nothing is in it.
   */
  deleteRepository(repository: RepositoryName): Promise<boolean>;
  /** Jobs that are not done, the oldest first: what was deleted at once for clients is removed by them, in steps. */
  jobs(): AsyncIterable<Job>;
  /**
   * Resolves when the jobs that there are now are done: carries them out, in steps with pauses, or waits for the process that
   * does.
   */
  finishJobs(hooks?: JobHooks): Promise<void>;
  /** Carries out jobs as they come until `signal` says stop. */
  runJobsInBackground(signal: AbortSignal): Promise<void>;
  /** How much lies below the prefix of a quota; undefined while a server has not begun to count it. */
  quotaUsage(prefix: string): Promise<QuotaUsage | undefined>;
  /** Records what an operator changed by a command, such as `tag delete team/app:v1`: a server writes it to its audit. */
  recordOperation(who: string, command: string): Promise<void>;
  /** Writes to the audit what operators change by commands, until `signal` says stop. */
  auditOperations(signal: AbortSignal): Promise<void>;
  /** Records that a kind of work on the whole registry was done to its end: `overview` says when. */
  recordRun(job: RunName): Promise<void>;
  /** Every blob there is, whatever repositories show it. */
  allBlobs(): AsyncIterable<RecordedBlob>;
  /** Collects now and then until `signal` says stop. */
  collectInBackground(options: Omit<BackgroundOptions, "rules">, signal: AbortSignal): Promise<void>;
  /** Reads every blob again, slowly, until `signal` says stop. */
  scrubInBackground(options: ScrubOptions, signal: AbortSignal): Promise<void>;
  /** Work of this name that one process at a time does, of all that have this registry open. */
  lease(name: string, lengthMs: number): Lease;
}

export function createMaintenance(
  backend: Backend,
  observers: { readonly log: Logger; readonly metrics: Metrics },
): Maintenance {
  const { metadata } = backend;
  return {
    async collect(changed, hooks) {
      await finishJobs(backend); // what they remove may free more
      return await collectAll(backend, { ...backend.rules, ...changed }, hooks);
    },
    backlog: () => metadata.collection.backlog(),
    collectable: (changed) => previewCollection(backend, { ...backend.rules, ...changed }),
    overview: () => metadata.overview.read(),
    repositoryUsage: () =>
      paged(
        {},
        (page) => metadata.repositories.usage(page),
        (usage) => usage.name,
      ),
    usageOf: (repository) => metadata.repositories.usageOf(repository),
    deleteRepository: (repository) => metadata.repositories.delete(repository),
    jobs: () =>
      paged(
        {},
        ({ after, limit }) => metadata.jobs.list({ after: Number(after ?? 0), limit }),
        (job) => `${job.id}`,
      ),
    finishJobs: (hooks) => finishJobs(backend, hooks),
    runJobsInBackground: (signal) => runJobsInBackground(backend, observers.log, signal),
    quotaUsage: (prefix) => metadata.quotas.usage(prefix),
    recordOperation: (who, command) => metadata.operations.record(who, command),
    auditOperations: (signal) => auditOperations(backend, observers.log, signal),
    recordRun: (job) => metadata.overview.recordRun(job),
    holdUnlinking: () => holdUnlinking(backend),
    allBlobs: () =>
      paged(
        {},
        (page) => metadata.blobs.list(page),
        (blob) => blob.digest,
      ),
    check: ({ repair: repairs = false, ...checked }) => (repairs ? repair(backend, checked) : check(backend, checked)),
    scrubInBackground: (scrub, signal) => scrubInBackground(backend, scrub, observers, signal),
    collectInBackground: (background, signal) =>
      collectInBackground(backend, { ...background, rules: backend.rules }, observers, signal),
    lease: (name, lengthMs) => new Lease(backend, name, lengthMs),
  };
}
