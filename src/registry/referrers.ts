/** What refers to a manifest of a repository: signatures, attestations, SBOMs. */
import type { ReferrerRecord } from "../metadata/manifests.ts";
import type { Annotations, LocalDescriptor } from "../oci/descriptor.ts";
import { optional } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Backend } from "./backend.ts";

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
}

const PAGE_BYTES = 1024 * 1024;

export class LocalReferrers implements ReferrersService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async *list(subject: Digest, filter: ReferrersFilter = {}): AsyncGenerator<LocalDescriptor> {
    let from = filter;
    for (;;) {
      const { referrers, more } = await this.page(subject, from, PAGE_BYTES);
      yield* referrers;
      const last = referrers.at(-1);
      if (!more || !last) return;
      from = { ...filter, after: last.digest };
    }
  }

  async page(subject: Digest, filter: ReferrersFilter, maxBytes: number): Promise<ReferrersPage> {
    const found = await this.#backend.metadata.manifests.referrers(this.#name, subject, { ...filter, maxBytes });
    return { referrers: found.referrers.map(descriptorOf), more: found.more };
  }
}

function descriptorOf(facts: ReferrerRecord): LocalDescriptor {
  return {
    mediaType: facts.mediaType,
    digest: facts.digest,
    size: facts.size,
    ...optional("artifactType", facts.artifactType),
    ...optional(
      "annotations",
      facts.annotations === undefined ? undefined : (JSON.parse(facts.annotations) as Annotations),
    ),
  };
}
