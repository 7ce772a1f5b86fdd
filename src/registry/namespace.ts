/** A collection of repositories, addressable by name. */
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Backend } from "./backend.ts";
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
  /** Rejects, saying why, when it could not serve now. */
  checkReady(): Promise<void>;
}

/** The namespace of what is stored here. */
export class LocalNamespace implements Namespace {
  readonly scope: Scope = GlobalScope;
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  repository(name: RepositoryName): Repository {
    return new LocalRepository(this.#backend, name);
  }

  repositories(from: PageStart = {}, filter?: RepositoryFilter): AsyncIterable<RepositoryName> {
    return listRepositories(this.#backend.metadata, from, filter);
  }

  async checkReady(): Promise<void> {
    await this.#backend.metadata.checkReady();
    await this.#backend.store.checkReady();
  }
}
