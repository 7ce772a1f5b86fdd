/** What is said at the start about ways to log in that cannot work. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSettings } from "../config/sources.ts";
import type { Settings } from "../config/schema.ts";
import { createRegistry } from "../create-registry.ts";
import type { Registry } from "../create-registry.ts";
import { accessWarnings, checkAccessFiles } from "./access-checks.ts";
import { CommandError } from "./command-error.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-access-checks-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const BCRYPT = "$2b$04$iSOtpkBwHxhyRjZgNE1nGuvBqCMmL3nfIc2y4dAUjWTYKcKtdNkwW";

async function fileOf(name: string, text: string): Promise<string> {
  await writeFile(join(root, name), text);
  return join(root, name);
}

const FOLDER = join(root, "folder");
await mkdir(FOLDER);
const MISSING = join(root, "missing");
const EMPTY = await fileOf("empty", "");
const GARBAGE = await fileOf("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
const KEYS = await fileOf("keys.json", '{"keys": []}');
const LIST = await fileOf("list.json", "[1]");
const USERS = await fileOf("users", `alice:${BCRYPT}\n`);
const OLD_USERS = await fileOf("old-users", "alice:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n");

const COSTLY_USERS = await fileOf("costly-users", `alice:${BCRYPT}\nbob:${BCRYPT.replace("$04$", "$31$")}\ncarol\n`);

function settingsOf(text: string): Settings {
  return loadSettings({ file: { path: "config.yml", text }, environment: {}, flags: {} }).settings;
}

function tokenWith(file: string, realm = "https://auth.example.com/token"): string {
  return `auth: {token: {realm: "${realm}", service: registry, issuer: auth, ${file}}}`;
}

function oidc(jwks: string): string {
  const rules = "[{claims: {a: b}, repositories: [a], actions: [pull]}]";
  return `auth: {oidc: [{issuer: 'https://ci.example', audience: a, jwks: ${jwks}, rules: ${rules}}]}`;
}

function policies(who: string): string {
  return `\npolicies: [{who: [${who}], repositories: ['**'], actions: [pull]}]`;
}

describe("a file by which clients log in", () => {
  for (const [what, text, said] of [
    [
      "a bundle that is not there",
      tokenWith(`rootcertbundle: ${MISSING}`),
      /rootcertbundle: .*missing .*does not exist/,
    ],
    ["a bundle that is a folder", tokenWith(`rootcertbundle: ${FOLDER}`), /rootcertbundle: .*folder .*is a folder/],
    ["a bundle without a certificate", tokenWith(`rootcertbundle: ${EMPTY}`), /rootcertbundle: .*no certificate/],
    ["a bundle of garbage", tokenWith(`rootcertbundle: ${GARBAGE}`), /rootcertbundle: .*no certificate/],
    ["keys that are not there", tokenWith(`jwks: ${MISSING}`), /jwks: .*does not exist/],
    ["keys that are no JSON", tokenWith(`jwks: ${EMPTY}`), /jwks: .*no set of keys/],
    ["keys that are another JSON", tokenWith(`jwks: ${LIST}`), /jwks: .*no set of keys/],
    ["an htpasswd file that is a folder", `auth: {htpasswd: {path: ${FOLDER}}}`, /htpasswd\.path: .*is a folder/],
    ["an htpasswd file below a file", `auth: {htpasswd: {path: ${EMPTY}/x}}`, /htpasswd\.path: .*is not a folder/],
  ] as const) {
    test(`stops the start when no user could: ${what}`, () => {
      const settings = settingsOf(text);
      expect(() => checkAccessFiles(settings)).toThrow(CommandError);
      expect(() => checkAccessFiles(settings)).toThrow(said);
    });
  }

  for (const [what, text] of [
    ["an htpasswd file", `auth: {htpasswd: {path: ${USERS}}}`],
    ["an htpasswd file that is not there, and will be made", `auth: {htpasswd: {path: ${MISSING}}}`],
    ["an empty set of keys", tokenWith(`jwks: ${KEYS}`)],
    ["none", ""],
  ] as const) {
    test(`may be ${what}`, () => checkAccessFiles(settingsOf(text)));
  }
});

describe("at the start", () => {
  for (const [what, text, said] of [
    [
      "no user in the database",
      "auth: {users: {enabled: true}}",
      [/^auth\.users\.enabled: .*no users.* nobody can log in: /],
    ],
    [
      "no user in the database, but in a file",
      `auth: {users: {enabled: true}, htpasswd: {path: ${USERS}}}`,
      [/no users and no robots in the database: /],
    ],
    [
      "no user in the file",
      `auth: {htpasswd: {path: ${EMPTY}}}`,
      [/^auth\.htpasswd\.path: no user .* nobody can log in: .*htpasswd -B/],
    ],
    [
      "no user in the file whose hash is understood",
      `auth: {htpasswd: {path: ${OLD_USERS}}}`,
      [/line 1: the password of alice has a hash that is neither/, /^auth\.htpasswd\.path: no user/],
    ],
    [
      "some in the file whose hash costs too much, and a line that is none",
      `auth: {htpasswd: {path: ${COSTLY_USERS}}}`,
      [/line 2: the password of bob has a hash whose cost is too high/, /line 3 is not NAME:HASH/],
    ],
    ["a realm that is no address", tokenWith(`jwks: ${KEYS}`, "token-realm"), [/^auth\.token\.realm: /]],
    [
      "an issuer whose keys are not there",
      oidc(MISSING),
      [/^auth\.oidc\.0\.jwks: .*does not exist; no job of https:\/\/ci\.example can log in$/],
    ],
    ["an issuer whose keys are none", oidc(EMPTY), [/^auth\.oidc\.0\.jwks: .*no set of keys/]],
    [
      "rules without any way to log in",
      policies("alice, everyone, authenticated").trim(),
      [/^policies\.0: .* never applies to alice: .* auth/, /^policies\.0: .* never applies to authenticated: /],
    ],
    [
      "a rule for a group where users are in none",
      `auth: {htpasswd: {path: ${USERS}}}${policies("alice, 'group:dev'")}`,
      [/^policies\.0: .* never applies to group:dev: .* auth\.users/],
    ],
    [
      "a rule for robots and jobs, which have their own bounds",
      `auth: {htpasswd: {path: ${USERS}}}${policies("'robot:ci', 'job:x'")}`,
      [/never applies to robot:ci: .*tokens/, /never applies to job:x: .*auth\.oidc/],
    ],
    ["rules for anonymous clients alone", policies("anonymous, everyone").trim(), []],
    [
      "a file with users, and rules for them",
      `auth: {htpasswd: {path: ${USERS}}}${policies("alice, 'user:bob', authenticated")}`,
      [],
    ],
    ["a token server", tokenWith(`jwks: ${KEYS}`), []],
    ["no authentication", "", []],
  ] as const) {
    test(`is warned of ${what}: ${said.length}`, async () => {
      await using registry = await createRegistry({ storage: "memory" });
      const warnings = await accessWarnings(settingsOf(text), registry);
      expect(warnings).toEqual(said.map((pattern) => expect.stringMatching(pattern)));
      for (const warning of warnings) expect(warning).not.toContain("\n");
    });
  }

  test("is not warned of users when there is a user or a robot", async () => {
    const settings = settingsOf("auth: {users: {enabled: true}}");
    const prepare: readonly ((registry: Registry) => Promise<unknown>)[] = [
      (registry) => registry.users.add("alice", BCRYPT, []),
      (registry) => registry.robots.create("ci", [{ repositories: "**", actions: ["pull"] }], undefined),
    ];
    for (const add of prepare) {
      await using registry = await createRegistry({ storage: "memory" });
      await add(registry);
      expect(await accessWarnings(settings, registry)).toEqual([]);
    }
  });
});
