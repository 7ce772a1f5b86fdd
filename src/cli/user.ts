/** `stowage user`: the users that are kept in the database. */
import { accountNameProblem } from "../auth/account-name.ts";
import { ADMINISTRATORS } from "../auth/policy.ts";
import type { Users } from "../auth/users.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine, readVerb } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { bunPasswords } from "./passwords.ts";
import { print, printError } from "./print.ts";
import { readPassword } from "./read-password.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { workingIn } from "./working-in.ts";
import { day, table } from "./table.ts";

const HELP = `stowage user add|passwd|groups|remove|list [NAME] [options]: the users of this registry

  stowage user add alice                       asks for a password, and adds the user
  stowage user add bob --group dev --group qa  … who is in groups that policies may name
  stowage user add root --admin                … who may do everything
  stowage user passwd alice                    another password; alice is logged out everywhere at once
  stowage user groups alice dev ops            these groups from now on, and no other
  stowage user remove alice                    logs alice out everywhere at once
  stowage user list                            who there is

A password is asked for at the terminal, and not shown. From another program:

  pass registry/alice | stowage user add alice --password-stdin

Users count when the server's settings say auth.users.enabled: true. What each of them may do, the setting policies
says; without it everybody who logs in may do everything. Machines are better off with stowage token.

  --group NAME          a group of the new user; may be given several times
  --admin               the same as --group ${ADMINISTRATORS}: whoever is in it may do everything
  --password-stdin      read the password from the standard input
  --json                list as JSON

${SETTINGS_HELP}
`;

interface Asked {
  readonly users: Users;
  readonly words: readonly string[];
  readonly groups: readonly string[];
  readonly fromStdin: boolean;
  readonly asJson: boolean;
}

const VERBS: Readonly<Record<string, (asked: Asked) => Promise<string>>> = { add, passwd, groups, remove, list };

export async function user(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      group: { type: "string", multiple: true, default: [] },
      admin: { type: "boolean", default: false },
      "password-stdin": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    maxWords: Infinity,
  });
  if (!line) return 0;
  const { values, positionals } = line;
  const { verb, act, words } = readVerb("user", VERBS, positionals);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  const asked: Asked = {
    users: registry.users,
    words,
    groups: [...values.group, ...(values.admin ? [ADMINISTRATORS] : [])],
    fromStdin: values["password-stdin"],
    asJson: values.json,
  };
  const done = await workingIn(settings, () => act(asked));
  if (verb !== "list") await recordOperation(registry, "user", verb, ...words);
  print(done);
  if (verb !== "list" && !settings.auth.users.enabled) {
    printError("stowage: users do not count until the server's settings say auth.users.enabled: true\n");
  }
  return 0;
}

async function add({ users, words, groups: names, fromStdin }: Asked): Promise<string> {
  const name = userName(words, "add");
  if (await users.find(name)) throw alreadyThere(name);
  const hash = await bunPasswords.hash(await readPassword(name, { fromStdin }));
  if (!(await users.add(name, hash, checkedGroups(names)))) throw alreadyThere(name);
  return `${name} was added${names.length > 0 ? ` to ${checkedGroups(names).join(", ")}` : ""}\n`;
}

async function passwd({ users, words, fromStdin }: Asked): Promise<string> {
  const name = userName(words, "passwd");
  if (!(await users.find(name))) throw unknown(name);
  const passwordHash = await bunPasswords.hash(await readPassword(name, { fromStdin }));
  if (!(await users.change(name, { passwordHash }))) throw unknown(name);
  return `${name} has another password\n`;
}

async function groups({ users, words }: Asked): Promise<string> {
  const [name, ...names] = words;
  if (name === undefined) throw new CommandError("groups takes a name and groups: stowage user groups alice dev ops");
  if (!(await users.change(name, { groups: checkedGroups(names) }))) throw unknown(name);
  return `${name} is in ${names.length > 0 ? checkedGroups(names).join(", ") : "no group"}\n`;
}

async function remove({ users, words }: Asked): Promise<string> {
  const name = onlyName(words, "remove");
  if (!(await users.remove(name))) throw unknown(name);
  return `${name} was removed\n`;
}

async function list({ users, asJson }: Asked): Promise<string> {
  const found = await users.list();
  if (asJson) {
    const shown = found.map(({ name, groups: names, createdAt, changedAt }) => ({
      name,
      groups: names,
      createdAt: new Date(createdAt).toISOString(),
      changedAt: new Date(changedAt).toISOString(),
    }));
    return `${JSON.stringify(shown)}\n`;
  }
  if (found.length === 0) return "there are no users: stowage user add NAME\n";
  return table(
    ["NAME", "GROUPS", "ADDED", "CHANGED"],
    found.map(({ name, groups: names, createdAt, changedAt }) => [
      name,
      names.join(", "),
      day(createdAt),
      day(changedAt),
    ]),
  );
}

function onlyName(words: readonly string[], verb: string): string {
  const [name] = words;
  if (name === undefined || words.length > 1)
    throw new CommandError(`${verb} takes one name: stowage user ${verb} alice`);
  return name;
}

/** The name of somebody who can log in by it. */
function userName(words: readonly string[], verb: string): string {
  const name = onlyName(words, verb);
  const problem = accountNameProblem(name);
  if (problem !== undefined) throw new CommandError(`${name} cannot be a user's name: ${problem}`);
  return name;
}

function checkedGroups(names: readonly string[]): readonly string[] {
  for (const name of names) {
    const problem = accountNameProblem(name);
    if (problem !== undefined) throw new CommandError(`${name} cannot be a group's name: ${problem}`);
  }
  return [...new Set(names)].toSorted();
}

function unknown(name: string): CommandError {
  return new CommandError(`there is no user ${name} in the database: stowage user list shows who there is`);
}

function alreadyThere(name: string): CommandError {
  return new CommandError(`there is a user ${name} already: stowage user passwd ${name} gives another password`);
}
