/** Manifests of a repository that are kept whatever points at them. */
import type { Pin } from "../metadata/pins.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { manifestUnknown } from "../oci/unknown.ts";
import type { Backend } from "./backend.ts";
import { paged } from "./pages.ts";
import type { PageStart } from "./pages.ts";

/** A pin holds back collection, with all that the manifest needs. It does not hold back a client that deletes. */
export interface PinService {
  /**
   * Pins a manifest; `why` is for people, and stands in for what was said before. Refused with `MANIFEST_UNKNOWN` on
   * absence.
   */
  add(digest: Digest, why: string): Promise<void>;
  /** Lets it be collected again like any other. False when it was not pinned. */
  remove(digest: Digest): Promise<boolean>;
  /** What is pinned, in byte order of the digests, from any place on. */
  list(from?: PageStart): AsyncIterable<Pin>;
}

export class LocalPins implements PinService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async add(digest: Digest, why: string): Promise<void> {
    if (await this.#backend.metadata.pins.add(this.#name, digest, why)) return;
    throw manifestUnknown(this.#name, { digest });
  }

  remove(digest: Digest): Promise<boolean> {
    return this.#backend.metadata.pins.remove(this.#name, digest);
  }

  list(from: PageStart = {}): AsyncIterable<Pin> {
    return paged(
      from,
      (page) => this.#backend.metadata.pins.list(this.#name, page),
      (pin) => pin.digest,
    );
  }
}
