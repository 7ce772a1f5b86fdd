/** Work on the whole registry: garbage collection, integrity checks, backups, statistics, the audit of commands. */
import type { AuditFilter, AuditRecord } from "../metadata/audit.ts";
import type { RecordedBlob } from "../metadata/blobs.ts";
import type { Backlog, Collectable } from "../metadata/collection.ts";
import type { CollectionRules } from "../metadata/database.ts";
import type { Job } from "../metadata/jobs.ts";
import type { Overview, RunName } from "../metadata/overview.ts";
import type { DeadEvent, EndpointState } from "../metadata/outbox.ts";
import type { QuotaUsage } from "../metadata/quota-counting.ts";
import type { RepositoryUsage } from "../metadata/repositories.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { AdoptionFinding, AdoptionProgress } from "../metadata/adoption.ts";
import { OciError } from "../oci/error.ts";
import type { Adoption } from "./adoption/adoption.ts";
import { adoptInBackground } from "./adoption/background.ts";
import { exportLinks } from "./adoption/link-export.ts";
import type { LinkExportOptions, LinkExportReport } from "./adoption/link-export.ts";
import type { WritableTreeFiles } from "../storage/tree-files.ts";
import type { Backend } from "./backend.ts";
import { check } from "./check.ts";
import { auditCommands } from "./command-audit.ts";
import type { Events } from "./events/events.ts";
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
import { LocalNamespace } from "./namespace.ts";
import { PAGE_SIZE, paged } from "./pages.ts";
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
  /** How far the adoption of a tree is, or was at its end; undefined when none was adopted. */
  adoption(): Promise<AdoptionProgress | undefined>;
  /** What was found damaged in the adopted tree. */
  adoptionFindings(): AsyncIterable<AdoptionFinding>;
  /**
   * Writes the links by which distribution finds what is here, into its tree in the data folder or bucket. Rejects with `UNAVAILABLE`
   * while that tree is being adopted, and with `UNSUPPORTED` when there is no place for one.
   */
  exportLinks(options?: LinkExportOptions): Promise<LinkExportReport>;
  /** Adopts the tree in the data folder or bucket, if there is one, until all is done or `signal` says stop. */
  adoptInBackground(signal: AbortSignal): Promise<void>;
  /** How much lies below the prefix of a quota; undefined while a server has not begun to count it. */
  quotaUsage(prefix: string): Promise<QuotaUsage | undefined>;
  /** Records what an operator changed by a command, such as `tag delete team/app:v1`: a server writes it to its audit. */
  recordOperation(who: string, command: string): Promise<void>;
  /** Writes to the log what operators change by commands, until `signal` says stop. */
  auditCommands(signal: AbortSignal): Promise<void>;
  /** The audit table, the newest record first; those that the filter allows. */
  auditRecords(filter?: AuditFilter): AsyncIterable<AuditRecord>;
  /**
   * Sends the events of the outbox to its endpoints, and keeps outbox and audit table within their bounds, until `signal` says
   * stop.
   */
  sendEvents(signal: AbortSignal): Promise<void>;
  /**
   * Sends endpoints what this process was pulled, until `signal` says stop: each process that serves clients does. What waits
   * then is lost, and counted.
   */
  sendPulls(signal: AbortSignal): Promise<void>;
  /** How far each endpoint of the options is. It counts the events that wait. */
  eventEndpoints(): Promise<readonly EndpointState[]>;
  /** Events that an endpoint did not take, the oldest first; of all endpoints when none is named. */
  deadEvents(endpoint?: string): AsyncIterable<DeadEvent>;
  /** Lets dead letters be sent again; returns how many of these there are. */
  retryDeadEvents(ids: readonly number[]): Promise<number>;
  /** Removes dead letters; returns how many of these there were. */
  removeDeadEvents(ids: readonly number[]): Promise<number>;
  /** Records that a kind of work on the whole registry was done to its end: `overview` says when. */
  recordRun(job: RunName): Promise<void>;
  /** Every blob there is, whatever repositories show it. */
  allBlobs(): AsyncIterable<RecordedBlob>;
  /** Collects now and then until `signal` says stop. */
  collectInBackground(options: Omit<BackgroundOptions, "rules" | "isAdopting">, signal: AbortSignal): Promise<void>;
  /** Reads every blob again, slowly, until `signal` says stop. */
  scrubInBackground(options: ScrubOptions, signal: AbortSignal): Promise<void>;
  /** Work of this name that one process at a time does, of all that have this registry open. */
  lease(name: string, lengthMs: number): Lease;
}

export interface MaintenanceParts {
  readonly adoption?: Adoption | undefined;
  readonly tree?: WritableTreeFiles | undefined;
  readonly events: Events;
  /** Of requests to endpoints. */
  readonly userAgent: string;
}

export function createMaintenance(
  backend: Backend,
  observers: { readonly log: Logger; readonly metrics: Metrics },
  { adoption, tree, events, userAgent }: MaintenanceParts,
): Maintenance {
  const { metadata } = backend;
  const endpoints = events.endpoints.map(({ name }) => name);
  const isAdopting = async (): Promise<boolean> => (await adoption?.refresh()) ?? false;
  const whenAdopted = async (work: string): Promise<void> => {
    if (!(await isAdopting())) return;
    const message = `the tree of distribution is still being indexed: ${work} waits for its end, which stowage status shows`;
    throw new OciError("UNAVAILABLE", { message });
  };
  return {
    async collect(changed, hooks) {
      await whenAdopted("garbage collection");
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
    async deleteRepository(repository) {
      await adoption?.addRepository(repository);
      return (await metadata.repositories.delete(repository, backend.cause)) === true;
    },
    jobs: () =>
      paged(
        {},
        ({ after, limit }) => metadata.jobs.list({ after: Number(after ?? 0), limit }),
        (job) => `${job.id}`,
      ),
    finishJobs: (hooks) => finishJobs(backend, hooks),
    runJobsInBackground: (signal) => runJobsInBackground(backend, observers.log, signal),
    quotaUsage: (prefix) => metadata.quotas.usage(prefix),
    recordOperation: (who, command) => metadata.audit.recordCommand(who, command),
    auditCommands: (signal) => auditCommands({ backend, log: observers.log, keeps: events.audits }, signal),
    auditRecords: (filter) => auditRecords(backend, filter),
    sendEvents: (signal) =>
      events.run({ backend, log: observers.log, counts: observers.metrics.notifications, userAgent }, signal),
    async sendPulls(signal) {
      const namespace = new LocalNamespace(backend);
      await events.pulls?.run(
        { namespace, log: observers.log, counts: observers.metrics.notifications, userAgent },
        signal,
      );
    },
    eventEndpoints: () => metadata.outbox.states(endpoints),
    deadEvents: (endpoint) =>
      paged(
        {},
        ({ after, limit }) => metadata.outbox.dead(Number(after ?? 0), limit, endpoint),
        (dead) => `${dead.id}`,
      ),
    retryDeadEvents: (ids) => metadata.outbox.retry(ids),
    removeDeadEvents: (ids) => metadata.outbox.removeDead(ids),
    recordRun: (job) => metadata.overview.recordRun(job),
    adoption: () => metadata.adoptions.progress(),
    async *adoptionFindings() {
      let last: AdoptionFinding | undefined;
      do {
        const page = await metadata.adoptions.findings(last, PAGE_SIZE);
        yield* page;
        last = page.length < PAGE_SIZE ? undefined : page.at(-1);
      } while (last);
    },
    async exportLinks(exported) {
      await whenAdopted("writing the links");
      if (!tree) throw new OciError("UNSUPPORTED", { message: "the registry is neither in a folder nor in a bucket" });
      return await exportLinks(backend, tree, exported);
    },
    async adoptInBackground(signal) {
      if (adoption) await adoptInBackground(backend, adoption, observers, signal);
    },
    async holdUnlinking() {
      await whenAdopted("a backup");
      return await holdUnlinking(backend);
    },
    allBlobs: () =>
      paged(
        {},
        (page) => metadata.blobs.list(page),
        (blob) => blob.digest,
      ),
    check: ({ repair: repairs = false, ...checked }) => (repairs ? repair(backend, checked) : check(backend, checked)),
    scrubInBackground: (scrub, signal) => scrubInBackground(backend, scrub, observers, signal),
    collectInBackground: (background, signal) =>
      collectInBackground(backend, { ...background, isAdopting, rules: backend.rules }, observers, signal),
    lease: (name, lengthMs) => new Lease(backend, name, lengthMs),
  };
}

/** Records that one page looks at. */
const AUDIT_PAGE = 500;

async function* auditRecords({ metadata }: Backend, filter: AuditFilter | undefined): AsyncGenerator<AuditRecord> {
  for (let before: number | undefined = Number.MAX_SAFE_INTEGER; before !== undefined;) {
    const { records, next }: Awaited<ReturnType<typeof metadata.audit.list>> = await metadata.audit.list(
      before,
      AUDIT_PAGE,
      filter,
    );
    yield* records;
    before = next;
  }
}
