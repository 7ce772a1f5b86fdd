/** `stowage explain`: whether somebody may do something, and which rule decides. */
import type { Action } from "../auth/identity.ts";
import { parseRepositoryName } from "../oci/repository-name.ts";
import { escapeControls } from "../lib/control-characters.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage explain USER ACTION REPOSITORY [options]: says whether somebody may do something, and why

  stowage explain alice push team/app
  stowage explain robot:ci delete team/app
  stowage explain anonymous pull public/base

ACTION is pull, push, delete or admin. The exit code is 0 for yes, 1 for no, and 2 when there is no answer.

${SETTINGS_HELP}
`;

const ACTIONS: readonly Action[] = ["pull", "push", "delete", "admin"];

export async function explain(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return await failingWith2(async () => {
    const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: 3 });
    if (!line) return 0;
    const { values, positionals } = line;
    const [name, word, text] = positionals;
    const action = ACTIONS.find((each) => each === word);
    const repository = parseRepositoryName(text ?? "");
    if (name === undefined || !action || repository === undefined) {
      throw new CommandError("explain takes a name, an action and a repository: stowage explain alice push team/app");
    }
    const { settings } = settingsFrom(values, environment);
    await using registry = await openRegistry(settings, silentLogger(), { mustExist: true, serving: true });
    const decision = await registry.explain(name, action, repository);
    if (!decision) throw new CommandError(`nobody is called ${name} here: robots are written robot:NAME`);
    const { allowed, by } = decision;
    print(`${allowed ? "yes" : "no"}: ${allowed ? "allowed" : "refused"} by ${escapeControls(by)}\n`);
    return allowed ? 0 : 1;
  });
}
