/** Names of users, robots and groups. */

/** The user name of every job: who it is stands in its token, which is the password. */
export const JOB_USER = "oidc";

/** What a policy, a login or a command means by these words is no account. */
const RESERVED: ReadonlySet<string> = new Set(["anonymous", "authenticated", "everyone", JOB_USER]);

/** Whether something may be called so. */
export function isAccountName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/.test(text) && !RESERVED.has(text.toLowerCase());
}

/** For messages. */
export const ACCOUNT_NAME_RULE =
  "a name is 1 to 128 letters, digits and . _ - @, begins with a letter or a digit, and is none of " +
  "anonymous, authenticated, everyone and oidc";
