/** `stowage repo`: the repositories, for an administrator. */
import { createInterface } from "node:readline/promises";
import type { Registry } from "../create-registry.ts";
import { formatSize } from "../lib/size.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine, readVerb } from "./command-line.ts";
import { finishJobs } from "./finish-jobs.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print } from "./print.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { workingIn } from "./working-in.ts";
import { moment, table } from "./table.ts";

const HELP = `stowage repo list|delete [REPOSITORY] [options]: lists and deletes repositories

  stowage repo list                    list repositories with tags, size and last push
  stowage repo list --quiet            list names only, one per line
  stowage repo delete team/app         delete a repository: its tags, manifests, blobs and unfinished uploads

The size of a repository is that of its manifests and blobs; a blob in two repositories counts in both. delete asks for
confirmation unless --yes is given. It takes effect at once, also in running servers, and cannot be undone; a push to the
name begins a new repository. The command then removes the rows from the database in small steps; when it is interrupted,
a server goes on with that, or the next stowage gc. Garbage collection frees the disk space later (stowage gc).

  --yes                 delete without confirmation
  --quiet               list names only
  --json                print JSON, one object per line

${SETTINGS_HELP}
`;

interface Asked {
  readonly registry: Registry;
  readonly yes: boolean;
  readonly quiet: boolean;
  readonly asJson: boolean;
}

/** Each checks its words before the registry is opened, and returns what is to be done with it. */
const VERBS: Readonly<Record<string, (words: readonly string[]) => (asked: Asked) => Promise<void>>> = {
  list,
  delete: remove,
};

export async function repo(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      yes: { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    maxWords: 2,
  });
  if (!line) return 0;
  const { values, positionals } = line;
  const { act, words } = readVerb("repo", VERBS, positionals);
  const work = act(words);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  await workingIn(settings, () => work({ registry, yes: values.yes, quiet: values.quiet, asJson: values.json }));
  return 0;
}

/** Repositories in a table are printed in pieces of so many rows, so that a million of them need no memory. */
const ROWS = 1000;

function list([word]: readonly string[]): (asked: Asked) => Promise<void> {
  if (word !== undefined)
    throw new CommandError("repo list takes no name: to list tags, use stowage tag list REPOSITORY");
  return async ({ registry, quiet, asJson }) => {
    if (quiet) {
      for await (const name of registry.namespace.repositories()) print(`${name}\n`);
      return;
    }
    let rows: string[][] = [];
    const printRows = (): void => {
      print(table(["REPOSITORY", "TAGS", "MANIFESTS", "SIZE", "LAST PUSH"], rows));
      rows = [];
    };
    for await (const { name, tags, manifests, bytes, lastPush } of registry.repositoryUsage()) {
      if (asJson) {
        print(`${JSON.stringify({ name, tags, manifests, bytes, lastPush: new Date(lastPush).toISOString() })}\n`);
      } else if (rows.push([name, `${tags}`, `${manifests}`, formatSize(bytes), moment(lastPush)]) === ROWS)
        printRows();
    }
    if (!asJson) printRows();
  };
}

function remove([word]: readonly string[]): (asked: Asked) => Promise<void> {
  if (word === undefined) throw new CommandError("repo delete takes one name: stowage repo delete team/app");
  const name = repositoryIn(word);
  return async ({ registry, yes }) => {
    const isAbsent = !(await registry.namespace.repository(name).exists());
    if (isAbsent) throw absent(name);
    if (!yes) await confirm(name);
    const { tags = 0, manifests = 0 } = (await registry.usageOf(name)) ?? {};
    if (!(await registry.deleteRepository(name))) throw absent(name);
    await recordOperation(registry, "repo delete", name);
    print(`${name} was deleted: ${count(tags, "tag")}, ${count(manifests, "manifest")}\n`);
    await finishJobs(registry);
  };
}

function absent(name: RepositoryName): CommandError {
  return new CommandError(`there is no repository ${name}: stowage repo list shows all repositories`);
}

function count(many: number, noun: string): string {
  return `${many.toLocaleString("en")} ${noun}${many === 1 ? "" : "s"}`;
}

async function confirm(name: string): Promise<void> {
  if (!process.stdin.isTTY) throw new CommandError("no terminal to ask for confirmation: use --yes");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Delete all tags and manifests of ${name}? Type the name to confirm: `);
    if (answer.trim() !== name) throw new CommandError("the name does not match: nothing was deleted");
  } finally {
    terminal.close();
  }
}
