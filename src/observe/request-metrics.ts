/** What is counted of requests, under the names that distribution has for it. */
import type { Access, Answered } from "./access-log.ts";
import type { Metrics } from "./metrics.ts";
import type { RequestSeries } from "./request-series.ts";

/** The names that distribution has for endpoints; the others have their own. */
const HANDLERS: Readonly<Record<string, string>> = { uploads: "blob_upload", upload: "blob_upload_chunk" };

/** Other methods are clients' inventions, and there are any number of them. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Of repositories beyond those that are counted by themselves: no repository has this name. */
const OTHER_REPOSITORIES = "_other";

export class RequestMetrics {
  readonly #metrics: Metrics;
  /** How many repositories are counted by themselves. */
  readonly #maxRepositories: number;
  readonly #repositories = new Set<string>();
  readonly #known = new Map<string, RequestSeries>();

  constructor(metrics: Metrics, { repositories = 0 }: { readonly repositories?: number } = {}) {
    this.#metrics = metrics;
    this.#maxRepositories = repositories;
  }

  /** Counts a request that was answered. */
  record({ answered, duration, received = 0 }: Access): void {
    const series = (answered.series ??= this.#seriesOf(answered));
    series.requests.value++;
    series.duration.observe(duration / 1000);
    series.received.observe(received);
    series.written.observe(answered.written);
    if (series.upload) series.upload.value++;
    if (!series.repository) return;
    series.repository.requests.value++;
    series.repository.bytes.value += answered.written + received;
  }

  /** A request begins that cannot be answered at once. */
  begin(handler: string | undefined): void {
    this.#metrics.requestsInFlight.at(nameOf(handler)).value++;
  }

  end(handler: string | undefined): void {
    this.#metrics.requestsInFlight.at(nameOf(handler)).value--;
  }

  #seriesOf(answered: Answered): RequestSeries {
    const { status, handler, repository } = answered;
    const method = METHODS.has(answered.method) ? answered.method.toLowerCase() : "other";
    const name = nameOf(handler);
    const operation = this.#maxRepositories > 0 ? operationIn(answered) : undefined;
    const counted = operation === undefined ? undefined : this.#countedAs(repository ?? "");
    const key = `${name} ${method} ${status} ${operation ?? ""} ${counted ?? ""}`;
    const known = this.#known.get(key);
    if (known) return known;
    const metrics = this.#metrics;
    const upload = uploadEvent(name, method, status);
    const series: RequestSeries = {
      requests: metrics.requests.at(`${status}`, name, method),
      duration: metrics.requestDuration.at(name, method),
      received: metrics.requestSize.at(name),
      written: metrics.responseSize.at(name),
      upload: upload === undefined ? undefined : metrics.uploads.at(upload),
      repository:
        operation === undefined || counted === undefined
          ? undefined
          : {
              requests: metrics.repositoryRequests.at(counted, operation),
              bytes: metrics.repositoryBytes.at(counted, operation),
            },
    };
    this.#known.set(key, series);
    return series;
  }

  #countedAs(repository: string): string {
    if (this.#repositories.has(repository)) return repository;
    if (this.#repositories.size >= this.#maxRepositories) return OTHER_REPOSITORIES;
    this.#repositories.add(repository);
    return repository;
  }
}

function nameOf(handler: string | undefined): string {
  return handler === undefined ? "unknown" : (HANDLERS[handler] ?? handler);
}

/** Of requests for content that succeeded: others may name any repository. */
function operationIn({ handler, method, status, repository }: Answered): "pull" | "push" | undefined {
  if (repository === undefined || status >= 300) return undefined;
  if (method === "GET") return handler === "manifest" || handler === "blob" ? "pull" : undefined;
  return handler === "manifest" || handler === "upload" || handler === "uploads"
    ? method === "DELETE" || method === "HEAD"
      ? undefined
      : "push"
    : undefined;
}

/** What a request did with an upload, by its answer. */
function uploadEvent(handler: string, method: string, status: number): string | undefined {
  if (handler === "blob_upload") return status === 202 ? "begun" : status === 201 ? "completed_at_once" : undefined;
  if (handler !== "blob_upload_chunk") return undefined;
  if (status === 201) return "completed";
  return status === 204 && method === "delete" ? "cancelled" : undefined;
}
