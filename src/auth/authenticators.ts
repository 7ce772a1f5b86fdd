/** Puts the ways together by which somebody can prove who they are. */
import type { Clock } from "../lib/clock.ts";
import type { MetadataStore } from "../metadata/metadata-store.ts";
import type { Logger } from "../observe/logger.ts";
import { JOB_USER } from "./account-name.ts";
import { AccountAuthenticator } from "./account-authenticator.ts";
import { HtpasswdFile } from "./htpasswd.ts";
import type { Authenticator, Identity } from "./identity.ts";
import { Jobs } from "./jobs.ts";
import type { JobTrust } from "./jobs.ts";
import type { Passwords } from "./passwords.ts";
import { Robots } from "./robots.ts";
import { Users } from "./users.ts";

/** Which ways are open; the settings below `auth` are such an object. */
export interface AuthenticatorSettings {
  /** A file of names and hashes, as Apache has them. */
  readonly htpasswd?: { readonly path: string } | undefined;
  /** Users and robots in the database. */
  readonly users: { readonly enabled: boolean };
  /** Issuers of tokens that jobs of a CI system have. */
  readonly oidc: readonly JobTrust[];
}

/** An authenticator that remembers, and knows who there is. */
export interface RememberingAuthenticator extends Authenticator {
  /**
   * Whom these `basicCredentials` belong to when that was proven in the last minute and still holds, without waiting; undefined
   * when it has to be asked for with `authenticate`.
   */
  remembered(credentials: string): Identity | undefined;
  /** The user or robot of this name, as if they had just proved who they are; jobs have no account. */
  find(kind: Identity["kind"], name: string): Promise<Identity | undefined>;
}

export interface AuthenticatorParts {
  readonly metadata: MetadataStore;
  readonly passwords: Passwords;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * How a password is understood: a token of a robot looks like `stw_…` and belongs to the robot of that name; the name `oidc`
 * is that of a job, whose password is the token of its CI system; everything else is the password of a user, in the htpasswd
 * file or in the database, the file first.
 */
export function createAuthenticator(
  settings: AuthenticatorSettings,
  parts: AuthenticatorParts,
): RememberingAuthenticator {
  const { metadata, passwords, clock, log } = parts;
  const { htpasswd, users, oidc } = settings;
  const file = htpasswd && new HtpasswdFile(htpasswd.path, clock, log);
  if (oidc.length > 0 && file?.find(JOB_USER)) {
    log.warn(
      `${htpasswd?.path}: the user ${JOB_USER} cannot log in, for jobs do by that name (auth.oidc): rename the user`,
    );
  }
  return new AccountAuthenticator({
    file,
    users: users.enabled ? new Users(metadata) : undefined,
    robots: users.enabled ? new Robots(metadata, clock) : undefined,
    jobs: oidc.length > 0 ? new Jobs(oidc, clock, log) : undefined,
    passwords,
    clock,
    revision: () => metadata.revision(),
  });
}
