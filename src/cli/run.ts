/** The commands of the program: one file each, found by its name. */
import { escapeControls } from "../lib/control-characters.ts";
import { nearest } from "../lib/nearest.ts";
import { VERSION } from "../version.ts";
import { CommandError, ReaderGoneError } from "./command-error.ts";
import { print, printError } from "./print.ts";

const HELP = `Stowage ${VERSION}: a registry of container images

  stowage serve [CONFIG.yml]      serve the registry (docker push, docker pull, …)
  stowage gc [--dry-run]          remove what nothing needs any more, beside a running server
  stowage check [--deep]          compare what is recorded with what is there
  stowage backup FOLDER           copy everything into a folder, beside a running server
  stowage restore FOLDER          make a data folder out of such a copy
  stowage explain USER DO REPO    say whether somebody may do something, and which rule decides
  stowage cat REPO@DIGEST         print a blob or a manifest
  stowage user add|list|…         who may log in with a password
  stowage token create|list|…     what machines log in with
  stowage repo list|delete        repositories, for an administrator
  stowage tag delete REPO:TAG     tags, for an administrator
  stowage --version               print the version
  stowage --help                  print this; COMMAND --help tells more

Start it and push an image:

  stowage serve &
  docker tag IMAGE localhost:5000/IMAGE && docker push localhost:5000/IMAGE
`;

type Command = (args: readonly string[], environment: Readonly<Record<string, string | undefined>>) => Promise<number>;

/** The command that `serve` gives to processes of its own, and people do not need to know. */
const WORKER = "worker";

/** As a shell says it of a program that SIGPIPE ended (128 + 13). */
const READER_GONE = 141;

/** Loaded when asked for: what is not needed does not make the start slow. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import("./serve.ts")).serve,
  gc: async () => (await import("./gc.ts")).gc,
  check: async () => (await import("./check.ts")).check,
  backup: async () => (await import("./backup.ts")).backup,
  restore: async () => (await import("./restore.ts")).restore,
  explain: async () => (await import("./explain.ts")).explain,
  cat: async () => (await import("./cat.ts")).cat,
  user: async () => (await import("./user.ts")).user,
  token: async () => (await import("./token.ts")).token,
  repo: async () => (await import("./repo.ts")).repo,
  tag: async () => (await import("./tag.ts")).tag,
  [WORKER]: async () => (await import("./worker.ts")).worker,
};

/** Carries out a command line and gives the exit code. */
export async function run(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const [word = "--help", ...args] = argv;
  try {
    if (word === "--version" || word === "-v" || word === "version") return say(`${VERSION}\n`);
    if (word === "--help" || word === "-h" || word === "help") return say(HELP);
    const load = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
    if (!load) throw unknownCommand(word);
    return await (
      await load()
    )(args, environment);
  } catch (error) {
    if (error instanceof ReaderGoneError) return READER_GONE;
    if (!(error instanceof CommandError) && !isUsageError(error)) throw error;
    printError(`stowage: ${escapeControls(error.message.replaceAll("\n", " "))}\n`);
    return error instanceof CommandError ? error.exitCode : 1;
  }
}

function say(text: string): number {
  print(text);
  return 0;
}

function unknownCommand(word: string): CommandError {
  const known = Object.keys(COMMANDS).filter((name) => name !== WORKER);
  const meant = nearest(word, known);
  return new CommandError(
    `${word} is not a command${meant === undefined ? "" : `: did you mean ${meant}?`} stowage --help lists them`,
  );
}

/** What `parseArgs` says of an option that is not there. */
function isUsageError(error: unknown): error is Error {
  const { code } = error as { code?: string };
  return error instanceof Error && code !== undefined && code.startsWith("ERR_PARSE_ARGS");
}
