/** What is counted, in the words of Prometheus. One object for each registry, so that two in a process do not mix. */
import type { Registry } from "prom-client";

/** What each process of a server counts for itself, whether it serves clients or not. */
export interface ProcessCounts {
  /** Log lines dropped, because standard output did not accept them. */
  readonly droppedLines: number;
  /** How many of them were lines of the audit. */
  readonly droppedAuditLines: number;
  /** Uncaught errors outside of requests. */
  readonly unexpectedErrors: number;
}

interface Definition {
  readonly type: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  /** The name of the one label that its values have; absent when there is one value. */
  readonly label?: string;
}

/** One number, or one for each value of a label. */
export class Metric {
  readonly definition: Definition;
  readonly #values = new Map<string, number>();

  constructor(definition: Definition) {
    this.definition = definition;
    if (definition.label === undefined) this.set(0);
  }

  /** `labelled` is the value of its label, where it has one. */
  add(count: number, labelled: string = ""): void {
    this.#values.set(labelled, (this.#values.get(labelled) ?? 0) + count);
  }

  set(value: number, labelled: string = ""): void {
    this.#values.set(labelled, value);
  }

  get values(): Iterable<readonly [labelled: string, value: number]> {
    return this.#values;
  }
}

export class Metrics {
  readonly #all: Metric[] = [];

  /** Things that collection removed, by kind: manifest, link, blob, upload, file. */
  readonly collected: Metric = this.#define({
    type: "counter",
    name: "stowage_collection_removed_total",
    help: "Deleted by garbage collection, by kind.",
    label: "kind",
  });

  /** Bytes of the blobs that collection removed. */
  readonly collectedBytes: Metric = this.#define({
    type: "counter",
    name: "stowage_collection_removed_bytes_total",
    help: "Bytes of blobs deleted by garbage collection.",
  });

  readonly scrubbedBytes: Metric = this.#define({
    type: "counter",
    name: "stowage_scrub_read_bytes_total",
    help: "Bytes read and hashed by the scrub.",
  });

  /** By kind of finding: "missing", "wrong size", "wrong content", "marked damaged", "unknown file". */
  readonly scrubFindings: Metric = this.#define({
    type: "counter",
    name: "stowage_scrub_findings_total",
    help: "Findings of the scrub, by kind.",
    label: "kind",
  });

  /** Seconds since 1970; 0 before the first. */
  readonly lastScrub: Metric = this.#define({
    type: "gauge",
    name: "stowage_scrub_last_completed_timestamp_seconds",
    help: "Unix time of the last completed scrub; 0 when none was completed since the start.",
  });

  readonly #droppedLines: Metric = this.#define({
    type: "counter",
    name: "stowage_log_dropped_lines_total",
    help: "Log lines dropped, because standard output did not accept them.",
  });

  readonly #droppedAuditLines: Metric = this.#define({
    type: "counter",
    name: "stowage_audit_dropped_lines_total",
    help: "Audit lines among the dropped log lines.",
  });

  readonly #unexpectedErrors: Metric = this.#define({
    type: "counter",
    name: "stowage_unexpected_errors_total",
    help: "Uncaught errors outside of requests.",
  });

  constructor(version: string) {
    const build = this.#define({
      type: "gauge",
      name: "stowage_build_info",
      help: "Always 1; the label has the version.",
      label: "version",
    });
    build.set(1, version);
  }

  /** Adds what a process of the server has counted. */
  count({ droppedLines = 0, droppedAuditLines = 0, unexpectedErrors = 0 }: Partial<ProcessCounts>): void {
    this.#droppedLines.add(droppedLines);
    this.#droppedAuditLines.add(droppedAuditLines);
    this.#unexpectedErrors.add(unexpectedErrors);
  }

  /** The type of `text`. */
  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";

  /** Everything, as Prometheus reads it. */
  async text(): Promise<string> {
    return await (await asPrometheus(this.#all)).metrics();
  }

  #define(definition: Definition): Metric {
    const metric = new Metric(definition);
    this.#all.push(metric);
    return metric;
  }
}

/** prom-client takes as long to load as all of this program, so it is loaded at the first scrape. */
async function asPrometheus(metrics: readonly Metric[]): Promise<Registry> {
  const { Counter, Gauge, Registry: Prometheus } = await import("prom-client");
  const registry = new Prometheus();
  for (const { definition, values } of metrics) {
    const { type, name, help, label } = definition;
    const options = { name, help, labelNames: label === undefined ? [] : [label], registers: [registry] };
    const counter = type === "counter" ? new Counter(options) : undefined;
    const gauge = type === "gauge" ? new Gauge(options) : undefined;
    for (const [labelled, value] of values) {
      const labels = label === undefined ? {} : { [label]: labelled };
      counter?.inc(labels, value);
      gauge?.set(labels, value);
    }
  }
  return registry;
}
