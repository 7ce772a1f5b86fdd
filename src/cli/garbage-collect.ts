/** `stowage garbage-collect`: distribution's command, so that a scheduled job for `registry:2` goes on working. */
import { CommandError, failingWith2 } from "./command-error.ts";
import { gc } from "./gc.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP } from "./settings-options.ts";

const HELP = `stowage garbage-collect [-d] [-m] [-q] [CONFIG.yml]: stowage gc with the options of distribution; the server
may be running, also in another container on the same volume

  -d, --dry-run          list what would be deleted, and delete nothing
  -m, --delete-untagged  also delete untagged manifests, once gc.undo and gc.fresh are over (7d each)
  -q, --quiet            print nothing but errors
  --grace DURATION       delete blobs whose last reference, and whose lease, ended longer ago than this:
                         10s, 1h, 0 (settings gc.grace and gc.lease, 1h each)
  --json                 print a JSON object instead of a table

${SETTINGS_HELP}

Exit code: 0 done, 2 failed.
`;

/** The options of `stowage gc` by the short and long names that distribution has for them. */
const OPTIONS: Readonly<Record<string, string>> = {
  d: "--dry-run",
  "dry-run": "--dry-run",
  m: "--untagged",
  "delete-untagged": "--untagged",
  q: "--quiet",
  quiet: "--quiet",
};

/** What Go's `strconv.ParseBool` reads: charts write `--delete-untagged=false`. */
const BOOLEANS: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true])),
  ...Object.fromEntries(["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false])),
};

export async function garbageCollect(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    print(HELP);
    return 0;
  }
  return await failingWith2(() => gc(optionsOfGc(args), environment));
}

/** The words that `stowage gc` takes; those that are none of distribution's options stay as they are. */
function optionsOfGc(args: readonly string[]): readonly string[] {
  const options = new Map<string, boolean>();
  const others: string[] = [];
  for (const word of args) {
    const names = namesIn(word);
    if (!names) {
      others.push(word);
      continue;
    }
    const [, value] = /=(.*)$/s.exec(word) ?? [];
    for (const [index, name] of names.entries()) {
      // Of short options in one word the value belongs to the last.
      const isSet = value === undefined || index < names.length - 1 ? true : booleanOf(value, word);
      options.set(OPTIONS[name] ?? name, isSet);
    }
  }
  return [...[...options].flatMap(([option, isSet]) => (isSet ? [option] : [])), ...others];
}

/** The options in a word such as `-dm` or `--quiet=true`; undefined when it has no option of distribution, or another one too. */
function namesIn(word: string): readonly string[] | undefined {
  const [, short, long] = /^(?:-([a-z]+)|--([a-z-]+))(?:=.*)?$/s.exec(word) ?? [];
  const names = short === undefined ? (long === undefined ? [] : [long]) : short.split("");
  return names.length > 0 && names.every((name) => Object.hasOwn(OPTIONS, name)) ? names : undefined;
}

function booleanOf(text: string, word: string): boolean {
  const value = Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : undefined;
  if (value === undefined) throw new CommandError(`${word}: ${text} is neither true nor false`);
  return value;
}
