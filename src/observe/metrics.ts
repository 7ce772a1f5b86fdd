/** What is counted, in the words of Prometheus. One object for each registry, so that two in a process do not mix. */
import { Counter, Gauge, Registry } from "prom-client";

/** What each process of a server counts for itself, whether it serves clients or not. */
export interface ProcessCounts {
  /** Lines of the log that standard output did not take. */
  readonly droppedLines: number;
  /** How many of them were lines of the audit. */
  readonly droppedAuditLines: number;
  /** Errors that nothing caught, outside of any request. */
  readonly unexpectedErrors: number;
}

export class Metrics {
  readonly #all = new Registry();

  /** Things that collection removed, by kind: manifest, link, blob, upload, file. */
  readonly collected = new Counter({
    name: "stowage_collection_removed_total",
    help: "Things that collection has removed, by kind.",
    labelNames: ["kind"],
    registers: [this.#all],
  });

  /** Bytes of the blobs that collection removed. */
  readonly collectedBytes = new Counter({
    name: "stowage_collection_removed_bytes_total",
    help: "Bytes of the blobs that collection has removed.",
    registers: [this.#all],
  });

  readonly scrubbedBytes = new Counter({
    name: "stowage_scrub_read_bytes_total",
    help: "Bytes that the scrub has read and hashed again.",
    registers: [this.#all],
  });

  /** By kind of finding: "missing", "wrong size", "wrong content", "marked damaged", "unknown file". */
  readonly scrubFindings = new Counter({
    name: "stowage_scrub_findings_total",
    help: "What the scrub has found wrong, by kind.",
    labelNames: ["kind"],
    registers: [this.#all],
  });

  /** Seconds since 1970; 0 before the first. */
  readonly lastScrub = new Gauge({
    name: "stowage_scrub_last_completed_timestamp_seconds",
    help: "When the scrub last came to its end, in seconds since 1970; 0 when it has not yet.",
    registers: [this.#all],
  });

  readonly #droppedLines = new Counter({
    name: "stowage_log_dropped_lines_total",
    help: "Lines of the log that standard output did not take.",
    registers: [this.#all],
  });

  readonly #droppedAuditLines = new Counter({
    name: "stowage_audit_dropped_lines_total",
    help: "Lines of the audit that standard output did not take.",
    registers: [this.#all],
  });

  readonly #unexpectedErrors = new Counter({
    name: "stowage_unexpected_errors_total",
    help: "Errors that nothing caught, outside of any request.",
    registers: [this.#all],
  });

  constructor(version: string) {
    const build = new Gauge({
      name: "stowage_build_info",
      help: "Always 1; the label says which version runs.",
      labelNames: ["version"],
      registers: [this.#all],
    });
    build.set({ version }, 1);
  }

  /** Adds what a process of the server has counted. */
  count({ droppedLines = 0, droppedAuditLines = 0, unexpectedErrors = 0 }: Partial<ProcessCounts>): void {
    this.#droppedLines.inc(droppedLines);
    this.#droppedAuditLines.inc(droppedAuditLines);
    this.#unexpectedErrors.inc(unexpectedErrors);
  }

  /** The type of `text`. */
  get contentType(): string {
    return this.#all.contentType;
  }

  /** Everything, as Prometheus reads it. */
  text(): Promise<string> {
    return this.#all.metrics();
  }
}
