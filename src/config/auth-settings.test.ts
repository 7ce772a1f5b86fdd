/** Settings of authentication: distribution's as they are, and our own. */
import { describe, expect, test } from "bun:test";
import { tokenServerOf } from "./auth-settings.ts";
import type { Settings } from "./schema.ts";
import { SettingsError, loadSettings } from "./sources.ts";

const TOKEN = "realm: https://auth.example.com/token, service: registry, issuer: auth";
const RULE = "{claims: {repository: octo/app}, repositories: [octo/**], actions: [pull, push]}";

function auth(text: string, environment: Readonly<Record<string, string>> = {}): Settings["auth"] {
  return loadSettings({ file: { path: "config.yml", text }, environment, flags: {} }).settings.auth;
}

function complaint(text: string, environment: Readonly<Record<string, string>> = {}): string {
  try {
    auth(text, environment);
  } catch (error) {
    if (error instanceof SettingsError) return error.message;
    throw error;
  }
  throw new Error(`these settings were taken: ${text}`);
}

describe("the settings of authentication", () => {
  test("authenticate no client unless told to", () => {
    for (const text of ["", "auth: none", "auth: {none: {}}", "auth: {none: }", "auth: ", "auth: {}"]) {
      expect(auth(text)).toEqual({ users: { enabled: false }, oidc: [] });
    }
  });

  test("have distribution's htpasswd files, in its files and in its variables", () => {
    const expected = { htpasswd: { realm: "realm", path: "/auth/htpasswd" }, users: { enabled: false }, oidc: [] };
    expect(auth("version: 0.1\nauth: {htpasswd: {realm: realm, path: /auth/htpasswd}}")).toEqual(expected);
    const variables = { REGISTRY_AUTH_HTPASSWD_REALM: "realm", REGISTRY_AUTH_HTPASSWD_PATH: "/auth/htpasswd" };
    expect(auth("", { REGISTRY_AUTH: "htpasswd", ...variables })).toEqual(expected);
    expect(auth("", variables)).toEqual(expected);
  });

  for (const realm of [
    "basic-realm",
    "Basic Authentication",
    "bearer",
    'a "quoted" one',
    "C:\\x",
    "Länder → Übersee",
    " ",
  ]) {
    test(`take any realm that can be quoted: ${realm}`, () => {
      expect(auth(`auth: {htpasswd: {realm: ${JSON.stringify(realm)}, path: x}}`).htpasswd?.realm).toBe(realm);
      const variables = { REGISTRY_AUTH_HTPASSWD_REALM: realm, REGISTRY_AUTH_HTPASSWD_PATH: "x" };
      expect(auth("", variables).htpasswd?.realm).toBe(realm);
    });
  }

  test("have distribution's tokens of another server", () => {
    const { token } = auth(`auth: {token: {${TOKEN}, rootcertbundle: /certs/bundle.pem, autoredirect: true}}`);
    expect(token).toMatchObject({
      realm: "https://auth.example.com/token",
      service: "registry",
      issuer: "auth",
      rootcertbundle: "/certs/bundle.pem",
      autoredirect: true,
      autoredirectpath: "/auth/token",
    });
    expect(token?.signingalgorithms).toContain("ES256");
  });

  test("have tokens of our own that are renewed", () => {
    const settings = auth("auth: {token: {refresh: true}, users: {enabled: true}}");
    expect([settings.token?.refresh, tokenServerOf(settings)]).toEqual([true, undefined]);
    expect(tokenServerOf(auth(`auth: {token: {${TOKEN}, jwks: x}}`))).toMatchObject({ service: "registry", jwks: "x" });
  });

  test("have users in the database, and jobs of CI systems", () => {
    const { users, oidc } = auth(
      `auth: {users: {enabled: true}, oidc: [{issuer: 'https://ci.example.com', audience: registry, rules: [${RULE}]}]}`,
    );
    expect(users.enabled).toBeTrue();
    expect(oidc).toEqual([
      {
        issuer: "https://ci.example.com",
        audience: "registry",
        rules: [{ claims: { repository: "octo/app" }, repositories: ["octo/**"], actions: ["pull", "push"] }],
      },
    ]);
  });

  test("never let everybody in because a way to authenticate was named and not finished", () => {
    const unfinished = ["auth: htpasswd", "auth: {htpasswd: }", "auth: {htpasswd: {}}", "auth: {htpasswd: {realm: x}}"];
    for (const text of unfinished) expect(complaint(text)).toContain("auth.htpasswd.path");
    expect(complaint("", { REGISTRY_AUTH: "htpasswd" })).toStartWith(
      "REGISTRY_AUTH: auth.htpasswd.path is not set, but expected",
    );
    const withoutKeys = [
      `auth: {token: {${TOKEN}}}`,
      "auth: {token: {autoredirect: true}}",
      "auth: {token: {jwks: x}}",
    ];
    for (const text of ["auth: token", ...withoutKeys]) expect(complaint(text)).toContain("auth.token");
    expect(complaint("", { REGISTRY_AUTH: "token" })).toContain("auth.token");
    for (const refresh of ["true", "false"]) {
      expect(complaint(`auth: {token: {refresh: ${refresh}}}`)).toContain("auth.token");
    }
    expect(complaint("auth: {silly: {realm: x, service: x}}")).toContain("everyone could read and write");
    expect(complaint("auth: {htpaswd: {path: x}}")).toContain("did you mean auth.htpasswd");
  });

  for (const [what, text, said] of [
    ["secrets as keys of tokens", `auth: {token: {${TOKEN}, jwks: x, signingalgorithms: [HS256]}}`, "ES256"],
    ["no algorithm", `auth: {token: {${TOKEN}, jwks: x, signingalgorithms: [none]}}`, "ES256"],
    ["users beside another server's", `auth: {token: {${TOKEN}, jwks: x}, users: {enabled: true}}`, "auth.token alone"],
    [
      "tokens of another server that we renew",
      `auth: {token: {${TOKEN}, jwks: x, refresh: true}}`,
      "auth.token.refresh",
    ],
    ["a realm of two lines", 'auth: {htpasswd: {realm: "a\\nb", path: x}}', "one line of text"],
    [
      "a rule for everybody's jobs",
      `auth: {oidc: [{issuer: 'https://a', audience: b, rules: [{claims: {}, repositories: [x], actions: [pull]}]}]}`,
      "at least one claim",
    ],
    [
      "keys in the clear",
      `auth: {oidc: [{issuer: 'http://ci.example.com', audience: b, rules: [${RULE}]}]}`,
      "https://",
    ],
    ["tokens for any audience", `auth: {oidc: [{issuer: 'https://a', rules: [${RULE}]}]}`, "audience"],
    [
      "an action that is none",
      `auth: {oidc: [{issuer: 'https://a', audience: b, rules: [{claims: {a: b}, repositories: [x], actions: [write]}]}]}`,
      "pull, push, delete",
    ],
  ] as const) {
    test(`do not take ${what}`, () => {
      const message = complaint(text);
      expect(message).toContain(said);
      expect(message).not.toContain("\n");
    });
  }
});
