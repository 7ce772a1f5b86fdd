/** Who somebody is, once it was proven. */

/** Somebody who proved who they are. */
export interface Identity {
  /** A person, a machine of the team, or a job that another system vouches for. */
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

/** Proves who somebody is, from what they know. */
export interface Authenticator {
  /**
   * Whom a name and a password belong to; undefined when to nobody, in about the same time whether the name exists or not.
   * Refused with 429 (`TOOMANYREQUESTS`) after too many failures from an address or for an account.
   */
  authenticate(name: string, password: string, address: string | undefined): Promise<Identity | undefined>;

  /**
   * Whether what was issued to an identity still holds: the account is there and of this generation. Costs no more than one
   * look at what changes rarely.
   */
  isCurrent(identity: Pick<Identity, "kind" | "name" | "generation">): Promise<boolean> | boolean;
}
