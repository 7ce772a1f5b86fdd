/** What is counted, in the words of Prometheus. One object for each registry, so that two in a process do not mix. */
import { Counter, Gauge, Registry } from "prom-client";

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

  constructor(version: string) {
    const build = new Gauge({
      name: "stowage_build_info",
      help: "Always 1; the label says which version runs.",
      labelNames: ["version"],
      registers: [this.#all],
    });
    build.set({ version }, 1);
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
