/** Where settings come from: defaults, then the file, then the environment, then flags; the last one wins. */
import type { z } from "zod";
import { nearest } from "../lib/nearest.ts";
import { UNBUILT_PATHS, isHarmless, unbuiltSetting } from "./distribution.ts";
import { SETTING_PATHS, Settings, kindOf, namesBelow } from "./schema.ts";
import { FILE_VARIABLE, meaningOf, sectionsAbove, variableOf } from "./variables.ts";
import { expectation, shown } from "./wording.ts";
import { YamlError, parseYaml } from "./yaml.ts";

/** The options of the command line by the path of the setting that each stands for. */
export const OPTIONS: Readonly<Record<string, string>> = {
  "http.addr": "--addr",
  "storage.filesystem.rootdirectory": "--data",
  "log.level": "--log-level",
  "storage.delete.enabled": "--delete",
};

/** Settings that the program cannot start with; the message says which, what was expected and gives an example. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";

  constructor(message: string, options?: ErrorOptions) {
    super(message.replaceAll(/\p{Cc}+/gu, " "), options); // one line, whatever stands in the settings
  }
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
  const file = sources.file ? fromFile(sources.file) : {};
  const tree: Tree = {};
  takeFile(file, sources.file?.path ?? "", tree, warnings, origins);
  takeEnvironment(sources.environment, tree, warnings, origins);
  for (const [path, value] of Object.entries(sources.flags)) {
    put(tree, path, value);
    origins.set(path, OPTIONS[path] ?? "the command line");
  }
  keepDeletesOff(file, tree, warnings);
  const parsed = Settings.safeParse(tree, { error: expectation });
  if (parsed.success) return { settings: parsed.data, warnings };
  // Report values that were set before values that are missing.
  const { issues } = parsed.error;
  const issue = issues.find((each) => at(tree, each.path.join(".")) !== undefined) ?? issues[0];
  throw new SettingsError(issue ? complaint(issue, tree, origins) : "the settings cannot be read");
}

/** Where a setting came from, what it is, what was expected, and an example. */
function complaint(issue: z.core.$ZodIssue, tree: Tree, origins: Origins): string {
  const path = issue.path.join(".");
  // An entry of a list has the origin of the list.
  const setting = SETTING_PATHS.find((known) => path === known || path.startsWith(`${known}.`)) ?? path;
  const origin = originOf(setting, origins) ?? "the settings";
  if (issue.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    return `${origin}: ${notASetting(
      path === "" ? key : `${path}.${key}`,
      namesBelow(path).map((name) => `${path}.${name}`),
    )}`;
  }
  const value = at(tree, path);
  const found = value === undefined ? "is not set" : value === null ? "has no value" : `is ${shown(value)}`;
  return `${origin}: ${path} ${found}, but ${issue.message}${example(setting)}`;
}

/** Of what is missing, where the section comes from that it is missing in, or what else stands there. */
function originOf(path: string, origins: Origins): string | undefined {
  const own = origins.get(path);
  if (own !== undefined) return own;
  for (const section of sectionsAbove(path).toReversed()) {
    const found = origins.get(section) ?? [...origins].find(([other]) => other.startsWith(`${section}.`))?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A setting's example for a message, when one helps. */
const EXAMPLES: Readonly<Record<string, string>> = {
  "log.level": "info",
  "log.formatter": "json",
  "http.addr": "127.0.0.1:5000",
  "http.host": "https://registry.example.com",
  "http.prefix": "/registry/",
  "http.headers": "{Access-Control-Allow-Origin: ['https://ui.example.com']}",
  "http.relativeurls": "true",
  "http.trustedproxies": '["10.0.0.0/8"]',
  "http.tls.certificate": "/etc/stowage/tls.crt",
  "http.tls.key": "/etc/stowage/tls.key",
  "http.tls.letsencrypt.cachefile": "/var/lib/stowage-certificates",
  "http.tls.letsencrypt.email": "you@example.com",
  "http.tls.letsencrypt.hosts": "[registry.example.com]",
  "http.tls.letsencrypt.directoryurl": "https://acme-v02.api.letsencrypt.org/directory",
  "http.tls.letsencrypt.challengeaddr": '":80"',
  "http.tls.clientcas": '["/etc/stowage/clients.pem"]',
  "http.tls.clientauth": "require-and-verify-client-cert",
  "http.tls.minimumtls": "tls1.2",
  "http.tls.ciphersuites": "[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
  "http.http2.disabled": "false",
  "http.h2c.enabled": "false",
  "http.debug.addr": "127.0.0.1:5001",
  "http.debug.prometheus.enabled": "true",
  "http.debug.prometheus.path": "/metrics",
  "http.debug.prometheus.repositories": "100",
  "auth.htpasswd.realm": "Registry",
  "auth.htpasswd.path": "/etc/stowage/htpasswd",
  "auth.token.refresh": "true",
  "auth.token.realm": "https://auth.example.com/token",
  "auth.token.service": "registry.example.com",
  "auth.token.issuer": "auth.example.com",
  "auth.token.rootcertbundle": "/etc/stowage/token-server.pem",
  "auth.token.jwks": "/etc/stowage/token-server.json",
  "auth.token.signingalgorithms": "[ES256, RS256]",
  "auth.token.autoredirect": "false",
  "auth.token.autoredirectpath": "/auth/token",
  "auth.users.enabled": "true",
  policies: '[{who: ["group:dev"], repositories: ["team/**"], actions: [pull, push]}]',
  protectedtags: '[{repositories: ["**"], tags: ["v*"]}]',
  "auth.oidc":
    "[{issuer: 'https://token.actions.githubusercontent.com', audience: registry.example.com, " +
    "rules: [{claims: {repository: octo/app}, repositories: [octo/app], actions: [pull, push]}]}]",
  "limits.reads.perminute": "1000",
  "limits.reads.anonymousperminute": "100",
  "limits.uploads": "10000",
  "limits.descriptors": "10000",
  quotas: "[{prefix: team, bytes: 100GiB, tags: 1000, repositories: 50}]",
  workers: "4",
  "storage.filesystem.rootdirectory": "/var/lib/stowage",
  "storage.filesystem.singleprocess": "false",
  "storage.filesystem.directwrites": "false",
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
  "compatibility.schema1.enabled": "true",
  "signatures.enabled": "true",
  "validation.manifests.sparse": "false",
  "validation.manifests.strict": "false",
  "validation.manifests.urls.allow": "['^https://([^/]+\\.)*example\\.com/']",
  "validation.manifests.urls.deny": "['^https://old\\.example\\.com/']",
  "validation.disabled": "false",
};

function example(path: string): string {
  const value = EXAMPLES[path];
  if (value === undefined) return "";
  const option = OPTIONS[path];
  return ` (for example ${path}: ${value}${option === undefined ? "" : `, or ${option} ${value}`})`;
}

function fromFile({ path, text }: { readonly path: string; readonly text: string }): Tree {
  const expected = 'expected a section with settings, such as http: {addr: "127.0.0.1:5000"}';
  const value = readYaml(text, path, expected) ?? {};
  if (!isTree(value)) throw new SettingsError(`${path}: ${expected}`);
  return Object.fromEntries(Object.entries(value).map(([key, section]) => [key, withoutWord(key, section)]));
}

/** distribution lets a driver, or a way to authenticate, stand as a word when it has no parameters. */
function withoutWord(path: string, value: unknown): unknown {
  const isWord = (path === "storage" || path === "auth") && typeof value === "string" && /^[a-z0-9]+$/.test(value);
  return isWord ? { [value]: {} } : value;
}

function readYaml(text: string, origin: string, expected: string): unknown {
  try {
    return parseYaml(text);
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new SettingsError(`${origin}: ${error.message} (${expected})`, { cause: error });
  }
}

/** For what is not taken anyway: text that is no YAML stands for itself. */
function readLoosely(text: string): unknown {
  try {
    return parseYaml(text);
  } catch {
    return text;
  }
}

function takeFile(file: Tree, origin: string, tree: Tree, warnings: string[], origins: Origins): void {
  for (const [path, value] of leavesOf(file)) {
    if (SETTING_PATHS.includes(path)) {
      put(tree, path, value);
      origins.set(path, origin);
    } else if (!SETTING_PATHS.some((known) => known.startsWith(`${path}.`))) {
      setAside(path, value, origin, warnings);
    } else if (value !== null && !isTree(value)) {
      throw new SettingsError(
        `${origin}: ${path} is ${JSON.stringify(value)}, but expected a section with settings, ` +
          `such as ${SETTING_PATHS.find((known) => known.startsWith(`${path}.`))}`,
      );
    } else if (at(tree, path) === undefined) {
      put(tree, path, {}); // a section that is named is wanted, even if nothing stands in it
      origins.set(path, origin);
    }
  }
}

/** Deleting is off by default in distribution: its settings files keep that default. */
function keepDeletesOff(file: Tree, tree: Tree, warnings: string[]): void {
  if (file["version"] === undefined || at(tree, "storage.delete.enabled") !== undefined) return;
  put(tree, "storage.delete.enabled", false);
  warnings.push(
    "deleting is off, as in distribution, because the settings file does not set storage.delete.enabled: set it to true to allow deletes",
  );
}

function takeEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  tree: Tree,
  warnings: string[],
  origins: Origins,
): void {
  const ofKubernetes: string[] = [];
  for (const [name, text] of variablesIn(environment)) {
    const meaning = meaningOf(name, text);
    switch (meaning.kind) {
      case "setting":
        put(tree, meaning.path, valueOf(meaning.path, text, name));
        origins.set(meaning.path, name);
        break;
      case "entry":
        takeEntry(meaning.path, meaning.index, text, name, tree, origins);
        break;
      case "item":
        takeItem(meaning.path, meaning.key, text, name, tree, origins);
        break;
      case "section":
        takeSection(meaning.path, text, name, tree, warnings, origins);
        break;
      case "distribution":
        setAside(meaning.path, readLoosely(text), name, warnings);
        break;
      case "foreign":
        if (meaning.owner === "Kubernetes") ofKubernetes.push(name);
        else warnings.push(`${name} is a variable of ${meaning.owner}: it is ignored`);
        break;
      case "unknown":
        setAsideVariable(name, meaning.meant, warnings);
    }
  }
  if (ofKubernetes.length > 0) {
    warnings.push(
      `${ofKubernetes.join(", ")}: ignored, because Kubernetes sets these variables for its services ` +
        "(enableServiceLinks: false in the pod spec removes them)",
    );
  }
}

/** Those that may be settings, in the order of their names: a section comes before what stands in it. */
function variablesIn(
  environment: Readonly<Record<string, string | undefined>>,
): readonly (readonly [string, string])[] {
  return Object.entries(environment)
    .flatMap(([name, text]) => (text === undefined ? [] : [[name, text] as const]))
    .filter(([name]) => name.startsWith("REGISTRY_") && name !== FILE_VARIABLE)
    .toSorted(([a], [b]) => collator.compare(a, b));
}

/** So that the tenth entry of a list comes after its second. */
const collator = new Intl.Collator("en", { numeric: true });

/** A text is what it says, also when YAML would read something else in it. */
function valueOf(path: string, text: string, name: string): unknown {
  return kindOf(path) === "text" ? text : readYaml(text, name, `expected a value such as ${EXAMPLES[path] ?? "true"}`);
}

/** One entry of a list: of one that is there already, or the next one behind it. */
function takeEntry(path: string, index: number, text: string, name: string, tree: Tree, origins: Origins): void {
  const found = at(tree, path);
  const list: readonly unknown[] = Array.isArray(found) ? found : [];
  if (index > list.length) {
    throw new SettingsError(
      `${name}: there is no ${variableOf(path)}_${list.length} before it: entries of a list count from 0, without a gap`,
    );
  }
  const value = valueOf(`${path}.${index}`, text, name);
  put(tree, path, [...list.slice(0, index), value, ...list.slice(index + 1)]);
  origins.set(path, name);
}

/** A variable that stands for a section: a word for a driver, or a section with settings. */
function takeSection(path: string, text: string, name: string, tree: Tree, warnings: string[], origins: Origins): void {
  const value = readYaml(text, name, `expected a section such as {enabled: true}`);
  const section: Tree = {};
  put(section, path, withoutWord(path, value));
  takeFile(section, name, tree, warnings, origins);
}

/** One key of a table, beside those that are there already. */
function takeItem(path: string, key: string, text: string, name: string, tree: Tree, origins: Origins): void {
  const table = at(tree, path);
  const value = text.startsWith("[") ? readYaml(text, name, "expected a value, or a list such as [a, b]") : text;
  put(tree, path, { ...(isTree(table) ? table : {}), [key]: value });
  origins.set(path, name);
}

function setAsideVariable(name: string, meant: string | undefined, warnings: string[]): void {
  const path = name.slice("REGISTRY_".length).toLowerCase().replaceAll("_", ".");
  warnings.push(
    unbuiltSetting(path)?.kind === "ignored"
      ? ignored(name, path)
      : `${name} is not a setting and is ignored${meant === undefined ? "" : `: did you mean ${meant}?`}`,
  );
}

/** Reports an unknown setting: one of distribution's, or a typo. */
function setAside(path: string, value: unknown, origin: string, warnings: string[]): void {
  const unbuilt = unbuiltSetting(path);
  if (unbuilt?.kind === "protects" && !isHarmless(path, value)) {
    throw new SettingsError(
      `${origin}: ${unbuilt.path} is not supported yet: without it ${unbuilt.without}. Remove the setting if you can do without it`,
    );
  }
  if (unbuilt) {
    if (unbuilt.kind === "ignored" && unbuilt.path !== "version") {
      warnings.push(ignored(origin, path));
    }
    return;
  }
  throw new SettingsError(`${origin}: ${notASetting(path, [...SETTING_PATHS, ...UNBUILT_PATHS])}`);
}

function ignored(origin: string, path: string): string {
  return `${origin}: ${path} is a setting of distribution that Stowage ignores`;
}

function notASetting(path: string, known: readonly string[]): string {
  const meant = nearest(path, known);
  return `${path} is not a setting${meant === undefined ? "" : `: did you mean ${meant}?`} (for example http.addr: 127.0.0.1:5000)`;
}

function* leavesOf(tree: Tree, prefix = ""): Generator<[path: string, value: unknown]> {
  for (const [key, value] of Object.entries(tree)) {
    const path = `${prefix}${key}`;
    const hasSettings = isTree(value) && Object.keys(value).length > 0 && kindOf(path) !== "table";
    if (hasSettings && !unbuiltSetting(path)) yield* leavesOf(value, `${path}.`);
    else yield [path, value];
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function at(tree: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((value, key) => (isTree(value) || Array.isArray(value) ? (value as Tree)[key] : undefined), tree);
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
