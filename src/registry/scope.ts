/** Which names a namespace answers for. */
import type { RepositoryName } from "../oci/repository-name.ts";

export interface Scope {
  /** Whether the name belongs to the namespace. */
  contains(name: RepositoryName): boolean;
}

/** The scope that contains every name, and so all other scopes. */
export const GlobalScope: Scope = { contains: () => true };
