/** Access control of a registry: who clients are and what they may do, from the options that it is opened with. */
import { Authentication } from "./auth/authentication.ts";
import type { LoginListener } from "./auth/authentication.ts";
import { OPEN_DECISION } from "./auth/authorization.ts";
import type { ExternalTokens } from "./auth/external-tokens.ts";
import type { Action, Authenticator, Identity } from "./auth/identity.ts";
import { Policy } from "./auth/policy.ts";
import type { Decision, Rule } from "./auth/policy.ts";
import type { AccountVerifier } from "./auth/verifier.ts";
import type { Clock } from "./lib/clock.ts";
import type { Metadata } from "./metadata/metadata.ts";
import type { Logger } from "./observe/logger.ts";
import type { RepositoryName } from "./oci/repository-name.ts";
import { OPEN_ACCESS, SessionAuthorizer } from "./server/access/authorize.ts";
import type { Challenge } from "./server/access/challenge.ts";
import type { ServerOptions } from "./server/context.ts";
import type { Origins } from "./server/http/origin.ts";
import { TOKEN_PATH } from "./server/routes.ts";
import { SIGNATURES_HEADER } from "./server/v2/signatures.ts";

/** How the registry authenticates clients: by itself, or by the tokens of another server. */
export type AccessOptions =
  | {
      readonly kind: "accounts";
      /** Makes the authenticator, which may read the registry's own records. */
      readonly authenticator: (parts: {
        readonly metadata: Metadata;
        readonly clock: Clock;
        readonly log: Logger;
      }) => Promise<Authenticator | AccountVerifier> | Authenticator | AccountVerifier;
      /** Whether clients that ask for it get a token that lives for a year, and is exchanged for others; false when absent. */
      readonly refreshTokens?: boolean;
      /** What is allowed; when absent, everything to authenticated clients. */
      readonly policies?: readonly Rule[];
      /** Clients are asked for a name and a password, in this realm, instead of for a token. */
      readonly basicRealm?: string;
    }
  | {
      readonly kind: "tokens";
      readonly tokens: (parts: {
        readonly clock: Clock;
        readonly log: Logger;
      }) => Promise<ExternalTokens> | ExternalTokens;
    };

/** What the server asks before it answers, and what explains its decisions. */
export interface Access extends Pick<ServerOptions, "authorizer" | "tokens"> {
  /** Puts other rules in force; absent where none decide. */
  readonly replacePolicies?: (policies: readonly Rule[] | undefined) => void;
  /**
   * Whether a principal may do something, and which rule decides. `name` is as in a rule: `alice`, `robot:ci`, `anonymous`.
   * Undefined when no principal of that name is known here.
   */
  explain(name: string, action: Action, repository: RepositoryName): Promise<Decision | undefined>;
}

interface AccessParts {
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly log: Logger;
  readonly origins: Origins;
  readonly signaturesEnabled: boolean;
  /** Called when credentials were verified. */
  readonly onLogin: LoginListener | undefined;
}

/** Opens access control; `access` undefined opens the registry to everyone. */
export async function openAccess(
  access: AccessOptions | undefined,
  { metadata, clock, log, origins, signaturesEnabled, onLogin }: AccessParts,
): Promise<Access> {
  if (!access) return { authorizer: OPEN_ACCESS, explain: async () => OPEN_DECISION };
  const baseHeaders = signaturesEnabled ? SIGNATURES_HEADER : {};
  if (access.kind === "tokens") {
    const tokens = await access.tokens({ clock, log });
    const challenge = { kind: "bearer", service: tokens.service, realm: tokens.realm, origins } as const;
    const authentication = new Authentication({
      verifiers: [tokens],
      policy: new Policy(),
      tokensDecide: true,
      clock,
      onLogin,
    });
    return {
      authorizer: new SessionAuthorizer({ authentication, challenge, baseHeaders }),
      explain: async () => ({ allowed: false, by: "the token server alone, which decides that by itself" }),
    };
  }
  // Loaded only when clients must authenticate: the modules that sign and verify take long to load.
  const { EmbeddedAccounts } = await import("./auth/embedded-accounts.ts");
  const { SigningKeys } = await import("./auth/signing-keys.ts");
  const { SERVICE, TokenService } = await import("./auth/token-service.ts");
  const policy = new Policy(access.policies);
  const given = await access.authenticator({ metadata, clock, log });
  const accounts: AccountVerifier = "authenticate" in given ? new EmbeddedAccounts(given) : given;
  const service = new TokenService({ keys: new SigningKeys(metadata, clock), policy, accounts, clock });
  const authentication = new Authentication({
    verifiers: [accounts, service],
    policy,
    tokensDecide: false,
    clock,
    onLogin,
  });
  const challenge: Challenge =
    access.basicRealm === undefined
      ? { kind: "bearer", service: SERVICE, realm: `${origins.prefix}${TOKEN_PATH}`, origins }
      : { kind: "basic", realm: access.basicRealm };
  return {
    authorizer: new SessionAuthorizer({ authentication, policy, challenge, baseHeaders }),
    tokens: { service, authentication, refreshTokens: access.refreshTokens ?? false },
    replacePolicies: (policies) => policy.replaceRules(policies),
    async explain(name, action, repository) {
      if (name === "anonymous") return policy.decide(undefined, action, repository);
      const principal = await accounts.find?.(...accountOf(name));
      return principal && policy.decide(principal, action, repository);
    },
  };
}

/** `alice` and `robot:ci`, as rules name them. */
function accountOf(name: string): [kind: Identity["kind"], name: string] {
  if (name.startsWith("robot:")) return ["robot", name.slice("robot:".length)];
  return ["user", name.startsWith("user:") ? name.slice("user:".length) : name];
}
