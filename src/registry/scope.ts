/**
 * Which names a namespace answers for. It is part of the library's contract, which follows the interfaces of
 * docker/distribution; inside of this program there is one scope alone.
 */
import type { RepositoryName } from "../oci/repository-name.ts";

export interface Scope {
  /** Whether the name belongs to the namespace. */
  contains(name: RepositoryName): boolean;
}

/** The scope that contains every name, and so all other scopes. */
export const GlobalScope: Scope = { contains: () => true };
