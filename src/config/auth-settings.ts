/** Settings of authentication: users, robots, CI jobs, and an external token server. */
import { parseUrl } from "../lib/parse-url.ts";
import { z } from "./zod.ts";
import { isLoopbackHost } from "../lib/network.ts";
import { duration } from "./values.ts";

const file = z.string({ error: "expected the path of a file" }).min(1, "expected the path of a file");

/** Whatever can stand in a quoted string of a header (RFC 9110, 5.6.4): distribution's own example is `basic-realm`. */
const realm = z.string().regex(/^\P{Cc}+$/u, "expected one line of text");

const htpasswd = z.strictObject({ realm: realm.default("Registry"), path: file });

/** Those that need no secret on our side. */
const signingAlgorithm = z.enum(
  ["EdDSA", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"],
  { error: "expected names such as ES256 and RS256" },
);

/** What another server's tokens cannot be verified without. */
const TOKEN_SERVER = {
  realm: "expected the address of the token server",
  service: "expected the name by which the token server knows this registry",
  issuer: "expected the issuer (iss) of the tokens",
} as const;

const token = z
  .strictObject({
    /** Whether our own tokens may be renewed without the password; false when absent. All others are about another server's. */
    refresh: z.boolean().optional(),
    realm: z.string({ error: TOKEN_SERVER.realm }).min(1).optional(),
    service: z.string({ error: TOKEN_SERVER.service }).min(1).optional(),
    issuer: z.string({ error: TOKEN_SERVER.issuer }).min(1).optional(),
    rootcertbundle: file.optional(),
    jwks: file.optional(),
    signingalgorithms: z
      .array(signingAlgorithm)
      .min(1)
      .default([...signingAlgorithm.options]),
    autoredirect: z.boolean().default(false),
    autoredirectpath: z.string().startsWith("/", 'expected a path such as "/auth/token"').default("/auth/token"),
  })
  .superRefine((settings, context) => {
    const { refresh, rootcertbundle, jwks } = settings;
    const missing = Object.entries(TOKEN_SERVER).filter(
      ([name]) => settings[name as keyof typeof TOKEN_SERVER] === undefined,
    );
    const namesKeys = rootcertbundle !== undefined || jwks !== undefined;
    if (refresh !== undefined && missing.length === 3 && !namesKeys) return;
    const complain = (path: readonly string[], message: string): void => {
      context.addIssue({ code: "custom", path: [...path], message });
    };
    for (const [name, expected] of missing) complain([name], expected);
    if (!namesKeys) complain([], "expected rootcertbundle or jwks, without which no token can be verified");
    if (refresh) complain(["refresh"], "expected false: the token server issues refresh tokens");
  });

/** Another server that issues all tokens. */
export type TokenServerSettings = z.output<typeof token> & Readonly<Record<"realm" | "service" | "issuer", string>>;

/** Returns undefined when there is no external token server. */
export function tokenServerOf({ token: settings }: z.output<typeof authSettings>): TokenServerSettings | undefined {
  return settings && isTokenServer(settings) ? settings : undefined;
}

function isTokenServer(settings: z.output<typeof token>): settings is TokenServerSettings {
  return settings.realm !== undefined; // and then the others are there too
}

type Claim = string | number | boolean | Claim[] | { [claim: string]: Claim };

const claim: z.ZodType<Claim> = z.lazy(() =>
  z.union([z.string(), z.number(), z.boolean(), z.array(claim).min(1), z.record(z.string(), claim)]),
);

export const actions = z
  .array(z.enum(["pull", "push", "delete", "admin"], { error: "expected some of pull, push, delete and admin" }))
  .min(1, "expected some of pull, push, delete and admin");

/** No name is longer (`lib/glob.ts`). */
const MAX_PATTERN = 1024;

export const patterns = z
  .array(z.string().min(1).max(MAX_PATTERN, `expected patterns of at most ${MAX_PATTERN} characters`))
  .min(1, 'expected patterns such as "team/**"');

const rule = z.strictObject({
  claims: z
    .record(z.string(), claim)
    .refine(
      (wanted) => Object.keys(wanted).length > 0,
      "expected at least one claim, because the issuer gives tokens to everyone",
    ),
  repositories: patterns,
  actions,
});

/** Keys must be fetched by https; otherwise an attacker could replace them. */
const issuer = z.string().refine(
  (text) => {
    const url = parseUrl(text);
    return url?.protocol === "https:" || (url?.protocol === "http:" && isLoopbackHost(url.hostname));
  },
  { error: "expected an address that begins with https://" },
);

/** The maximum of `lifetime`: a token that is valid for longer is a password that cannot be changed. */
const MAX_LIFETIME_MS = 86_400_000;

const trust = z.strictObject({
  issuer,
  audience: z.string({ error: "expected the audience (aud) of the tokens" }).min(1),
  jwks: file.optional(),
  /** How long after its issue a token is good here, also when it says less. */
  lifetime: duration.pipe(z.number().max(MAX_LIFETIME_MS, "expected at most 24h")).optional(),
  rules: z.array(rule).min(1, "expected at least one rule with claims, repositories and actions"),
});

export const authSettings = z
  .strictObject({
    htpasswd: htpasswd.optional(),
    token: token.optional(),
    /** Users and robots in the database. */
    users: z.strictObject({ enabled: z.boolean().default(false) }).prefault({}),
    /** Whose jobs are trusted. */
    oidc: z.array(trust).default([]),
  })
  .prefault({})
  .refine(
    (auth) =>
      auth.token?.realm === undefined || (auth.htpasswd === undefined && !auth.users.enabled && auth.oidc.length === 0),
    "expected auth.token alone: it excludes the other login methods",
  )
  .refine(
    ({ token: tokens, htpasswd: passwords, users, oidc }) =>
      tokens?.refresh === undefined ||
      passwords !== undefined ||
      users.enabled ||
      oidc.length > 0 ||
      tokens.realm !== undefined,
    { path: ["token"], error: "expected a login method, such as auth.users.enabled" },
  );
