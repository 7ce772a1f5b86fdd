/** What an operator is told of every setting that has a wrong value: in our own words, never in those of a library. */
import { describe, expect, test } from "bun:test";
import { SETTING_PATHS, kindOf } from "./schema.ts";
import { SettingsError, loadSettings } from "./sources.ts";
import { variableOf } from "./variables.ts";

const FILE = "/etc/stowage/config.yml";

/** Of every kind that YAML knows; each is wrong for most settings. */
const VALUES = [
  "",
  "null",
  "~",
  "true",
  "'true'",
  "0",
  "-1",
  "1.5",
  "1e99",
  ".nan",
  "-.inf",
  "2026-11-30",
  "''",
  "' '",
  "x",
  "'*x'",
  "'My: Realm'",
  "[]",
  "[null]",
  "[1]",
  "['']",
  "[x]",
  "[[]]",
  "[{}]",
  "[{x: 1}]",
  "{}",
  "{x: 1}",
  "{'': null}",
] as const;

/** Broken YAML, for settings that are read as such. */
const BROKEN = ["*x", "&a [*a]", "[", "{a", '"', "a: b: c", "@x", "!!set {a, a}", "a\n\tb: 1"] as const;

/** How zod, yaml, Node and JavaScript speak. */
const OF_LIBRARIES =
  /invalid|received|unrecogni[sz]ed|undefined|too (?:small|big)|expected (?:string|number|boolean|array|object|record|int|nan)\b|\bNaN is|\[object|unresolved|must be|implicit|scalar|\bflow\b|unexpected token/i;
const OF_THE_SYSTEM = /\bE(?:NOENT|ISDIR|ACCES|PERM|INVAL|XIST)\b|\bERR_|Error\b/;

const MAY_BE_EMPTY: ReadonlySet<string> = new Set([
  "notifications.endpoints",
  "http.prefix",
  "http.headers",
  "storage.s3.regionendpoint",
  "storage.s3.redirectendpoint",
  "storage.s3.rootdirectory",
  "storage.s3.sessiontoken",
  "storage.s3.keyid",
  "storage.s3.useragent",
]);

type Attempt = { readonly text?: string; readonly environment?: Readonly<Record<string, string>> };

/** The message by which the start is refused; undefined when there is a start. */
function refusal({ text, environment = {} }: Attempt): string | undefined {
  try {
    loadSettings({ file: text === undefined ? undefined : { path: FILE, text }, environment, flags: {} });
    return undefined;
  } catch (error) {
    if (error instanceof SettingsError) return error.message.replace(/: line \d+: /, ": ");
    throw error;
  }
}

function expectPlain(message: string, origin: string, path: string): void {
  expect(message).toStartWith(`${origin}: `);
  expect(message).toContain(path);
  expect(message).toMatch(/expected |is not a setting/);
  expect(message).not.toMatch(OF_LIBRARIES);
  expect(message).not.toMatch(OF_THE_SYSTEM);
  expect(message).not.toContain("\n");
  expect(message.length).toBeLessThan(700);
}

describe("a wrong value", () => {
  for (const path of SETTING_PATHS) {
    test(`of ${path} in the file is told in plain words, with its name and an example that works`, () => {
      const refused = VALUES.flatMap((value) => refusal({ text: `${path}: ${value}` }) ?? []);
      expect(refused.length).toBeGreaterThan(0);
      for (const message of refused) expectPlain(message, FILE, path.split(".")[0] ?? "");
      const ofThisOne = refused.filter((message) => message.startsWith(`${FILE}: ${path}`));
      expect(ofThisOne.length).toBeGreaterThan(0);
      for (const message of ofThisOne.filter((each) => !each.includes("is not a setting"))) {
        const [, example = ""] = /\(for example (.*?)(?:, or --[a-z-]+ \S+)?\)$/.exec(message) ?? [];
        expect(example).toStartWith(`${path}: `);
        const needed = neededBeside(path).map(([other, value]) => `${other}: ${value}\n`);
        expect(refusal({ text: `${needed.join("")}${example}` })).toBeUndefined();
      }
    });

    test(`of ${path} in ${variableOf(path)} is told in plain words`, () => {
      const needed = Object.fromEntries(neededBeside(path).map(([other, value]) => [variableOf(other), value]));
      const variable = variableOf(path);
      for (const value of [...VALUES, ...BROKEN]) {
        const message = refusal({ environment: { ...needed, [variable]: value } });
        if (message !== undefined) expectPlain(message, variable, kindOf(path) === "text" ? path : "");
      }
      const empty = refusal({ environment: { ...needed, [variable]: "" } });
      if (MAY_BE_EMPTY.has(path)) expect(empty).toBeUndefined();
      else expect(empty).toStartWith(`${variable}: ${path} `);
    });
  }

  const lists: readonly (readonly [path: string, entry: string, said: string])[] = [
    [
      "policies",
      "{who: [alice], repositories: ['**'], actions: [pull], repos: [x]}",
      "policies.0.repos is not a setting",
    ],
    [
      "policies",
      "{who: alice, repositories: ['**'], actions: [pull]}",
      'policies.0.who is "alice", but expected a list',
    ],
    ["policies", "{who: [alice], actions: [pull]}", "policies.0.repositories is not set, but expected a list"],
    [
      "policies",
      "{who: [alice], repositories: ['**'], actions: [read]}",
      'policies.0.actions.0 is "read", but expected',
    ],
    ["policies", "alice", 'policies.0 is "alice", but expected a section with settings'],
    ["protectedtags", "{repositories: ['**']}", "protectedtags.0.tags is not set, but expected a list"],
    ["quotas", "{prefix: team, byte: 1}", "quotas.0.byte is not a setting: did you mean quotas.0.bytes?"],
    ["quotas", "{prefix: team, tags: -1}", "quotas.0.tags is -1, but expected"],
    [
      "auth.oidc",
      "{issuer: 'https://x.example', audience: a, rules: []}",
      "auth.oidc.0.rules is [], but expected at least",
    ],
    [
      "auth.oidc",
      "{issuer: 'https://x.example', audience: a, rules: [{claims: {a: null}, repositories: [a], actions: [pull]}]}",
      "auth.oidc.0.rules.0.claims.a has no value, but expected",
    ],
    [
      "auth.oidc",
      "{issuer: 'https://x.example', audience: a, lifetime: 2d, rules: [{claims: {a: b}, repositories: [a], actions: [pull]}]}",
      'auth.oidc.0.lifetime is "2d", but expected at most 24h',
    ],
  ];
  for (const [path, entry, said] of lists) {
    test(`inside of a list is told with its place: ${path}: [${entry}]`, () => {
      for (const [origin, attempt] of [
        [FILE, { text: `${path}: [${entry}]` }],
        [variableOf(path), { environment: { [variableOf(path)]: `[${entry}]` } }],
      ] as const) {
        const message = refusal(attempt) ?? "";
        expectPlain(message, origin, path);
        expect(message).toContain(`${origin}: ${said}`);
      }
    });
  }
});

describe("broken YAML", () => {
  for (const [what, text, place] of [
    ["a bracket that is not closed", "http:\n  addr: [", "line 2, column"],
    ["a quote that is not closed", 'http: {addr: "', "line 1, column"],
    ["a tab", "http:\n\taddr: x", "line 2, column 1"],
    ["a name that stands twice", "log: {level: info}\nlog: {level: warn}", "line 2, column 1"],
    ["a second document", "log: {level: info}\n---\nlog: {level: warn}", "line 2, column 1"],
    ["an anchor that is not there", "http:\n  addr: *x", "line 2, column 9"],
    ["a text that needs quotes", "log:\n  level: @info", "line 2, column 10"],
    ["a colon in a text", "auth: {htpasswd: {path: /x}}\nx: My: Realm", "line 2, column"],
    ["a backslash", 'x: "\\q"', "line 1, column"],
    ["a wrong indentation", "log:\n  level: info\n formatter: json", "line 3, column"],
    ["a name without a colon", "workers\nhttp: {}", "line 1, column 1"],
    ["an unknown version", "%YAML 3\n---\nhttp: {}", "line 1, column"],
  ] as const) {
    test(`is told with its line and column, in plain words: ${what}`, () => {
      const message = refusal({ text }) ?? "";
      expectPlain(message, FILE, "");
      expect(message).toContain(`${FILE}: ${place}`);
    });
  }
});

/** Settings without which another one means nothing. */
function neededBeside(path: string): readonly (readonly [path: string, value: string])[] {
  const needed: Readonly<Record<string, string>> = {
    "auth.htpasswd.path": "/htpasswd",
    "auth.token.realm": "https://auth.example.com/token",
    "auth.token.service": "registry",
    "auth.token.issuer": "auth",
    "auth.token.jwks": "/keys.json",
    "http.tls.letsencrypt.cachefile": "/certificates",
    "http.tls.letsencrypt.email": "you@example.com",
    "http.tls.letsencrypt.hosts": "[registry.example.com]",
    "storage.s3.bucket": "registry",
    "storage.s3.region": "us-east-1",
    ...(path === "storage.s3.accesskey" ? { "storage.s3.secretkey": "secret" } : {}),
    ...(path === "storage.s3.secretkey" ? { "storage.s3.accesskey": "key" } : {}),
    ...(path === "storage.s3.keyid" ? { "storage.s3.encrypt": "true" } : {}),
  };
  if (path === "auth.token.refresh") return [["auth.users.enabled", "true"]]; // all others are about another server
  const section = path.slice(0, path.lastIndexOf("."));
  return Object.entries(needed).filter(
    ([other]) => other !== path && other.slice(0, other.lastIndexOf(".")) === section,
  );
}
