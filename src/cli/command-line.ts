/** The words of a command, read the same way for every command. */
import { parseArgs } from "node:util";
import type { ParseArgsOptionsConfig } from "node:util";
import { nearest } from "../lib/nearest.ts";
import { CommandError } from "./command-error.ts";
import { print } from "./print.ts";

type CommandLine<Options extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Options; allowPositionals: true }>
>;

export interface Grammar<Options extends ParseArgsOptionsConfig> {
  /** What `--help` prints; it begins with `stowage COMMAND`. */
  readonly help: string;
  readonly options: Options;
  /** How many words may stand beside the options. */
  readonly maxWords: number;
  /** Options of other registries, by what they are called there, such as `-m`: what to write instead. */
  readonly elsewhere?: Readonly<Record<string, string>>;
}

/**
 * Returns the options and words of a command; undefined when help was asked for, which is printed then. Throws
 * `CommandError` for an option that the command does not have, a value that is missing or not wanted, and a word too many.
 */
export function readCommandLine<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  grammar: Grammar<Options>,
): CommandLine<Options> | undefined {
  const { help, options, maxWords } = grammar;
  if (args.includes("--help") || args.includes("-h")) {
    print(help);
    return undefined;
  }
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  let words = 0;
  for (const token of tokens) {
    if (token.kind === "option") checkOption(token, grammar);
    else if (token.kind === "positional" && ++words > maxWords) {
      throw new CommandError(`unexpected argument ${token.value}: ${commandOf(help)} --help lists the arguments`);
    }
  }
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function checkOption<Options extends ParseArgsOptionsConfig>(
  { name, rawName, value, inlineValue }: OptionToken,
  { help, options, elsewhere = {} }: Grammar<Options>,
): void {
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (!option || !rawName.startsWith("--")) {
    const meant =
      elsewhere[rawName] ??
      nearest(
        rawName,
        Object.keys(options).map((known) => `--${known}`),
      );
    const hint = meant === undefined ? "" : ` did you mean ${meant}?`;
    throw new CommandError(`unknown option ${rawName} of ${commandOf(help)}:${hint} --help lists the options`);
  }
  if (option.type === "boolean") {
    if (value !== undefined) throw new CommandError(`${rawName} takes no value: leave =${value} out`);
  } else if (value === undefined || (value.startsWith("-") && !inlineValue)) {
    const next = value === undefined ? "" : `, or ${rawName}=${value}`;
    throw new CommandError(`${rawName} takes a value: write ${rawName} VALUE${next}`);
  }
}

/** `stowage gc` of the help of that command. */
function commandOf(help: string): string {
  return help.split(" ", 2).join(" ").replace(/:$/, "");
}

/**
 * Returns which of its verbs a command was given, and the words behind it. Throws `CommandError` with the verbs that there
 * are when it is none of them.
 */
export function readVerb<Act>(
  command: string,
  verbs: Readonly<Record<string, Act>>,
  [verb = "", ...words]: readonly string[],
): { readonly verb: string; readonly act: Act; readonly words: readonly string[] } {
  const act = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (act) return { verb, act, words };
  const meant = verb === "" ? undefined : nearest(verb, Object.keys(verbs));
  const hint = meant === undefined ? "" : ` did you mean ${meant}?`;
  const known = Object.keys(verbs).join(", ");
  throw new CommandError(`${command} takes one of ${known}:${hint} stowage ${command} --help explains them`);
}
