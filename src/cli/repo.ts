/** `stowage repo`: the repositories, for an administrator. */
import { createInterface } from "node:readline/promises";
import { silentLogger } from "../observe/logger.ts";
import type { Repository } from "../registry/repository.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage repo list|delete [REPOSITORY] [options]: the repositories of this registry

  stowage repo list                    the names of all repositories, one a line
  stowage repo delete team/app         removes every tag and every manifest of a repository

Deleting asks before it begins; --yes answers. It is done beside a running server, at once and for good. The room on the
disk comes back when collection has been there (stowage gc), some time later.

  --yes                 delete without asking

${SETTINGS_HELP}
`;

export async function repo(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      yes: { type: "boolean", default: false },
    },
    maxWords: 2,
  });
  if (!line) return 0;
  const { values, positionals } = line;
  const [verb, word, ...more] = positionals;
  const isList = verb === "list" && word === undefined;
  if (!isList && (verb !== "delete" || word === undefined || more.length > 0)) {
    throw new CommandError("repo takes list, or delete and one name: stowage repo delete team/app");
  }
  const name = word === undefined ? undefined : repositoryIn(word);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  if (name === undefined) {
    for await (const each of registry.namespace.repositories()) print(`${each}\n`);
    return 0;
  }
  const repository = registry.namespace.repository(name);
  if (!(await repository.exists()))
    throw new CommandError(`there is no repository ${name}: stowage repo list shows them`);
  if (!values.yes) await confirm(name);
  const removed = await empty(repository);
  print(`${name} was deleted: ${removed} ${removed === 1 ? "manifest" : "manifests"}\n`);
  return 0;
}

/** Removes all manifests, and with them their tags, and gives how many there were. */
async function empty(repository: Repository): Promise<number> {
  let removed = 0;
  for await (const { digest } of repository.manifests.all()) {
    await repository.manifests.delete(digest);
    removed++;
  }
  return removed;
}

async function confirm(name: string): Promise<void> {
  if (!process.stdin.isTTY) throw new CommandError("there is no terminal to ask on: repeat it with --yes");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Delete everything in ${name}? Type its name: `);
    if (answer.trim() !== name) throw new CommandError("that was another name: nothing was deleted");
  } finally {
    terminal.close();
  }
}
