/** Tags that stay where they are, once they are there. */
import { glob } from "../lib/glob.ts";

/** One entry of the settings' `protectedtags`. */
export interface ProtectedTags {
  /** Patterns such as `team/**`. */
  readonly repositories: readonly string[];
  /** Patterns such as `v*`. */
  readonly tags: readonly string[];
}

/** Returns the patterns of the tags of a repository that stay where they are. */
export function protectionOf(entries: readonly ProtectedTags[]): (repository: string) => readonly string[] {
  const compiled = entries.map(({ repositories, tags }) => ({ repositories: repositories.map(glob), tags }));
  return (repository) => {
    const here = compiled.filter((entry) => entry.repositories.some((matches) => matches(repository)));
    return here.flatMap(({ tags }) => tags);
  };
}
