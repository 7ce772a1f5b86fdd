/** `stowage tag`: tags, for an administrator. */
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage tag delete REPOSITORY:TAG… [options]: removes tags, also protected ones

  stowage tag delete team/app:v1 team/app:v2

The images stay: by digest they can be pulled as before, until collection takes what no tag leads to (setting
gc.untagged).

${SETTINGS_HELP}
`;

export async function tag(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: Infinity });
  if (!line) return 0;
  const { values, positionals } = line;
  const [verb, ...references] = positionals;
  if (verb !== "delete" || references.length === 0) {
    throw new CommandError("tag takes delete and what to delete: stowage tag delete team/app:v1");
  }
  const tags = references.map(parsed);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  for (const [repository, name] of tags) {
    const { tags: service } = registry.namespace.repository(repository);
    if (!(await service.exists(name))) throw new CommandError(`there is no ${repository}:${name} in this registry`);
    await service.delete(name);
    print(`${repository}:${name} was deleted\n`);
  }
  return 0;
}

function parsed(reference: string): [RepositoryName, Tag] {
  const colon = reference.lastIndexOf(":");
  const name = colon < 0 ? undefined : parseTag(reference.slice(colon + 1));
  if (name === undefined) throw new CommandError(`${reference} names no tag: write it like team/app:v1`);
  return [repositoryIn(reference.slice(0, colon)), name];
}
