/** Tags that stay where they are, once they are there. */
import { glob } from "../lib/glob.ts";

/** One entry of the settings' `protectedtags`. */
export interface ProtectedTags {
  /** Patterns such as `team/**`. */
  readonly repositories: readonly string[];
  /** Patterns such as `v*`. */
  readonly tags: readonly string[];
}

/** Whether a tag of a repository is held where it is; undefined for a repository in which none is. */
export function protectionOf(
  entries: readonly ProtectedTags[],
): (repository: string) => ((tag: string) => boolean) | undefined {
  const compiled = entries.map(({ repositories, tags }) => ({
    repositories: repositories.map(glob),
    tags: tags.map(glob),
  }));
  return (repository) => {
    const here = compiled.filter((entry) => entry.repositories.some((matches) => matches(repository)));
    const patterns = here.flatMap(({ tags }) => tags);
    return patterns.length > 0 ? (tag) => patterns.some((matches) => matches(tag)) : undefined;
  };
}
