/** The identity of an authenticated client. */

/** A user, robot or CI job that authenticated. */
export interface Identity {
  /** A user, a robot, or a CI job identified by its issuer. */
  readonly kind: "user" | "robot" | "job";
  readonly name: string;
  readonly groups: readonly string[];
  /** The most that may be done in this one's name, whatever the policy allows more; no bound when absent. */
  readonly bound?: readonly Grant[];
  /**
   * Changes when the account is changed or revoked: what was issued for an older generation is worth nothing.
   */
  readonly generation: string;
}

/** Who sends a request; undefined is anonymous. */
export type Principal = Identity | undefined;

/** Actions on the repositories that a pattern (`team/**`) names. */
export interface Grant {
  readonly repositories: string;
  readonly actions: readonly Action[];
}

/** What can be done with a repository; `admin` is all of it, and what only an operator may. */
export type Action = "pull" | "push" | "delete" | "admin";

/** Verifies user names and passwords. */
export interface Authenticator {
  /**
   * Returns the user of a name and password; undefined when they are wrong, in about the same time whether the user exists or not.
   * Refused with 429 (`TOOMANYREQUESTS`) after too many failures from an address or for an account.
   */
  authenticate(name: string, password: string, address: string | undefined): Promise<Identity | undefined>;

  /**
   * Whether what was issued to an identity still holds: the account is there and of this generation. Costs no more than one
   * look at what changes rarely.
   */
  isCurrent(identity: Pick<Identity, "kind" | "name" | "generation">): Promise<boolean> | boolean;
}
