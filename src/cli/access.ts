/** Puts together who may do what, as the settings say it. */
import { existsSync } from "node:fs";
import { Policy } from "../auth/policy.ts";
import { protectionOf } from "../auth/protected-tags.ts";
import { tokenServerOf } from "../config/auth-settings.ts";
import type { Settings } from "../config/schema.ts";
import type { AccessOptions } from "../open-access.ts";
import { fileErrorReason } from "../lib/file-error.ts";
import type { Logger } from "../observe/logger.ts";
import type { RegistryLimits } from "../registry/backend.ts";
import { CommandError } from "./command-error.ts";
import { bunPasswords } from "./passwords.ts";

/** Returns undefined when no login is required. */
export function accessOf({ auth, policies }: Settings): AccessOptions | undefined {
  const { htpasswd, users, oidc } = auth;
  const tokenServer = tokenServerOf(auth);
  if (tokenServer && policies) {
    throw new CommandError(
      "policies and auth.token exclude each other: with auth.token, the token server decides what a user may do",
    );
  }
  if (tokenServer) {
    return {
      kind: "tokens",
      async tokens({ clock, log }) {
        const { ExternalTokenVerifier } = await import("../auth/external-tokens.ts");
        return new ExternalTokenVerifier(tokenServer, clock, log);
      },
    };
  }
  if (!htpasswd && !users.enabled && oidc.length === 0 && !policies) return undefined;
  // Clients without credentials give up at a challenge for a password: with anything but passwords it must be for tokens.
  const passwordsOnly = htpasswd && !users.enabled && oidc.length === 0 && !new Policy(policies).knowsAnonymous;
  return {
    kind: "accounts",
    async authenticator(parts) {
      const { accountVerifiers } = await import("../auth/accounts.ts");
      return accountVerifiers(auth, { ...parts, passwords: bunPasswords });
    },
    refreshTokens: auth.token?.refresh ?? false,
    ...(policies ? { policies } : {}),
    ...(passwordsOnly ? { basicRealm: htpasswd.realm } : {}),
  };
}

/** Returns whether a login method is configured. */
export function asksForLogin({ auth: { htpasswd, token, users, oidc } }: Settings): boolean {
  return htpasswd !== undefined || token !== undefined || users.enabled || oidc.length > 0;
}

/** Makes what a server needs and is not there: an htpasswd file with one user, as distribution does. */
export async function provideAccess({ auth }: Settings, log: Logger): Promise<void> {
  if (!auth.htpasswd || existsSync(auth.htpasswd.path)) return;
  const { HtpasswdError, provideHtpasswd } = await import("../auth/htpasswd.ts");
  await provideHtpasswd(auth.htpasswd.path, bunPasswords, log).catch((error: unknown) => {
    if (!(error instanceof HtpasswdError)) throw error;
    const { code } = error.cause as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "its folder cannot be created" : fileErrorReason(error.cause);
    throw new CommandError(
      `auth.htpasswd.path: ${auth.htpasswd?.path} does not exist and cannot be created: ${reason}`,
      {
        cause: error,
      },
    );
  });
}

export function tagProtectionOf({ protectedtags }: Settings): Pick<RegistryLimits, "immutableTagsOf"> {
  return { immutableTagsOf: protectionOf(protectedtags) };
}
