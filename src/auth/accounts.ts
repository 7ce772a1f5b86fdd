/** Puts the ways together by which clients log in with a name and a password, or what is sent in its place. */
import type { Clock } from "../lib/clock.ts";
import type { Metadata } from "../metadata/metadata.ts";
import type { Logger } from "../observe/logger.ts";
import { JOB_USER } from "./account-name.ts";
import { CachedGenerations } from "./cached-generations.ts";
import { HtpasswdFile } from "./htpasswd.ts";
import type { Identity } from "./identity.ts";
import { OidcVerifier } from "./oidc-verifier.ts";
import type { OidcTrust } from "./oidc-verifier.ts";
import { PasswordVerifier } from "./password-verifier.ts";
import type { Passwords } from "./passwords.ts";
import { RobotVerifier } from "./robot-verifier.ts";
import { Robots } from "./robots.ts";
import { Users } from "./users.ts";
import { rejection } from "./verifier.ts";
import type { AccountVerifier, Basis, Credentials, Verdict } from "./verifier.ts";

/** Which ways are open; the settings below `auth` are such an object. */
export interface AccountSettings {
  /** A file of names and hashes, as Apache has them. */
  readonly htpasswd?: { readonly path: string } | undefined;
  /** Users and robots in the database. */
  readonly users: { readonly enabled: boolean };
  /** Issuers of tokens that jobs of a CI system have. */
  readonly oidc: readonly OidcTrust[];
}

export interface AccountParts {
  readonly metadata: Metadata;
  readonly passwords: Passwords;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * How a password is understood: the name `oidc` is that of a job, whose password is the token of its CI system; a token of a
 * robot looks like `stw_…` and belongs to the robot of that name; everything else is the password of a user, in the htpasswd
 * file or in the database, the file first.
 */
export function accountVerifiers(settings: AccountSettings, parts: AccountParts): AccountVerifier {
  const { metadata, passwords, clock, log } = parts;
  const { htpasswd, users, oidc } = settings;
  const file = htpasswd && new HtpasswdFile(htpasswd.path, clock, log);
  if (oidc.length > 0 && file?.find(JOB_USER)) {
    log.warn(
      `${htpasswd?.path}: the user ${JOB_USER} cannot log in, because CI jobs use this name (auth.oidc): rename the user`,
    );
  }
  const generations = new CachedGenerations(() => metadata.revision("accounts"), clock);
  const secret = (): Promise<Uint8Array> => metadata.secrets.get("decoy hashes");
  return new AccountChain([
    ...(oidc.length > 0 ? [new OidcVerifier(oidc, clock, log)] : []),
    ...(users.enabled ? [new RobotVerifier(new Robots(metadata, clock), generations)] : []),
    new PasswordVerifier({
      file,
      users: users.enabled ? new Users(metadata) : undefined,
      generations,
      passwords,
      secret,
      clock,
    }),
  ]);
}

/** Several in one: the first that takes the credentials decides. */
class AccountChain implements AccountVerifier {
  readonly #verifiers: readonly AccountVerifier[];

  constructor(verifiers: readonly AccountVerifier[]) {
    this.#verifiers = verifiers;
  }

  takes(credentials: Credentials): boolean {
    return this.#verifiers.some((each) => each.takes(credentials));
  }

  async verify(credentials: Credentials, address: string | undefined): Promise<Verdict> {
    const verifier = this.#verifiers.find((each) => each.takes(credentials));
    return (await verifier?.verify(credentials, address)) ?? rejection("unsupported");
  }

  basisOf(principal: Identity): Basis | undefined {
    for (const each of this.#verifiers) {
      const basis = each.basisOf(principal);
      if (basis) return basis;
    }
    return undefined;
  }

  async find(kind: Identity["kind"], name: string): Promise<Identity | undefined> {
    for (const each of this.#verifiers) {
      const found = await each.find?.(kind, name);
      if (found) return found;
    }
    return undefined;
  }
}
