/** Where settings come from: defaults, then the file, then the environment, then flags; the last one wins. */
import type { z } from "zod";
import { nearest } from "../lib/nearest.ts";
import { UNBUILT_PATHS, isHarmless, unbuiltSetting } from "./distribution.ts";
import { SETTING_PATHS, Settings, kindOf, namesBelow } from "./schema.ts";
import { FILE_VARIABLE, meaningOf, sectionsAbove, variableOf } from "./variables.ts";
import { expectation, shown } from "./wording.ts";
import { YamlError, parseYaml, parseYamlWithLines } from "./yaml.ts";
import type { ParsedYaml } from "./yaml.ts";

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
  readonly #problems: readonly Problem[];

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(inOneLine(problems[0]), options);
    this.#problems = problems;
  }

  /** All that is wrong, one line each; the first is the message. */
  get problems(): readonly string[] {
    return [...new Set(this.#problems.map(inOneLine))];
  }
}

/** What is wrong; a function where it takes time to find what was meant, and may not be asked. */
type Problem = string | (() => string);

/** One line, whatever stands in the settings. */
function inOneLine(problem: Problem = ""): string {
  return (typeof problem === "string" ? problem : problem()).replaceAll(/\p{Cc}+/gu, " ");
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
  /** What was set, by the path of the setting; what is not here has its default. */
  readonly given: ReadonlyMap<string, GivenSetting>;
}

export interface GivenSetting {
  /** As it was written. */
  readonly value: unknown;
  /** Such as `config.yml: line 3`, the name of a variable, or an option. */
  readonly origin: string;
}

interface Tree {
  [key: string]: unknown;
}

/** Where a value came from, for the messages about it. */
interface Origin {
  /** A file, a variable or an option. */
  readonly name: string;
  /** Of a value in a file: its line, or that of something below it. */
  readonly lineOf?: (below: readonly string[]) => number | undefined;
}

/** What has been read so far. */
interface Reading {
  readonly tree: Tree;
  readonly warnings: string[];
  readonly problems: Problem[];
  readonly origins: Map<string, Origin>;
}

/** Reads all sources; throws `SettingsError` with all that is wrong. */
export function loadSettings(sources: Sources): LoadedSettings {
  const reading: Reading = { tree: {}, warnings: [], problems: [], origins: new Map() };
  const { tree, warnings, problems, origins } = reading;
  const file = sources.file ? fromFile(sources.file) : undefined;
  if (file) takeFile(file.tree, { name: sources.file?.path ?? "", lineOf: file.lineOf }, reading);
  takeEnvironment(sources.environment, reading);
  for (const [path, value] of Object.entries(sources.flags)) {
    if (!SETTING_PATHS.includes(path)) problems.push(`the command line: ${notASetting(path, SETTING_PATHS)}`);
    put(tree, path, value);
    origins.set(path, { name: OPTIONS[path] ?? "the command line" });
  }
  if (file) keepDeletesOff(file.tree, reading);
  const parsed = Settings.safeParse(tree, { error: expectation });
  if (!parsed.success) problems.push(...complaints(parsed.error.issues, reading));
  if (problems.length > 0 || !parsed.success) throw new SettingsError(problems);
  const settings = withOldNames(parsed.data, reading);
  const given = SETTING_PATHS.flatMap((path) => {
    const origin = origins.get(path);
    return origin ? [[path, { value: at(tree, path), origin: textOf(origin) }] as const] : [];
  });
  return { settings, warnings, given: new Map(given) };
}

/** Values that were set are told before values that are missing. */
function complaints(issues: readonly z.core.$ZodIssue[], reading: Reading): readonly Problem[] {
  const isSet = (issue: z.core.$ZodIssue): boolean => at(reading.tree, issue.path.join(".")) !== undefined;
  const ordered = [...issues.filter(isSet), ...issues.filter((issue) => !isSet(issue))];
  return ordered.map((issue) => () => complaint(issue, reading));
}

/** Where a setting came from, what it is, what was expected, and an example. */
function complaint(issue: z.core.$ZodIssue, { tree, origins }: Reading): string {
  const path = issue.path.join(".");
  // An entry of a list has the origin of the list.
  const setting = SETTING_PATHS.find((known) => path === known || path.startsWith(`${known}.`)) ?? path;
  const below = path.slice(setting.length + 1).split(".");
  const origin = originOf(setting, origins);
  const [key = ""] = issue.code === "unrecognized_keys" ? issue.keys : [];
  const from = origin ? textOf(origin, [...below, key].filter(Boolean)) : "the settings";
  if (issue.code === "unrecognized_keys") {
    return `${from}: ${notASetting(
      path === "" ? key : `${path}.${key}`,
      namesBelow(path).map((name) => `${path}.${name}`),
    )}`;
  }
  const value = at(tree, path);
  const found = value === undefined ? "is not set" : value === null ? "has no value" : `is ${shown(value)}`;
  return `${from}: ${path} ${found}, but ${issue.message}${example(setting)}`;
}

/** `config.yml: line 3`, or `REGISTRY_HTTP_ADDR`. */
function textOf({ name, lineOf }: Origin, below: readonly string[] = []): string {
  const line = lineOf?.(below);
  return line === undefined ? name : `${name}: line ${line}`;
}

/** Of what is missing, where the section comes from that it is missing in, or what else stands there. */
function originOf(path: string, origins: Reading["origins"]): Origin | undefined {
  const own = origins.get(path);
  if (own !== undefined) return own;
  for (const section of sectionsAbove(path).toReversed()) {
    const found = origins.get(section) ?? [...origins].find(([other]) => other.startsWith(`${section}.`))?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A setting's example for a message, when one helps. */
export const EXAMPLES: Readonly<Record<string, string>> = {
  "log.level": "info",
  "log.formatter": "json",
  "log.fields": "{environment: production}",
  "log.accesslog.disabled": "false",
  loglevel: "info",
  "http.addr": "127.0.0.1:5000",
  "http.net": "tcp",
  "http.draintimeout": "60s",
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
  "http.draindelay": "10s",
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
  "notifications.events.includereferences": "true",
  "notifications.endpoints":
    "[{name: ci, url: 'https://ci.example.com/events', timeout: 1s, threshold: 5, backoff: 10s}]",
  "events.keep": "7d",
  "events.rows": "1000000",
  "events.bytes": "512MiB",
  "events.deadletters": "10000",
  "audit.enabled": "true",
  "audit.age": "90d",
  "audit.rows": "1000000",
  workers: "4",
  "database.url": "postgres://stowage@db.example.com:5432/stowage?sslmode=verify-full",
  "database.passwordfile": "/etc/stowage/database-password",
  "database.connections": "10",
  "database.timeout": "20s",
  "database.preparedstatements": "true",
  "storage.filesystem.rootdirectory": "/var/lib/stowage",
  "storage.filesystem.singleprocess": "false",
  "storage.filesystem.directwrites": "false",
  "storage.s3.bucket": "registry",
  "storage.s3.region": "us-east-1",
  "storage.s3.regionendpoint": "https://s3.example.com",
  "storage.s3.rootdirectory": "/stowage",
  "storage.s3.forcepathstyle": "true",
  "storage.s3.accesskey": "AKIA...",
  "storage.s3.secretkey": "...",
  "storage.s3.sessiontoken": "...",
  "storage.s3.secure": "true",
  "storage.s3.skipverify": "false",
  "storage.s3.encrypt": "true",
  "storage.s3.keyid": "alias/registry",
  "storage.s3.storageclass": "STANDARD_IA",
  "storage.s3.objectacl": "bucket-owner-full-control",
  "storage.s3.chunksize": "16MiB",
  "storage.s3.redirectendpoint": "https://cdn.example.com",
  "storage.s3.accelerate": "false",
  "storage.s3.usedualstack": "false",
  "storage.s3.usefipsendpoint": "false",
  "storage.s3.useragent": "registry",
  "storage.redirect.disable": "true",
  "storage.delete.enabled": "true",
  "storage.inline": "16KiB",
  "storage.maintenance.readonly.enabled": "true",
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
  "gc.history.age": "365d",
  "gc.history.entries": "1000",
  "scrub.bytespersecond": "8MiB",
  "scrub.pause": "1h",
  "compatibility.schema1.enabled": "true",
  "signatures.enabled": "true",
  "validation.manifests.sparse": "false",
  "validation.manifests.strict": "false",
  "validation.manifests.urls.allow": "['^https://([^/]+\\.)*example\\.com/']",
  "validation.manifests.urls.deny": "['^https://old\\.example\\.com/']",
  "validation.disabled": "false",
  "validation.manifests.indexes.platforms": "none",
  "validation.manifests.indexes.platformlist": "[{architecture: amd64, os: linux}]",
  "health.file": "[{file: /run/stowage/drain}]",
  "health.http": "[{uri: 'https://auth.example.com/health'}]",
  "health.tcp": '[{addr: "127.0.0.1:6379"}]',
  "catalog.maxentries": "1000",
  "tags.maxtags": "10000",
  "policy.repository.classes": "[image]",
};

function example(path: string): string {
  const value = EXAMPLES[path];
  if (value === undefined) return "";
  const option = OPTIONS[path];
  return ` (for example ${path}: ${value}${option === undefined ? "" : `, or ${option} ${value}`})`;
}

function fromFile({ path, text }: { readonly path: string; readonly text: string }): {
  readonly tree: Tree;
  readonly lineOf: ParsedYaml["lineOf"];
} {
  const expected = 'expected a section with settings, such as http: {addr: "127.0.0.1:5000"}';
  const { value, lineOf } = explained(() => parseYamlWithLines(text), path, expected);
  const tree = value ?? {};
  if (!isTree(tree)) throw new SettingsError([`${path}: ${expected}`]);
  return {
    tree: Object.fromEntries(Object.entries(tree).map(([key, section]) => [key, withoutWord(key, section)])),
    lineOf,
  };
}

/** distribution lets a driver, or a way to authenticate, stand as a word when it has no parameters. */
function withoutWord(path: string, value: unknown): unknown {
  const isWord = (path === "storage" || path === "auth") && typeof value === "string" && /^[a-z0-9]+$/.test(value);
  return isWord ? { [value]: {} } : value;
}

function readYaml(text: string, origin: string, expected: string): unknown {
  return explained(() => parseYaml(text), origin, expected);
}

function explained<Value>(read: () => Value, origin: string, expected: string): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new SettingsError([`${origin}: ${error.message} (${expected})`], { cause: error });
  }
}

/** Text that is no YAML stands for itself. */
function readLoosely(text: string): unknown {
  try {
    return parseYaml(text);
  } catch {
    return text;
  }
}

function takeFile(file: Tree, origin: Origin, reading: Reading): void {
  const { tree, problems, origins } = reading;
  for (const [path, value, keys] of leavesOf(file)) {
    const own: Origin = { name: origin.name, lineOf: (below) => origin.lineOf?.([...keys, ...below]) };
    if (SETTING_PATHS.includes(path)) {
      put(tree, path, value);
      origins.set(path, own);
    } else if (!SETTING_PATHS.some((known) => known.startsWith(`${path}.`))) {
      setAside(path, value, own, reading);
    } else if (value !== null && !isTree(value)) {
      problems.push(
        `${textOf(own)}: ${path} is ${JSON.stringify(value)}, but expected a section with settings, ` +
          `such as ${SETTING_PATHS.find((known) => known.startsWith(`${path}.`))}`,
      );
    } else if (at(tree, path) === undefined) {
      put(tree, path, {}); // a section that is named is wanted, even if nothing stands in it
      origins.set(path, own);
    }
  }
}

/** A setting under its old name counts when the new name is not set. */
function withOldNames(settings: Settings, { tree, origins }: Reading): Settings {
  const { log, loglevel } = settings;
  const origin = origins.get("loglevel");
  if (loglevel === undefined || !origin || origins.has("log.level")) return settings;
  put(tree, "log.level", loglevel);
  origins.set("log.level", origin);
  return { ...settings, log: { ...log, level: loglevel } };
}

/** Deleting is off by default in distribution: its settings files keep that default. */
function keepDeletesOff(file: Tree, { tree, warnings, origins }: Reading): void {
  const path = "storage.delete.enabled";
  if (file["version"] === undefined || at(tree, path) !== undefined) return;
  put(tree, path, false);
  origins.set(path, { name: "the default of distribution, because the settings file has a version" });
  warnings.push(
    "deleting is off, as in distribution, because the settings file does not set storage.delete.enabled: set it to true to allow deletes",
  );
}

function takeEnvironment(environment: Readonly<Record<string, string | undefined>>, reading: Reading): void {
  const { warnings, problems } = reading;
  const ofKubernetes: string[] = [];
  for (const [name, text] of variablesIn(environment)) {
    const meaning = meaningOf(name, text);
    try {
      switch (meaning.kind) {
        case "setting":
          takeVariable(meaning, text, name, reading);
          break;
        case "section":
          takeSection(meaning.path, text, name, reading);
          break;
        case "distribution":
          setAside(meaning.path, readLoosely(text), { name }, reading);
          break;
        case "foreign":
          if (meaning.owner === "Kubernetes") ofKubernetes.push(name);
          else warnings.push(`${name} is a variable of ${meaning.owner}: it is ignored`);
          break;
        case "unknown":
          setAsideVariable(name, readLoosely(text), meaning.meant, reading);
      }
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      problems.push(...error.problems);
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
    .toSorted(([a], [b]) => a.localeCompare(b, "en", { numeric: true })); // the tenth entry of a list after its second
}

/** A setting, or one place in its list or table, beside those that are there already. */
function takeVariable(
  { path, keys }: { readonly path: string; readonly keys: readonly string[] },
  text: string,
  name: string,
  { tree, origins }: Reading,
): void {
  const value = valueOf([path, ...keys].join("."), text, name);
  put(tree, path, overlaid(at(tree, path), path, keys, value, name));
  origins.set(path, { name });
}

/** YAML, but that a text needs no quotes, whatever YAML would read in it. */
function valueOf(path: string, text: string, name: string): unknown {
  const inTable = kindOf(path.slice(0, path.lastIndexOf("."))) === "table";
  if (kindOf(path) !== "text" && !(inTable && !text.startsWith("["))) {
    return readYaml(text, name, `expected a value such as ${EXAMPLES[path] ?? "true"}`);
  }
  if (!inTable && PLAIN.test(text)) return text;
  const value = readLoosely(text);
  return typeof value === "string" || (inTable && ["number", "boolean"].includes(typeof value)) ? value : text;
}

/** Without quotes, escapes, comments and sections: as a text YAML reads this as it stands. */
const PLAIN = /^[\w./][\w./:-]*$/;

/** `place` with a value at `keys` below it; it stays as it is itself, because anchors may share it. */
function overlaid(
  place: unknown,
  path: string,
  [key, ...rest]: readonly string[],
  value: unknown,
  name: string,
): unknown {
  if (key === undefined) return value;
  if (kindOf(path) === "list") {
    const list: readonly unknown[] = Array.isArray(place) ? place : [];
    const index = Number(key);
    if (index > list.length) {
      throw new SettingsError([
        `${name}: there is no ${variableOf(path)}_${list.length} before it: entries of a list count from 0, without a gap`,
      ]);
    }
    const entry = overlaid(list[index], `${path}.${key}`, rest, value, name);
    return [...list.slice(0, index), entry, ...list.slice(index + 1)];
  }
  const table = isTree(place) ? place : {};
  const known = Object.keys(table).find((each) => each.toUpperCase() === key.toUpperCase()) ?? key.toLowerCase();
  return { ...table, [known]: overlaid(table[known], `${path}.${known}`, rest, value, name) };
}

/** A variable that stands for a section: a word for a driver, or a section with settings. */
function takeSection(path: string, text: string, name: string, reading: Reading): void {
  const value = readYaml(text, name, `expected a section such as {enabled: true}`);
  const section: Tree = {};
  put(section, path, withoutWord(path, value));
  takeFile(section, { name }, reading);
}

function setAsideVariable(name: string, value: unknown, meant: string | undefined, reading: Reading): void {
  const path = name.slice("REGISTRY_".length).toLowerCase().replaceAll("_", ".");
  if (path === "version") reading.warnings.push(`${name} is ignored: the version of a settings file is in the file`);
  else if (unbuiltSetting(path)?.kind === "ignored") setAside(path, value, { name }, reading);
  else {
    reading.warnings.push(
      `${name} is not a setting and is ignored${meant === undefined ? "" : `: did you mean ${meant}?`}`,
    );
  }
}

/** Reports an unknown setting: one of distribution's, or a typo. */
function setAside(path: string, value: unknown, origin: Origin, { warnings, problems }: Reading): void {
  const from = textOf(origin);
  const unbuilt = unbuiltSetting(path);
  if (!unbuilt) {
    const isEmptySection = value === null && UNBUILT_PATHS.some((known) => known.startsWith(`${path}.`));
    if (!isEmptySection) problems.push(() => `${from}: ${notASetting(path, [...SETTING_PATHS, ...UNBUILT_PATHS])}`);
  } else if (path === "version" && String(value) !== FORMAT_VERSION) {
    problems.push(`${from}: version is ${shown(value)}, but expected ${FORMAT_VERSION}, as distribution has it`);
  } else if (!isHarmless(path, value)) {
    if (unbuilt.kind === "ignored") warnings.push(`${from}: ${path} is not needed by Stowage: ${unbuilt.instead}`);
    else {
      problems.push(
        `${from}: ${unbuilt.path} is not supported yet: without it ${unbuilt.without}. ` +
          (unbuilt.instead ?? "Remove the setting if you can do without it"),
      );
    }
  }
}

/** Of distribution's settings files. */
const FORMAT_VERSION = "0.1";

function notASetting(path: string, known: readonly string[]): string {
  const meant = nearest(path, known);
  return `${path} is not a setting${meant === undefined ? "" : `: did you mean ${meant}?`} (for example http.addr: 127.0.0.1:5000)`;
}

function* leavesOf(
  tree: Tree,
  above: readonly string[] = [],
): Generator<[path: string, value: unknown, keys: readonly string[]]> {
  for (const [key, value] of Object.entries(tree)) {
    const keys = [...above, key];
    const path = keys.join(".");
    const hasSettings = isTree(value) && Object.keys(value).length > 0 && kindOf(path) !== "table";
    if (hasSettings && !unbuiltSetting(path)) yield* leavesOf(value, keys);
    else yield [path, value, keys];
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
