/** What refers to a manifest of a repository: signatures, attestations, SBOMs. */
import { mergedPages } from "../lib/merged-pages.ts";
import type { ReferrerRecord, ReferrerSize } from "../metadata/manifests.ts";
import type { Annotations, LocalDescriptor } from "../oci/descriptor.ts";
import { optional } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Backend } from "./backend.ts";
import { PAGE_SIZE, STATEMENT_COST, listTurns, pagesOf } from "./pages.ts";

export interface ReferrersFilter {
  /** Only referrers of any of these types; all when absent. */
  readonly artifactTypes?: readonly string[];
  /** Only those whose digests come after it, by bytes. */
  readonly after?: string;
}

export interface ReferrersPage {
  /** In order of their digests. */
  readonly referrers: readonly LocalDescriptor[];
  /** Whether others come after the last one. */
  readonly more: boolean;
}

export interface ReferrersService {
  /** Every manifest of this repository that has `subject` as its subject; none when there is no such subject. */
  list(subject: Digest, filter?: ReferrersFilter): AsyncIterable<LocalDescriptor>;
  /** So many of them as take up to `maxBytes` in JSON, and at least one. */
  page(subject: Digest, filter: ReferrersFilter, maxBytes: number): Promise<ReferrersPage>;
  /** As `page`, in steps that are not empty, with turns of the event loop between them; returns whether others follow. */
  steps(
    subject: Digest,
    filter: ReferrersFilter,
    maxBytes: number,
  ): AsyncGenerator<readonly LocalDescriptor[], boolean>;
}

/** Referrers that are read in one step, and bytes of their descriptors, about; more when the first one has more. */
const [STEP_SIZE, STEP_BYTES] = [100, 128 * 1024];

/** Referrers lie in the order in which they were pushed: each may be somewhere else on the disk. */
const ROW_COST = 4;

/** Bytes of descriptors that cost as much to read and to write as one row of a list. */
const BYTES_PER_COST = STEP_BYTES / PAGE_SIZE;

export class LocalReferrers implements ReferrersService {
  readonly #metadata: Backend["metadata"];
  readonly #name: RepositoryName;

  constructor({ metadata }: Pick<Backend, "metadata">, name: RepositoryName) {
    this.#metadata = metadata;
    this.#name = name;
  }

  async *list(subject: Digest, filter: ReferrersFilter = {}): AsyncGenerator<LocalDescriptor> {
    for await (const step of this.steps(subject, filter, Infinity)) yield* step;
  }

  async page(subject: Digest, filter: ReferrersFilter, maxBytes: number): Promise<ReferrersPage> {
    const referrers: LocalDescriptor[] = [];
    const steps = this.steps(subject, filter, maxBytes);
    for (;;) {
      const { done, value } = await steps.next();
      if (done) return { referrers, more: value };
      referrers.push(...value);
    }
  }

  /** Sizes first: the annotations of a step can be as large as a page, those of all candidates without bound. */
  async *steps(
    subject: Digest,
    filter: ReferrersFilter,
    maxBytes: number,
  ): AsyncGenerator<readonly LocalDescriptor[], boolean> {
    let [left, given] = [maxBytes, 0];
    for await (const candidates of this.#candidates(subject, filter)) {
      let next: Digest[] = [];
      let nextBytes = 0;
      for (const { digest, bytes } of candidates) {
        if (next.length > 0 && (bytes > left || nextBytes + bytes > STEP_BYTES)) {
          given += yield* this.#read(next, nextBytes);
          [next, nextBytes] = [[], 0];
        }
        if (bytes > left && given > 0) return true;
        next.push(digest);
        nextBytes += bytes;
        left -= bytes;
      }
      given += yield* this.#read(next, nextBytes);
    }
    return false;
  }

  #candidates(
    subject: Digest,
    { artifactTypes, after }: ReferrersFilter,
  ): AsyncGenerator<readonly ReferrerSize[], void> {
    if (!artifactTypes) return this.#candidatesOfType(subject, after, undefined, STEP_SIZE);
    const types = [...new Set(artifactTypes)];
    const size = Math.ceil(STEP_SIZE / types.length);
    const lists = types.map((type) => this.#candidatesOfType(subject, after, type, size));
    return mergedPages(lists, ({ digest }) => digest);
  }

  #candidatesOfType(
    subject: Digest,
    after: string | undefined,
    artifactType: string | undefined,
    size: number,
  ): AsyncGenerator<readonly ReferrerSize[], void> {
    return pagesOf(
      after === undefined ? {} : { after },
      (page) => this.#metadata.manifests.referrerSizes(this.#name, subject, { ...page, artifactType }),
      ({ digest }) => digest,
      { size, rowCost: ROW_COST },
    );
  }

  /** Yields the descriptors of those that are still there, if any, and returns how many they are. */
  async *#read(digests: readonly Digest[], bytes: number): AsyncGenerator<readonly LocalDescriptor[], number> {
    await listTurns.take(STATEMENT_COST + bytes / BYTES_PER_COST);
    const referrers = (await this.#metadata.manifests.referrers(this.#name, digests)).map(descriptorOf);
    if (referrers.length > 0) yield referrers;
    return referrers.length;
  }
}

function descriptorOf(record: ReferrerRecord): LocalDescriptor {
  return {
    mediaType: record.mediaType,
    digest: record.digest,
    size: record.size,
    ...optional("artifactType", record.artifactType),
    ...optional(
      "annotations",
      record.annotations === undefined ? undefined : (JSON.parse(record.annotations) as Annotations),
    ),
  };
}
