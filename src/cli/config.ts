/** `stowage config`: checks, shows and explains the settings. */
import { DESCRIPTIONS } from "../config/descriptions.ts";
import { UNBUILT_PATHS, unbuiltSetting } from "../config/distribution.ts";
import { settingsJsonSchema, withoutLinks } from "../config/json-schema.ts";
import { isReloaded } from "../config/reloading.ts";
import { SETTING_PATHS, defaultOf } from "../config/schema.ts";
import { withoutSecrets } from "../config/secrets.ts";
import { EXAMPLES, OPTIONS, SettingsError } from "../config/sources.ts";
import type { LoadedSettings } from "../config/sources.ts";
import { variableOf } from "../config/variables.ts";
import { nearest } from "../lib/nearest.ts";
import { checkAccessFiles } from "./access-checks.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine, readVerb } from "./command-line.ts";
import { liveOptionsOf } from "./open-registry.ts";
import { print, printError } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { table } from "./table.ts";

const HELP = `stowage config check|show|schema|explain: checks, shows and explains the settings

  stowage config check [CONFIG.yml]  every problem of the file, the variables and the options, with its line; exit code 1
                                     when the server would not start with them
  stowage config show [CONFIG.yml]   the settings that are set: value, and where it comes from; secrets are left out
  stowage config schema              a JSON schema of the settings file, for editors
  stowage config explain KEY         what a setting does, its value, and where that comes from

  --all                 show: also settings that have their default
  --json                show: print a JSON object

${SETTINGS_HELP}
`;

type Environment = Readonly<Record<string, string | undefined>>;

const VERBS = { check, show, schema, explain };

export async function config(args: readonly string[], environment: Environment): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    print(HELP);
    return 0;
  }
  const { act, words } = readVerb("config", VERBS, args);
  return await act(words, environment);
}

async function check(args: readonly string[], environment: Environment): Promise<number> {
  const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: 1 });
  if (!line) return 0;
  try {
    const { settings, warnings, given } = settingsFrom(line.values, environment, line.positionals[0]);
    await liveOptionsOf(settings, { serving: true });
    checkAccessFiles(settings);
    for (const warning of warnings) print(`warning: ${warning}\n`);
    print(`the settings are valid: ${given.size} of ${SETTING_PATHS.length} are set\n`);
    return 0;
  } catch (error) {
    const problems = error instanceof CommandError && error.cause instanceof SettingsError ? error.cause.problems : [];
    if (problems.length < 2) throw error;
    for (const problem of problems) printError(`stowage: ${problem}\n`);
    return 1;
  }
}

async function show(args: readonly string[], environment: Environment): Promise<number> {
  const options = {
    ...SETTINGS_OPTIONS,
    all: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  } as const;
  const line = readCommandLine(args, { help: HELP, options, maxWords: 1 });
  if (!line) return 0;
  const { values, positionals } = line;
  const { given } = settingsFrom(values, environment, positionals[0]);
  const rows = SETTING_PATHS.filter((path) => values.all || given.has(path)).map((path) => inForce(path, given));
  if (values.json) {
    const entries = rows.map(({ path, value, origin }) => [path, { value: value ?? null, origin }]);
    print(`${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`);
  } else if (rows.length === 0) {
    print("nothing is set: every setting has its default (--all lists them)\n");
  } else {
    print(
      table(
        ["SETTING", "VALUE", "FROM"],
        rows.map(({ path, value, origin }) => [path, text(value), origin]),
      ),
    );
  }
  return 0;
}

async function schema(args: readonly string[]): Promise<number> {
  const line = readCommandLine(args, { help: HELP, options: {}, maxWords: 0 });
  if (line) print(`${JSON.stringify(settingsJsonSchema(), undefined, 2)}\n`);
  return 0;
}

async function explain(args: readonly string[], environment: Environment): Promise<number> {
  const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: 1 });
  if (!line) return 0;
  const [word] = line.positionals;
  if (word === undefined) throw new CommandError("which setting? Write stowage config explain http.addr");
  const { given } = settingsFrom(line.values, environment);
  const path = pathOf(word);
  const section = SETTING_PATHS.filter((each) => each.startsWith(`${path}.`));
  if (SETTING_PATHS.includes(path)) print(explanation(path, given));
  else if (section.length > 0) print(summaryOf(section));
  else print(ofDistribution(path));
  return 0;
}

/** The setting that is meant by a path or by the name of a variable. */
function pathOf(word: string): string {
  const variable = [...SETTING_PATHS, ...UNBUILT_PATHS].find((path) => variableOf(path) === word.toUpperCase());
  return variable ?? word.toLowerCase();
}

interface InForce {
  readonly path: string;
  readonly value: unknown;
  readonly origin: string;
}

function inForce(path: string, given: LoadedSettings["given"]): InForce {
  const { value, origin } = given.get(path) ?? { value: defaultOf(path), origin: "default" };
  return { path, value: withoutSecrets(path, value), origin };
}

function text(value: unknown): string {
  if (value === undefined) return "none";
  return typeof value === "string" && value !== "" ? value : JSON.stringify(value);
}

function explanation(path: string, given: LoadedSettings["given"]): string {
  const { value, origin } = inForce(path, given);
  const example = EXAMPLES[path];
  const option = OPTIONS[path];
  const facts = [
    ["value", `${text(value)} (${origin})`],
    ["default", text(defaultOf(path))],
    ...(example === undefined ? [] : [["example", `${path}: ${example}`]]),
    ["variable", variableOf(path)],
    ...(option === undefined ? [] : [["option", option]]),
    ["changes", isReloaded(path) ? "take effect at SIGHUP" : "need a restart"],
    ["more", `docs/configuration.md#${path.replaceAll(".", "")}`],
  ];
  const lines = facts.map(([name = "", fact]) => `  ${name.padEnd(9)} ${fact}\n`);
  return `${path}\n\n${folded(withoutLinks(DESCRIPTIONS[path] ?? ""))}\n${lines.join("")}`;
}

function summaryOf(paths: readonly string[]): string {
  return table(
    ["SETTING", "WHAT IT DOES"],
    paths.map((path) => [path, /^.*?[.:](?= |$)/.exec(withoutLinks(DESCRIPTIONS[path] ?? ""))?.[0] ?? ""]),
  );
}

/** Throws `CommandError` when distribution has no such setting either. */
function ofDistribution(path: string): string {
  const setting = unbuiltSetting(path);
  if (!setting) {
    const meant = nearest(path, [...SETTING_PATHS, ...UNBUILT_PATHS]);
    throw new CommandError(
      `${path} is not a setting${meant === undefined ? "" : `: did you mean ${meant}?`} stowage config show --all lists them`,
    );
  }
  const means =
    setting.kind === "ignored"
      ? `It is not needed by Stowage: ${setting.instead}. It is accepted, with a warning.`
      : `It is not supported yet: without it ${setting.without}. So it stops the start.`;
  return `${path}\n\n${folded(`A setting of distribution (registry:2, registry:3). ${means}`)}`;
}

/** Columns of a terminal. */
const WIDTH = 100;

function folded(paragraph: string): string {
  const lines = [""];
  for (const word of paragraph.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line !== "" && line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line) => `  ${line}\n`).join("");
}
