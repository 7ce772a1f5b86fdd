/** A collection of repositories, addressable by name. */
import type { Fingerprint } from "../lib/byte-location.ts";
import { OncePerTurn } from "../lib/once-per-turn.ts";
import type { Cause } from "../metadata/changes.ts";
import type { Revision, RevisionScope } from "../metadata/revision-source.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { StorageKey } from "../storage/blob-store.ts";
import type { Adoption } from "./adoption/adoption.ts";
import { AdoptingRepository } from "./adoption/adopting-repository.ts";
import type { Backend } from "./backend.ts";
export type { Cause } from "../metadata/changes.ts";
export type { Revision, RevisionScope } from "../metadata/revision-source.ts";
import type { PageStart } from "./pages.ts";
import { listRepositories } from "./repository-list.ts";
import type { RepositoryFilter } from "./repository-list.ts";
import { LocalRepository } from "./repository.ts";
import type { Repository } from "./repository.ts";
import { GlobalScope } from "./scope.ts";
import type { Scope } from "./scope.ts";

export interface Namespace {
  /** The names that can be used with it. */
  readonly scope: Scope;
  /** A reference to the repository, whether or not there is anything in it. */
  repository(name: RepositoryName): Repository;
  /** The repositories that hold at least one manifest, in byte order of their names; with `filter` those that it allows. */
  repositories(from?: PageStart, filter?: RepositoryFilter): AsyncIterable<RepositoryName>;
  /** The same namespace, for changes that are recorded as made by `cause`. */
  causedBy(cause: Cause): Namespace;
  /** Rejects, saying why, when it could not serve now. */
  checkReady(): Promise<void>;
  /**
   * Returns the revision of a scope: what was read of it afterwards still holds as long as it is the same. Callers take
   * it before they make an answer that they cache.
   */
  revision(scope: RevisionScope): Revision | Promise<Revision>;
  /** Whether the bytes of a blob are those that its row describes: at once, where that can be said without waiting. */
  isUnchanged(bytes: Fingerprint): boolean | Promise<boolean>;
}

/** The namespace of what is stored here. */
export class LocalNamespace implements Namespace {
  readonly scope: Scope = GlobalScope;
  readonly #backend: Backend;
  readonly #adoption: Adoption | undefined;
  readonly #unchanged: OncePerTurn<Fingerprint, boolean | Promise<boolean>>;

  /** With `adoption` what is not here yet is looked up in the tree that is being adopted. */
  constructor(backend: Backend, adoption?: Adoption, unchanged?: OncePerTurn<Fingerprint, boolean | Promise<boolean>>) {
    this.#backend = backend;
    this.#adoption = adoption;
    this.#unchanged =
      unchanged ?? new OncePerTurn(({ key, value }) => backend.store.isUnchanged(key as StorageKey, value));
  }

  repository(name: RepositoryName): Repository {
    const repository = new LocalRepository(this.#backend, name);
    return this.#adoption?.isOpen ? new AdoptingRepository(repository, this.#adoption) : repository;
  }

  async *repositories(from: PageStart = {}, filter?: RepositoryFilter): AsyncGenerator<RepositoryName> {
    const { repositories } = this.#backend.metadata;
    const isAdopting = (await this.#adoption?.refresh()) ?? false;
    yield* listRepositories(isAdopting ? (this.#adoption?.repositories ?? repositories) : repositories, from, filter);
  }

  causedBy(cause: Cause): Namespace {
    return new LocalNamespace({ ...this.#backend, cause }, this.#adoption, this.#unchanged);
  }

  async checkReady(): Promise<void> {
    await this.#backend.metadata.checkReady();
    await this.#backend.store.checkReady();
  }

  revision(scope: RevisionScope): Revision | Promise<Revision> {
    return this.#backend.metadata.revision(scope);
  }

  isUnchanged(bytes: Fingerprint): boolean | Promise<boolean> {
    return this.#unchanged.get(bytes);
  }
}
