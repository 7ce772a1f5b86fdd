/** The words of a command, read the same way for every command. */
import { parseArgs } from "node:util";
import type { ParseArgsOptionsConfig } from "node:util";
import { CommandError } from "./command-error.ts";
import { print } from "./print.ts";

type CommandLine<Options extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Options; allowPositionals: true }>
>;

/** Undefined when help was asked for and has been given. */
export function readCommandLine<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  help: string,
  options: Options,
): CommandLine<Options> | undefined {
  if (args.includes("--help") || args.includes("-h")) {
    print(help);
    return undefined;
  }
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

/** Which of its verbs a command was given, and the words behind it; refused with those that there are. */
export function readVerb<Act>(
  command: string,
  verbs: Readonly<Record<string, Act>>,
  [verb = "", ...words]: readonly string[],
): { readonly verb: string; readonly act: Act; readonly words: readonly string[] } {
  const act = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (act) return { verb, act, words };
  throw new CommandError(`${command} takes one of ${Object.keys(verbs).join(", ")}: stowage ${command} list`);
}
