/** What is wrong with the ways to log in, before any client tries one of them. */
import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { parseHtpasswd } from "../auth/htpasswd.ts";
import { tokenServerOf } from "../config/auth-settings.ts";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { systemClock } from "../lib/clock.ts";
import { fileErrorReason } from "../lib/file-error.ts";
import { CommandError } from "./command-error.ts";

/**
 * Throws `CommandError` when a file that the login needs cannot be read. An htpasswd file may be absent: it is
 * made.
 */
export function checkAccessFiles({ auth: { htpasswd, token } }: Settings): void {
  if (htpasswd) readText("auth.htpasswd.path", htpasswd.path, { mayBeAbsent: true });
  if (token?.rootcertbundle !== undefined) {
    const setting = "auth.token.rootcertbundle";
    const text = readText(setting, token.rootcertbundle);
    if (!certificatesIn(text))
      throw new CommandError(`${setting}: ${token.rootcertbundle} holds no certificate in PEM`);
  }
  if (token?.jwks !== undefined && !holdsKeys(readText("auth.token.jwks", token.jwks))) {
    throw new CommandError(`auth.token.jwks: ${token.jwks} ${NO_KEYS}`);
  }
}

const NO_KEYS = 'is no set of keys (RFC 7517): expected JSON such as {"keys": [{"kty": "EC", …}]}';

/** Returns warnings about users who cannot log in, and about rules that never apply. */
export async function accessWarnings(settings: Settings, registry: Registry): Promise<readonly string[]> {
  const { auth } = settings;
  return [
    ...htpasswdWarnings(auth),
    ...tokenWarnings(auth),
    ...oidcWarnings(auth),
    ...(await userWarnings(auth, registry)),
    ...policyWarnings(settings),
  ];
}

type Auth = Settings["auth"];

function htpasswdWarnings({ htpasswd, users, oidc }: Auth): readonly string[] {
  if (!htpasswd) return [];
  const text = readText("auth.htpasswd.path", htpasswd.path, { mayBeAbsent: true });
  const { entries, warnings } = parseHtpasswd(text);
  const lines = warnings.map((warning) => `auth.htpasswd.path: ${htpasswd.path}: ${warning}`);
  if (entries.size > 0) return lines;
  const others = users.enabled || oidc.length > 0 ? "" : ", so nobody can log in";
  return [
    ...lines,
    `auth.htpasswd.path: no user of ${htpasswd.path} can log in${others}: add one with htpasswd -B ${htpasswd.path} NAME`,
  ];
}

function tokenWarnings(auth: Auth): readonly string[] {
  const token = tokenServerOf(auth);
  if (!token) return [];
  const warnings: string[] = [];
  if (!token.autoredirect && !/^https?:\/\//i.test(token.realm)) {
    warnings.push(
      `auth.token.realm: expected the https:// address of the token server, found ${JSON.stringify(token.realm)}: ` +
        "correct it, or set auth.token.autoredirect",
    );
  }
  const bundle = token.rootcertbundle;
  const certificates =
    bundle === undefined ? [] : (certificatesIn(readText("auth.token.rootcertbundle", bundle)) ?? []);
  for (const { subject, validToDate } of certificates) {
    if (validToDate.getTime() > systemClock.now()) continue;
    const name = subject.replaceAll("\n", ", ");
    warnings.push(
      `auth.token.rootcertbundle: the certificate of ${name} in ${bundle} has expired: no token is trusted by it`,
    );
  }
  return warnings;
}

/** A broken file of one issuer does not affect other logins. */
function oidcWarnings({ oidc }: Auth): readonly string[] {
  return oidc.flatMap(({ jwks, issuer }, at) => {
    if (jwks === undefined) return [];
    const setting = `auth.oidc.${at}.jwks`;
    try {
      return holdsKeys(readText(setting, jwks))
        ? []
        : [`${setting}: ${jwks} ${NO_KEYS}; no job of ${issuer} can log in`];
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return [`${error.message}; no job of ${issuer} can log in`];
    }
  });
}

async function userWarnings({ users, htpasswd, oidc }: Auth, registry: Registry): Promise<readonly string[]> {
  if (!users.enabled || (await registry.users.list()).length > 0 || (await registry.robots.list()).length > 0)
    return [];
  const others = htpasswd || oidc.length > 0 ? "" : ", so nobody can log in";
  return [
    `auth.users.enabled: there are no users and no robots in the database${others}: add them with ` +
      "stowage user add NAME and stowage token create, run with the settings of this server",
  ];
}

/** One line for each name in a rule that the rule never counts for. */
function policyWarnings({ auth: { htpasswd, users, oidc }, policies = [] }: Settings): readonly string[] {
  const hasUsers = htpasswd !== undefined || users.enabled;
  const obstacles: Readonly<Record<string, string | false>> = {
    user: !hasUsers && without("auth.users.enabled or auth.htpasswd.path"),
    group: !users.enabled && without("auth.users.enabled (users of an htpasswd file are in no group)"),
    robot: "policies do not apply to robots, whose tokens grant their rights (stowage token create)",
    job: "policies do not apply to CI jobs, whose rights come from the rules of auth.oidc",
    authenticated: !hasUsers && oidc.length === 0 && without("a login method below auth"),
  };
  return policies.flatMap(({ who }, at) =>
    who.flatMap((name) => {
      const kind = name.includes(":") ? name.slice(0, name.indexOf(":")) : COLLECTIVE.has(name) ? name : "user";
      const obstacle = obstacles[kind];
      return obstacle ? [`policies.${at}: the rule never applies to ${name}: ${obstacle}`] : [];
    }),
  );
}

function without(setting: string): string {
  return `it needs ${setting}`;
}

const COLLECTIVE: ReadonlySet<string> = new Set(["anonymous", "authenticated", "everyone"]);

/** Empty for a file that is not there and need not be. Throws `CommandError` when it cannot be read. */
function readText(setting: string, path: string, { mayBeAbsent = false } = {}): string {
  try {
    if (mayBeAbsent && !statSync(path, { throwIfNoEntry: false })) return "";
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CommandError(`${setting}: ${path} cannot be read: ${fileErrorReason(error)}`, { cause: error });
  }
}

/** Undefined when there is none, or one that cannot be read. */
function certificatesIn(text: string): readonly X509Certificate[] | undefined {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  try {
    return found?.map((pem) => new X509Certificate(pem));
  } catch {
    return undefined;
  }
}

function holdsKeys(text: string): boolean {
  try {
    return Array.isArray((JSON.parse(text) as { readonly keys?: unknown } | null)?.keys);
  } catch {
    return false;
  }
}
