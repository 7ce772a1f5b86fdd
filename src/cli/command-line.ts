/** The words of a command, read the same way for every command. */
import { parseArgs } from "node:util";
import type { ParseArgsOptionsConfig } from "node:util";

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
    process.stdout.write(help);
    return undefined;
  }
  return parseArgs({ args: [...args], options, allowPositionals: true });
}
