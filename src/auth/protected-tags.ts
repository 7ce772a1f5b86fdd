/** Tags that stay where they are, once they are there. */
import { glob } from "../lib/glob.ts";

/** One entry of the settings' `protectedtags`. */
export interface ProtectedTags {
  /** Patterns such as `team/**`. */
  readonly repositories: readonly string[];
  /** Patterns such as `v*`. */
  readonly tags: readonly string[];
}

/** Whether any of the entries holds a tag where it is. */
export function protectionOf(entries: readonly ProtectedTags[]): (repository: string, tag: string) => boolean {
  const compiled = entries.map(({ repositories, tags }) => ({
    repositories: repositories.map(glob),
    tags: tags.map(glob),
  }));
  return (repository, tag) =>
    compiled.some(
      (entry) =>
        entry.repositories.some((matches) => matches(repository)) && entry.tags.some((matches) => matches(tag)),
    );
}
