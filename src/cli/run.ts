/** The commands of the program: one file each, found by its name. */
import { escapeControls } from "../lib/control-characters.ts";
import { nearest } from "../lib/nearest.ts";
import { COMMIT, VERSION } from "../version.ts";
import { CommandError, ReaderGoneError, systemErrorText } from "./command-error.ts";
import { print, printError } from "./print.ts";

/** What `stowage --help` prints. */
export const HELP = `Stowage ${VERSION}: an OCI registry for container images

  stowage serve [CONFIG.yml]      run the registry server
  stowage status                  sizes, garbage collection backlog, last backup, scrub and check

  stowage repo list|delete        list and delete repositories
  stowage tag list|delete         list and delete tags
  stowage cat REPO@DIGEST         print a blob or a manifest

  stowage user add|list|…         manage users, who log in with a password
  stowage token create|list|…     manage robots, which log in with a token
  stowage explain USER ACTION REPO  say whether a user may do something, and which rule decides
  stowage config check|show|…     check, show and explain the settings
  stowage quota list              list quotas and their usage
  stowage audit                   who changed what, from where, and by which rule
  stowage events status|list|…    events for endpoints of notifications, and dead letters

  stowage gc [--dry-run]          garbage collection: delete unreferenced blobs
  stowage garbage-collect CONFIG  the same with the options of distribution: [-d] [-m] [-q]
  stowage check [--deep]          integrity check: compare the database with the files
  stowage backup FOLDER           copy the registry into a folder
  stowage restore FOLDER          create a registry from a backup
  stowage migrate --from --to     copy the registry to another database or store
  stowage import SOURCE [REPO…]   copy images from another registry, an OCI image layout, docker save
  stowage export --to PATH        copy images into an OCI image layout, or an archive for docker load
  stowage export-links            write the links of distribution, to go back to it

  stowage --version               print the version, its commit and the schema of its database
  stowage COMMAND --help          explain a command

All commands work while the server runs, except restore.

Start it and push an image:

  stowage serve &
  docker tag IMAGE localhost:5000/IMAGE && docker push localhost:5000/IMAGE
`;

type Command = (args: readonly string[], environment: Readonly<Record<string, string | undefined>>) => Promise<number>;

/** The command that `serve` gives to processes of its own, and people do not need to know. */
const WORKER = "worker";

const VERSION_WORDS: ReadonlySet<string> = new Set(["--version", "-v", "version"]);
const HELP_WORDS: ReadonlySet<string> = new Set(["--help", "-h", "help"]);

/** What is understood besides commands, and long enough to be mistyped. */
const OWN_WORDS = ["help", "version", "--help", "--version"] as const;

/** What commands are called in other programs, and what to write here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  prune: "stowage gc",
  fsck: "stowage check",
  scrub: "stowage check --deep",
  ls: "stowage repo list, or stowage tag list REPO",
  list: "stowage repo list, or stowage tag list REPO",
  catalog: "stowage repo list",
  du: "stowage status, or stowage repo list",
  df: "stowage status",
  info: "stowage status",
  rm: "stowage tag delete REPO:TAG, or stowage repo delete REPO",
  delete: "stowage tag delete REPO:TAG, or stowage repo delete REPO",
  run: "stowage serve",
  start: "stowage serve",
};

/** As a shell says it of a program that SIGPIPE ended (128 + 13). */
const READER_GONE = 141;

/** Loaded on demand, so that commands do not slow down the start of others. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import("./serve.ts")).serve,
  gc: async () => (await import("./gc.ts")).gc,
  "garbage-collect": async () => (await import("./garbage-collect.ts")).garbageCollect,
  check: async () => (await import("./check.ts")).check,
  backup: async () => (await import("./backup.ts")).backup,
  restore: async () => (await import("./restore.ts")).restore,
  migrate: async () => (await import("./migrate.ts")).migrate,
  import: async () => (await import("./import.ts")).import,
  export: async () => (await import("./export.ts")).export,
  "export-links": async () => (await import("./export-links.ts")).exportLinks,
  explain: async () => (await import("./explain.ts")).explain,
  config: async () => (await import("./config.ts")).config,
  cat: async () => (await import("./cat.ts")).cat,
  user: async () => (await import("./user.ts")).user,
  token: async () => (await import("./token.ts")).token,
  status: async () => (await import("./status.ts")).status,
  quota: async () => (await import("./quota.ts")).quota,
  audit: async () => (await import("./audit.ts")).audit,
  events: async () => (await import("./events.ts")).events,
  repo: async () => (await import("./repo.ts")).repo,
  tag: async () => (await import("./tag.ts")).tag,
  [WORKER]: async () => (await import("./worker.ts")).worker,
};

/**
 * What containers of distribution's image are started with besides a command: `/etc/docker/registry/config.yml`, which is
 * served, and `registry serve CONFIG.yml`, which names the program once more.
 */
function asInContainer(argv: readonly string[]): readonly string[] {
  const [word = "", ...args] = argv;
  if (/\.ya?ml$/.test(word)) return ["serve", ...argv];
  return /^(?:\/(?:usr\/)?bin\/)?registry$/.test(word) ? args : argv;
}

/** Carries out a command line and gives the exit code. */
export async function run(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const [word = "--help", ...args] = asInContainer(argv);
  try {
    if (VERSION_WORDS.has(word)) return say(await versionText(), args);
    if (!HELP_WORDS.has(word)) return await (await commandOf(word))(args, environment);
    const [about, ...more] = args;
    if (about === undefined) return say(HELP, args);
    return await (
      await commandOf(about)
    )([...more, "--help"], environment);
  } catch (error) {
    if (error instanceof ReaderGoneError) return READER_GONE;
    const message = error instanceof CommandError ? error.message : systemErrorText(error);
    if (message === undefined) throw error;
    printError(`stowage: ${escapeControls(message.replaceAll("\n", " "))}\n`);
    return error instanceof CommandError ? error.exitCode : 1;
  }
}

/** `stowage 1.2.3 (commit 0123456789ab, database schema 15)`; without the commit when the program runs from sources. */
async function versionText(): Promise<string> {
  const { SCHEMA_VERSION } = await import("../metadata/migrations/migrations.ts");
  const commit = COMMIT === undefined ? "" : `commit ${COMMIT.slice(0, 12)}, `;
  return `stowage ${VERSION} (${commit}database schema ${SCHEMA_VERSION})\n`;
}

function say(text: string, [extra]: readonly string[]): number {
  if (extra !== undefined) throw new CommandError(`unexpected argument ${extra}: stowage --help lists the commands`);
  print(text);
  return 0;
}

async function commandOf(word: string): Promise<Command> {
  const load = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
  if (load) return await load();
  if (word === "") throw new CommandError("the command is empty: stowage --help lists the commands");
  const known = Object.keys(COMMANDS).filter((name) => name !== WORKER);
  const meant = Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word] : nearest(word, [...known, ...OWN_WORDS]);
  const hint = meant === undefined ? "" : ` did you mean ${meant}?`;
  if (word.startsWith("-")) {
    throw new CommandError(`${word} stands where the command is expected:${hint} Options come behind the command`);
  }
  throw new CommandError(`unknown command ${word}:${hint} stowage --help lists the commands`);
}
