/** Where settings come from: defaults, then the file, then the environment, then flags; the last one wins. */
import { parseDocument } from "yaml";
import { nearest } from "../lib/nearest.ts";
import { UNBUILT_PATHS, unbuiltSetting } from "./distribution.ts";
import { SETTING_PATHS, Settings } from "./schema.ts";

/** Settings that the program cannot start with; the message says which, what was expected and gives an example. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

export interface Sources {
  /** The settings file, when there is one. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Values of the command line by the path of their setting. */
  readonly flags: Readonly<Record<string, unknown>>;
}

export interface LoadedSettings {
  readonly settings: Settings;
  /** One line each for a person to read at the start. */
  readonly warnings: readonly string[];
}

interface Tree {
  [key: string]: unknown;
}

/** Where a value came from, for the messages about it. */
type Origins = Map<string, string>;

/** Reads all sources; refused with `SettingsError` on the first thing that is wrong. */
export function loadSettings(sources: Sources): LoadedSettings {
  const warnings: string[] = [];
  const origins: Origins = new Map();
  const tree = sources.file ? fromFile(sources.file, warnings, origins) : {};
  fromEnvironment(sources.environment, tree, warnings, origins);
  for (const [path, value] of Object.entries(sources.flags)) {
    put(tree, path, value);
    origins.set(path, "the command line");
  }
  const parsed = Settings.safeParse(tree);
  if (parsed.success) return { settings: parsed.data, warnings };
  const [issue] = parsed.error.issues;
  const path = issue?.path.join(".") ?? "";
  const origin = origins.get(path) ?? sources.file?.path ?? "the settings";
  const found = JSON.stringify(at(tree, path));
  throw new SettingsError(
    `${origin}: ${path} is ${found}, but ${issue?.message ?? "that is not possible"}${example(path)}`,
  );
}

/** A setting's example for a message, when one helps. */
const EXAMPLES: Readonly<Record<string, string>> = {
  "log.level": "info",
  "log.formatter": "json",
  "http.addr": "127.0.0.1:5000",
  "storage.filesystem.rootdirectory": "/var/lib/stowage",
  "storage.filesystem.singleprocess": "false",
  "storage.delete.enabled": "true",
  "storage.inline": "16KiB",
  "storage.maintenance.uploadpurging.enabled": "true",
  "storage.maintenance.uploadpurging.age": "168h",
  "storage.maintenance.uploadpurging.interval": "24h",
  "storage.maintenance.uploadpurging.dryrun": "false",
  "gc.enabled": "true",
  "gc.interval": "1m",
  "gc.lease": "1h",
  "gc.grace": "1h",
  "gc.undo": "7d",
  "gc.fresh": "7d",
  "gc.untagged": "false",
  "scrub.bytespersecond": "8MiB",
  "scrub.pause": "1h",
  "validation.manifests.sparse": "false",
};

function example(path: string): string {
  const value = EXAMPLES[path];
  return value === undefined ? "" : ` (for example ${path}: ${value})`;
}

function fromFile(file: { readonly path: string; readonly text: string }, warnings: string[], origins: Origins): Tree {
  const document = parseDocument(file.text, { prettyErrors: true });
  const [error] = document.errors;
  if (error)
    throw new SettingsError(
      `${file.path}: ${error.message.split("\n")[0]} (expected YAML, such as http: {addr: "127.0.0.1:5000"})`,
    );
  const value = document.toJS() as unknown;
  if (value === null || value === undefined) return {};
  if (!isTree(value))
    throw new SettingsError(`${file.path}: expected settings by name, such as http: {addr: "127.0.0.1:5000"}`);
  const tree: Tree = {};
  for (const [path, leaf] of leavesOf(value)) {
    if (SETTING_PATHS.includes(path)) {
      put(tree, path, leaf);
      origins.set(path, file.path);
    } else if (!SETTING_PATHS.some((known) => known.startsWith(`${path}.`)) || (leaf !== null && !isTree(leaf))) {
      setAside(path, file.path, warnings);
    }
  }
  keepDeletesOff(value, tree, warnings);
  return tree;
}

/** distribution's default is that nothing may be deleted: one of its files keeps that promise. */
function keepDeletesOff(file: Tree, tree: Tree, warnings: string[]): void {
  if (file["version"] === undefined || at(tree, "storage.delete.enabled") !== undefined) return;
  put(tree, "storage.delete.enabled", false);
  warnings.push(
    "deleting is off, as it is in distribution when its file does not say storage.delete.enabled: set it to true to allow it",
  );
}

function fromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  tree: Tree,
  warnings: string[],
  origins: Origins,
): void {
  const variables = new Map(SETTING_PATHS.map((path) => [variableOf(path), path]));
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith("REGISTRY_") || text === undefined || name === "REGISTRY_CONFIGURATION_PATH") continue;
    const path = variables.get(name.toUpperCase());
    if (path !== undefined) {
      // A path or an address is what it says, also when YAML would read a number in it.
      put(tree, path, typeof at(Settings.parse({}), path) === "string" ? text : scalar(text));
      origins.set(path, name);
    } else if (name === "REGISTRY_STORAGE") {
      if (text !== "filesystem") setAside(`storage.${text}`, name, warnings);
    } else {
      setAsideVariable(name, variables.keys(), warnings);
    }
  }
}

function setAsideVariable(name: string, known: Iterable<string>, warnings: string[]): void {
  const path = name.slice("REGISTRY_".length).toLowerCase().replaceAll("_", ".");
  if (unbuiltSetting(path)) {
    setAside(path, name, warnings);
    return;
  }
  const meant = nearest(name, known);
  warnings.push(`${name} is not a setting and is ignored${meant === undefined ? "" : `: did you mean ${meant}?`}`);
}

/** A setting that is not ours: distribution's, which may or may not be done without, or nobody's. */
function setAside(path: string, origin: string, warnings: string[]): void {
  const unbuilt = unbuiltSetting(path);
  if (unbuilt?.kind === "ignored") {
    if (unbuilt.path !== "version")
      warnings.push(`${origin}: ${path} is a setting of distribution that Stowage does not have: it is ignored`);
    return;
  }
  if (unbuilt) {
    throw new SettingsError(
      `${origin}: ${unbuilt.path} is not built yet, and without it ${unbuilt.without}: remove it only if that is what you want`,
    );
  }
  const meant = nearest(path, [...SETTING_PATHS, ...UNBUILT_PATHS]);
  throw new SettingsError(
    `${origin}: ${path} is not a setting${meant === undefined ? "" : `: did you mean ${meant}?`}` +
      " (for example http.addr: 127.0.0.1:5000)",
  );
}

/** `REGISTRY_HTTP_ADDR` for `http.addr`: distribution's rule. */
export function variableOf(path: string): string {
  return `REGISTRY_${path.replaceAll(".", "_").toUpperCase()}`;
}

/** A value of the environment is read as YAML, as distribution does: `true`, `16384`, `a text`. */
function scalar(text: string): unknown {
  const document = parseDocument(text);
  return document.errors.length > 0 ? text : document.toJS();
}

function* leavesOf(tree: Tree, prefix = ""): Generator<[path: string, value: unknown]> {
  for (const [key, value] of Object.entries(tree)) {
    const path = `${prefix}${key}`;
    if (isTree(value) && Object.keys(value).length > 0 && !unbuiltSetting(path)) yield* leavesOf(value, `${path}.`);
    else yield [path, value];
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function at(tree: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (isTree(value) ? value[key] : undefined), tree);
}

function put(tree: Tree, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let place = tree;
  for (const key of keys) {
    const found = place[key];
    const next: Tree = isTree(found) ? found : {};
    place[key] = next;
    place = next;
  }
  place[last] = value;
}
