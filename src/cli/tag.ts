/** `stowage tag`: tags, for an administrator. */
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { silentLogger } from "../observe/logger.ts";
import type { Registry } from "../create-registry.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine, readVerb } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print } from "./print.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { workingIn } from "./working-in.ts";
import { moment, table } from "./table.ts";

const HELP = `stowage tag list|delete [REPOSITORY|REPOSITORY:TAG…] [options]: lists and deletes tags

  stowage tag list team/app                     list tags with their digests
  stowage tag delete team/app:v1 team/app:v2    delete tags, including protected ones

delete removes the tag only: the image can still be pulled by digest, until garbage collection deletes untagged
manifests (setting gc.untagged).

  --json                print JSON, one object per line

${SETTINGS_HELP}
`;

interface Asked {
  readonly registry: Registry;
  readonly asJson: boolean;
}

/** Each checks its words before the registry is opened, and returns what is to be done with it. */
const VERBS: Readonly<Record<string, (words: readonly string[]) => (asked: Asked) => Promise<void>>> = {
  list,
  delete: remove,
};

export async function tag(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const options = { ...SETTINGS_OPTIONS, json: { type: "boolean", default: false } } as const;
  const line = readCommandLine(args, { help: HELP, options, maxWords: Infinity });
  if (!line) return 0;
  const { values, positionals } = line;
  const { act, words } = readVerb("tag", VERBS, positionals);
  const work = act(words);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  await workingIn(settings, () => work({ registry, asJson: values.json }));
  return 0;
}

/** Tags in a table are printed in pieces of so many rows, so that a million of them need no memory. */
const ROWS = 1000;

function list([text, ...more]: readonly string[]): (asked: Asked) => Promise<void> {
  if (text === undefined || more.length > 0) {
    throw new CommandError("tag list takes one repository: stowage tag list team/app");
  }
  const name = repositoryIn(text);
  return async ({ registry, asJson }) => {
    const repository = registry.namespace.repository(name);
    if (!(await repository.exists())) {
      throw new CommandError(`there is no repository ${name}: stowage repo list shows all repositories`);
    }
    let rows: string[][] = [];
    const printRows = (): void => {
      print(table(["TAG", "DIGEST", "CHANGED"], rows));
      rows = [];
    };
    for await (const { name: each, digest, updatedAt } of repository.tags.list()) {
      if (asJson) print(`${JSON.stringify({ name: each, digest, updatedAt: new Date(updatedAt).toISOString() })}\n`);
      else if (rows.push([each, digest, moment(updatedAt)]) === ROWS) printRows();
    }
    if (!asJson) printRows();
  };
}

function remove(references: readonly string[]): (asked: Asked) => Promise<void> {
  if (references.length === 0) {
    throw new CommandError("tag delete takes one or more tags: stowage tag delete team/app:v1");
  }
  const tags = references.map(parsed);
  return async ({ registry }) => {
    for (const [repository, name] of tags) {
      const { tags: service } = registry.namespace.repository(repository);
      if (!(await service.exists(name))) {
        throw new CommandError(`there is no tag ${repository}:${name}: stowage tag list ${repository} shows all tags`);
      }
      await service.delete(name);
      await recordOperation(registry, "tag delete", `${repository}:${name}`);
      print(`${repository}:${name} was deleted\n`);
    }
  };
}

function parsed(reference: string): [RepositoryName, Tag] {
  if (reference.includes("@")) {
    throw new CommandError(`${reference} names a manifest by its digest, not a tag: write it like team/app:v1`);
  }
  const colon = reference.lastIndexOf(":");
  const name = colon < 0 ? undefined : parseTag(reference.slice(colon + 1));
  if (name === undefined) throw new CommandError(`${reference} has no tag: write it like team/app:v1`);
  return [repositoryIn(reference.slice(0, colon)), name];
}
