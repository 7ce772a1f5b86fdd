/** Names in the words of a command line, or one line that says what such a name looks like. */
import { parseRepositoryName } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { CommandError } from "./command-error.ts";

export function repositoryIn(text: string): RepositoryName {
  const name = parseRepositoryName(text);
  if (name === undefined) throw new CommandError(`${text} is not a repository name: write it like team/app`);
  return name;
}
