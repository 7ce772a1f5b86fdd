/** `stowage token`: what robots log in with. */
import { accountNameProblem } from "../auth/account-name.ts";
import type { Action } from "../auth/identity.ts";
import { isRepositoryPattern } from "../auth/robots.ts";
import type { RobotToken, Robots } from "../auth/robots.ts";
import { systemClock } from "../lib/clock.ts";
import { parseDuration } from "../lib/duration.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine, readVerb } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print, printError } from "./print.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { workingIn } from "./working-in.ts";
import { day, table } from "./table.ts";

const HELP = `stowage token create|list|revoke [options]: manages robot tokens, for CI and machines

  stowage token create --for ci --repo 'team/**' --actions pull,push
                                       create a token for the robot ci, and print it once
  stowage token list                   list tokens and their expiry
  stowage token revoke ID              revoke a token at once, everywhere
  stowage token revoke --for ci        revoke all tokens of a robot

Log in with the robot's name as user name and the token as password:

  stowage token create --for ci --repo 'team/**' | docker login -u ci --password-stdin registry.example.com

To rotate a token, create a second one for the same robot, deploy it, and revoke the first. Tokens are accepted when the
server has auth.users.enabled: true. A token grants its --actions on its --repo; the setting policies does not apply to
robots.

  --for NAME            name of the robot
  --repo PATTERN        repositories: team/app, team/* or team/**; may be repeated
  --actions A,B         some of pull, push, delete (pull)
  --expires DURATION    lifetime: 12h, 90d, or never (90d)
  --json                print JSON

${SETTINGS_HELP}
`;

const ACTIONS: readonly Action[] = ["pull", "push", "delete"];

interface Asked {
  readonly robots: Robots;
  readonly words: readonly string[];
  readonly robot: string | undefined;
  readonly patterns: readonly string[];
  readonly actions: string;
  readonly expires: string;
  readonly asJson: boolean;
}

const VERBS: Readonly<Record<string, (asked: Asked) => Promise<void>>> = { create, list, revoke };

export async function token(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      for: { type: "string" },
      repo: { type: "string", multiple: true, default: [] },
      actions: { type: "string", default: "pull" },
      expires: { type: "string", default: "90d" },
      json: { type: "boolean", default: false },
    },
    maxWords: 2,
  });
  if (!line) return 0;
  const { values, positionals } = line;
  const { verb, act, words } = readVerb("token", VERBS, positionals);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  const { for: robot, repo: patterns, actions, expires, json: asJson } = values;
  await workingIn(settings, () => act({ robots: registry.robots, words, robot, patterns, actions, expires, asJson }));
  if (verb !== "list") {
    const forWhom = robot === undefined ? [] : ["--for", robot];
    const what = verb === "create" ? [...patterns.flatMap((each) => ["--repo", each]), "--actions", actions] : words;
    await recordOperation(registry, "token", verb, ...forWhom, ...what);
  }
  if (verb === "create" && !settings.auth.users.enabled) {
    printError("stowage: tokens are not accepted until the server has auth.users.enabled: true\n");
  }
  return 0;
}

/** Only the token goes to the standard output, so that it can be handed on. */
async function create({ robots, words, robot, patterns, actions: text, expires, asJson }: Asked): Promise<void> {
  if (words.length > 0) throw new CommandError(`create takes no arguments: did you mean --for ${words[0]}?`);
  if (robot === undefined || patterns.length === 0) {
    throw new CommandError(
      "--for and --repo are required: stowage token create --for ci --repo 'team/**' --actions pull,push",
    );
  }
  const problem = accountNameProblem(robot);
  if (problem !== undefined) throw new CommandError(`${robot} is not a valid robot name: ${problem}`);
  const wrong = patterns.find((pattern) => !isRepositoryPattern(pattern));
  if (wrong !== undefined)
    throw new CommandError(`--repo ${wrong} is not a repository pattern: write team/app or 'team/**'`);
  const actions = actionsIn(text);
  const expiresAt = expiryIn(expires);
  const { id, token: secret } = await robots.create(
    robot,
    patterns.map((repositories) => ({ repositories, actions })),
    expiresAt,
  );
  if (asJson) {
    const until = expiresAt === undefined ? null : new Date(expiresAt).toISOString();
    print(`${JSON.stringify({ id, robot, token: secret, repositories: patterns, actions, expiresAt: until })}\n`);
    return;
  }
  const until = expiresAt === undefined ? "for ever" : `until ${day(expiresAt)}`;
  printError(
    `${robot} may ${actions.join(", ")} ${patterns.join(", ")} ${until}. ` +
      `Store this token now, it is not shown again (stowage token revoke ${id} revokes it):\n`,
  );
  print(`${secret}\n`);
}

async function list({ robots, robot, asJson }: Asked): Promise<void> {
  const found = (await robots.list()).filter((each) => robot === undefined || each.robot === robot);
  if (asJson) {
    print(`${JSON.stringify(found.map(shown))}\n`);
    return;
  }
  const now = systemClock.now();
  const lasts = ({ expiresAt }: RobotToken): string =>
    expiresAt === undefined ? "for ever" : `${expiresAt <= now ? "expired" : "until"} ${day(expiresAt)}`;
  print(
    found.length === 0
      ? "there are no tokens: see stowage token create --help\n"
      : table(
          ["ID", "ROBOT", "MAY", "MADE", "LASTS"],
          found.map((each) => [each.id, each.robot, grantsOf(each), day(each.createdAt), lasts(each)]),
        ),
  );
}

async function revoke({ robots, words, robot }: Asked): Promise<void> {
  const [id] = words;
  if (words.length > 1 || (id === undefined) === (robot === undefined)) {
    throw new CommandError("revoke takes the id of one token, or --for and a robot: stowage token list shows them");
  }
  const count = id === undefined ? await robots.revokeAll(robot ?? "") : Number(await robots.revoke(id));
  if (count === 0) {
    throw new CommandError(`there is no token ${id ?? `of ${robot}`}: stowage token list shows all tokens`);
  }
  print(`${count === 1 ? "1 token was" : `${count} tokens were`} revoked\n`);
}

function actionsIn(text: string): readonly Action[] {
  const words = text.split(",").map((word) => word.trim());
  const wrong = words.find((word) => !(ACTIONS as readonly string[]).includes(word));
  if (wrong !== undefined)
    throw new CommandError(`--actions ${text}: ${wrong || "nothing"} is not one of ${ACTIONS.join(", ")}`);
  return ACTIONS.filter((action) => words.includes(action));
}

function expiryIn(text: string): number | undefined {
  if (text === "never") return undefined;
  const milliseconds = parseDuration(text);
  if (!milliseconds) throw new CommandError(`--expires ${text} is not a duration: write 12h, 90d or never`);
  return systemClock.now() + milliseconds;
}

function grantsOf({ grants }: RobotToken): string {
  return grants.map(({ repositories, actions }) => `${actions.join(",")} ${repositories}`).join("; ");
}

function shown({ id, robot, grants, createdAt, expiresAt }: RobotToken): object {
  return {
    id,
    robot,
    grants,
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
  };
}
