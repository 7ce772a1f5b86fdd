/** All metrics, by their names in Prometheus. One object for each registry, so that two in a process do not mix. */
import type { Registry } from "prom-client";
import type { Call, CallObserver } from "./calls.ts";
import { Histogram, Metric } from "./metric.ts";
import type { Aggregator, Definition, Measured, Samples, Series } from "./metric.ts";

export type { Samples } from "./metric.ts";

/** The type of `Metrics.text`. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Seconds. Those from 0.005 on are distribution's. */
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60];
const CALL_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Bytes, as distribution has them: 1 KiB, doubled up to 2 GiB. */
const SIZES = Array.from({ length: 22 }, (_, power) => 1024 * 2 ** power);

export class Metrics {
  readonly #all: Measured[] = [];
  readonly #readings: (() => Promise<void>)[] = [];

  // Requests.

  readonly requests: Metric = this.counter({
    name: "registry_http_requests_total",
    help: "Requests that were answered.",
    labels: ["code", "handler", "method"],
  });

  readonly requestDuration: Histogram = this.histogram(
    {
      name: "registry_http_request_duration_seconds",
      help: "Seconds until the response was ready to be sent.",
      labels: ["handler", "method"],
    },
    REQUEST_SECONDS,
  );

  readonly requestsInFlight: Metric = this.gauge({
    name: "registry_http_in_flight_requests",
    help: "Requests whose response is not ready yet.",
    labels: ["handler"],
  });

  readonly requestSize: Histogram = this.histogram(
    { name: "registry_http_request_size_bytes", help: "Bytes of request bodies.", labels: ["handler"] },
    SIZES,
  );

  readonly responseSize: Histogram = this.histogram(
    { name: "registry_http_response_size_bytes", help: "Bytes of response bodies.", labels: ["handler"] },
    SIZES,
  );

  readonly uploads: Metric = this.counter({
    name: "stowage_uploads_total",
    help: "Uploads by what happened to them: begun, completed, completed_at_once (one request, or a mount), cancelled.",
    labels: ["event"],
  });

  readonly repositoryRequests: Metric = this.counter({
    name: "stowage_repository_requests_total",
    help: "Successful requests for manifests and blobs by repository, if http.debug.prometheus.repositories is set.",
    labels: ["repository", "operation"],
  });

  readonly repositoryBytes: Metric = this.counter({
    name: "stowage_repository_bytes_total",
    help: "Bytes of their bodies by repository, if http.debug.prometheus.repositories is set.",
    labels: ["repository", "operation"],
  });

  readonly cacheRequests: Metric = this.counter({
    name: "registry_storage_cache_requests_total",
    help: "Reads of content that may be in the response cache.",
  });

  readonly cacheHits: Metric = this.counter({
    name: "registry_storage_cache_hits_total",
    help: "Reads that were answered from the response cache.",
  });

  readonly #cacheReads: Series = this.cacheRequests.at();
  readonly #cacheHits: Series = this.cacheHits.at();

  // Access.

  readonly logins: Metric = this.counter({
    name: "stowage_logins_total",
    help: "Verified credentials by scheme (basic, bearer) and result (accepted, or the reason of the refusal).",
    labels: ["scheme", "result"],
  });

  readonly refusals: Metric = this.counter({
    name: "stowage_access_refusals_total",
    help: "Refused requests by reason: unauthenticated, rejected (the credentials), denied (the permission).",
    labels: ["reason"],
  });

  // Database and storage.

  readonly databaseSeconds: Histogram = this.histogram(
    {
      name: "stowage_database_action_seconds",
      help: "Seconds that calls to the database take.",
      labels: ["driver", "action"],
    },
    CALL_SECONDS,
  );

  readonly databaseErrors: Metric = this.counter({
    name: "stowage_database_errors_total",
    help: "Calls to the database that failed.",
    labels: ["driver", "action"],
  });

  readonly storageSeconds: Histogram = this.histogram(
    {
      name: "registry_storage_action_seconds",
      help: "Seconds that calls to the storage take.",
      labels: ["driver", "action"],
    },
    CALL_SECONDS,
  );

  readonly storageErrors: Metric = this.counter({
    name: "stowage_storage_errors_total",
    help: "Calls to the storage that failed.",
    labels: ["driver", "action"],
  });

  readonly upstreamSeconds: Histogram = this.histogram(
    {
      name: "stowage_upstream_action_seconds",
      help: "Seconds that calls to other servers take.",
      labels: ["driver", "action"],
    },
    REQUEST_SECONDS,
  );

  readonly upstreamErrors: Metric = this.counter({
    name: "stowage_upstream_errors_total",
    help: "Calls to other servers that failed.",
    labels: ["driver", "action"],
  });

  readonly diskFree: Metric = this.gauge({
    name: "stowage_disk_free_bytes",
    help: "Bytes that can be written to the disk of the data folder.",
    aggregator: "max",
  });

  readonly diskSize: Metric = this.gauge({
    name: "stowage_disk_size_bytes",
    help: "Size of the disk of the data folder.",
    aggregator: "max",
  });

  readonly storedBlobs: Metric = this.gauge({ name: "stowage_stored_blobs", help: "Blobs, at the last count." });

  readonly storedBytes: Metric = this.gauge({
    name: "stowage_stored_blob_bytes",
    help: "Bytes of the blobs, each counted once, at the last count.",
  });

  readonly storedCounted: Metric = this.gauge({
    name: "stowage_stored_counted_timestamp_seconds",
    help: "Unix time at which the last count of the blobs ended; 0 before the first.",
  });

  readonly quotaUsed: Metric = this.gauge({
    name: "stowage_quota_used",
    help: "Used amount of a quota by prefix and resource (bytes, tags, repositories).",
    labels: ["prefix", "resource"],
  });

  readonly quotaLimit: Metric = this.gauge({
    name: "stowage_quota_limit",
    help: "Limit of a quota by prefix and resource.",
    labels: ["prefix", "resource"],
  });

  // Work in the background.

  /** Things that collection removed, by kind: manifest, link, blob, upload, file. */
  readonly collected: Metric = this.counter({
    name: "stowage_collection_removed_total",
    help: "Deleted by garbage collection, by kind.",
    labels: ["kind"],
  });

  /** Bytes of the blobs that collection removed. */
  readonly collectedBytes: Metric = this.counter({
    name: "stowage_collection_removed_bytes_total",
    help: "Bytes of blobs deleted by garbage collection.",
  });

  /** Seconds since 1970; 0 before the first. */
  readonly lastCollection: Metric = this.gauge({
    name: "stowage_collection_last_completed_timestamp_seconds",
    help: "Unix time of the last round of garbage collection in this server; 0 when there was none since the start.",
    aggregator: "max",
  });

  readonly failedCollections: Metric = this.counter({
    name: "stowage_collection_failures_total",
    help: "Rounds of garbage collection that failed.",
  });

  readonly collectionWaiting: Metric = this.gauge({
    name: "stowage_collection_waiting",
    help: "What waits for garbage collection by kind (entry, file), counted up to a bound.",
    labels: ["kind"],
  });

  readonly scrubbedBytes: Metric = this.counter({
    name: "stowage_scrub_read_bytes_total",
    help: "Bytes read and hashed by the scrub.",
  });

  /** By kind of finding: "missing", "wrong size", "wrong content", "marked damaged", "unknown file". */
  readonly scrubFindings: Metric = this.counter({
    name: "stowage_scrub_findings_total",
    help: "Findings of the scrub, by kind.",
    labels: ["kind"],
  });

  /** Seconds since 1970; 0 before the first. */
  readonly lastScrub: Metric = this.gauge({
    name: "stowage_scrub_last_completed_timestamp_seconds",
    help: "Unix time of the last completed scrub; 0 when none was completed since the start.",
    aggregator: "max",
  });

  readonly jobsWaiting: Metric = this.gauge({
    name: "stowage_jobs_waiting",
    help: "Jobs that are not done, counted up to 1000.",
  });

  readonly adoptedManifests: Metric = this.gauge({
    name: "stowage_adoption_manifests",
    help: "Manifests of the adopted tree that are in the database so far.",
  });

  readonly openRepositories: Metric = this.gauge({
    name: "stowage_adoption_open_repositories",
    help: "Repositories of the adopted tree that are still to be indexed.",
  });

  readonly adoptionFindings: Metric = this.gauge({
    name: "stowage_adoption_findings",
    help: "What was found damaged in the adopted tree.",
  });

  // Notifications, by distribution's names.

  readonly #notificationEvents: Metric = this.counter({
    name: "registry_notifications_events_total",
    help: "Events by endpoint and type: Events, then tries (Successes, Failures, Errors), Dead, Dropped and Lost.",
    labels: ["type", "endpoint"],
  });

  readonly #notificationStatuses: Metric = this.counter({
    name: "registry_notifications_status_total",
    help: "Responses of endpoints by status.",
    labels: ["code", "endpoint"],
  });

  readonly #notificationsPending: Metric = this.gauge({
    name: "registry_notifications_pending_total",
    help: "Events that wait for an endpoint, as its sender last saw.",
    labels: ["endpoint"],
  });

  // The server.

  readonly certificateExpiry: Metric = this.gauge({
    name: "stowage_certificate_expiry_timestamp_seconds",
    help: "Unix time at which the certificate for TLS ends.",
    labels: ["path"],
  });

  readonly #droppedLines: Metric = this.counter({
    name: "stowage_log_dropped_lines_total",
    help: "Log lines dropped, because standard output did not accept them.",
  });

  readonly #droppedAuditLines: Metric = this.counter({
    name: "stowage_audit_dropped_lines_total",
    help: "Audit lines among the dropped log lines.",
  });

  readonly #unexpectedErrors: Metric = this.counter({
    name: "stowage_unexpected_errors_total",
    help: "Uncaught errors outside of requests.",
  });

  readonly #failedReadings: Metric = this.counter({
    name: "stowage_metrics_failed_readings_total",
    help: "Values that could not be read for a scrape.",
  });

  readonly #processes: Metric = this.gauge({
    name: "stowage_processes",
    help: "Processes of this server: one, or the workers and the process that started them.",
  });

  readonly #cpuSeconds: Metric = this.counter({
    name: "process_cpu_seconds_total",
    help: "CPU time of all processes of this server, in seconds.",
  });

  readonly #residentBytes: Metric = this.gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of all processes of this server, in bytes.",
  });

  readonly #startTime: Metric = this.gauge({
    name: "process_start_time_seconds",
    help: "Unix time at which the server started.",
    aggregator: "first",
  });

  constructor(version: string) {
    const build = this.gauge({
      name: "stowage_build_info",
      help: "Always 1; the label has the version.",
      labels: ["version"],
      aggregator: "first",
    });
    build.set(1, version);
    this.#processes.set(1);
    this.#startTime.set(Math.round(performance.timeOrigin) / 1000);
  }

  /** Adds a counter. */
  counter(definition: Definition): Metric {
    return this.#added(new Metric({ ...definition, type: "counter", aggregator: "sum" }));
  }

  /** Adds a gauge; the values of several processes are added up unless `aggregator` says otherwise. */
  gauge({ aggregator = "sum", ...definition }: Definition & { readonly aggregator?: Aggregator }): Metric {
    return this.#added(new Metric({ ...definition, type: "gauge", aggregator }));
  }

  /** Adds a histogram with these upper bounds of its ranges. */
  histogram(definition: Definition, bounds: readonly number[]): Histogram {
    return this.#added(new Histogram(definition, bounds));
  }

  /** Runs `read` before each scrape: it sets what is not counted as it happens. What it throws is counted. */
  readAtScrape(read: () => Promise<void>): void {
    this.#readings.push(read);
  }

  countDroppedLines({ lines, auditLines }: { readonly lines: number; readonly auditLines: number }): void {
    this.#droppedLines.add(lines);
    this.#droppedAuditLines.add(auditLines);
  }

  /** Counts a read of content that may be in the response cache. */
  countRead({ isCached }: { readonly isCached: boolean }): void {
    this.#cacheReads.value++;
    if (isCached) this.#cacheHits.value++;
  }

  /** Counts verified credentials. */
  countLogin(scheme: string, result: string): void {
    this.logins.add(1, scheme, result);
  }

  /** Counts events of endpoints, as `registry/events/` says. */
  readonly notifications = {
    event: (type: string, endpoint: string, count: number = 1): void => {
      this.#notificationEvents.add(count, type, endpoint);
    },
    status: (code: string, endpoint: string): void => {
      this.#notificationStatuses.add(1, code, endpoint);
    },
    pending: (endpoint: string, count: number): void => {
      this.#notificationsPending.set(count, endpoint);
    },
  };

  countUnexpectedError(): void {
    this.#unexpectedErrors.add(1);
  }

  /** Counts calls to database, storage and other servers, and how long they take. */
  get calls(): CallObserver {
    return new CallMetrics({
      database: { seconds: this.databaseSeconds, errors: this.databaseErrors },
      storage: { seconds: this.storageSeconds, errors: this.storageErrors },
      upstream: { seconds: this.upstreamSeconds, errors: this.upstreamErrors },
    });
  }

  /** What this process has counted so far, as data. */
  get samples(): readonly Samples[] {
    const { user, system } = process.cpuUsage();
    this.#cpuSeconds.set((user + system) / 1e6);
    this.#residentBytes.set(process.memoryUsage.rss());
    return this.#all.map((each) => each.samples);
  }

  /** Everything, as Prometheus reads it, together with what other processes have counted. */
  async text(others: () => Promise<readonly (readonly Samples[])[]> = async () => []): Promise<string> {
    const [theirs] = await Promise.all([others(), ...this.#readings.map((read) => this.#read(read))]);
    return await (await aggregated([this.samples, ...theirs])).metrics();
  }

  async #read(read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch {
      this.#failedReadings.add(1); // the value of before stays
    }
  }

  #added<Each extends Measured>(each: Each): Each {
    this.#all.push(each);
    return each;
  }
}

/** Returns the sum of what processes had counted that have ended: what they held at the end of their lives is left out. */
export async function sumOfEnded(processes: readonly (readonly Samples[])[]): Promise<readonly Samples[]> {
  const counted = processes.map((samples) => samples.filter(({ type }) => type !== "gauge"));
  return (await (await aggregated(counted)).getMetricsAsJSON()) as unknown as readonly Samples[];
}

/** prom-client takes as long to load as all of this program, so it is loaded at the first scrape. */
async function aggregated(processes: readonly (readonly Samples[])[]): Promise<Registry> {
  const { AggregatorRegistry } = await import("prom-client");
  return AggregatorRegistry.aggregate(processes.map((samples) => [...samples]));
}

interface CallSeries {
  readonly seconds: Histogram;
  readonly errors: Metric;
}

class CallMetrics implements CallObserver {
  readonly #targets: Readonly<Record<Call["target"], CallSeries>>;

  constructor(targets: Readonly<Record<Call["target"], CallSeries>>) {
    this.#targets = targets;
  }

  begin({ target, driver, action }: Call): (error?: unknown) => void {
    const started = performance.now();
    const { seconds, errors } = this.#targets[target];
    return (error) => {
      seconds.at(driver, action).observe((performance.now() - started) / 1000);
      if (error !== undefined) errors.add(1, driver, action);
    };
  }
}
