/** `stowage user`: the users in the database. */
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

const HELP = `stowage user add|passwd|groups|remove|list [NAME] [options]: manages the users of this registry

  stowage user add alice                       add a user; asks for the password
  stowage user add bob --group dev --group qa  … as a member of groups (for policies)
  stowage user add root --admin                … as an administrator
  stowage user passwd alice                    change the password; alice is logged out everywhere at once
  stowage user groups alice dev ops            set the groups of alice; other memberships end
  stowage user remove alice                    remove the user; alice is logged out everywhere at once
  stowage user list                            list users and their groups

The password is read from the terminal without echo. From another program:

  pass registry/alice | stowage user add alice --password-stdin

Users can log in when the server has auth.users.enabled: true. The setting policies says what each user may do; without
it every user may do everything. For CI and machines, use stowage token.

  --group NAME          a group of the new user; may be repeated
  --admin               same as --group ${ADMINISTRATORS}: its members may do everything
  --password-stdin      read the password from standard input
  --json                print JSON

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
    printError("stowage: users cannot log in until the server has auth.users.enabled: true\n");
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
  return `the password of ${name} was changed\n`;
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

/** Returns `name` when a user may have it; throws `CommandError` otherwise. */
function userName(words: readonly string[], verb: string): string {
  const name = onlyName(words, verb);
  const problem = accountNameProblem(name);
  if (problem !== undefined) throw new CommandError(`${name} is not a valid user name: ${problem}`);
  return name;
}

function checkedGroups(names: readonly string[]): readonly string[] {
  for (const name of names) {
    const problem = accountNameProblem(name);
    if (problem !== undefined) throw new CommandError(`${name} is not a valid group name: ${problem}`);
  }
  return [...new Set(names)].toSorted();
}

function unknown(name: string): CommandError {
  return new CommandError(`there is no user ${name} in the database: stowage user list shows all users`);
}

function alreadyThere(name: string): CommandError {
  return new CommandError(`user ${name} already exists: stowage user passwd ${name} changes the password`);
}
