/** Names of users, robots and groups. */

/** The user name of CI jobs, whose identity is in the token that they send as password. */
export const JOB_USER = "oidc";

/** What a policy, a login or a command means by these words is no account. */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ["anonymous", "it is reserved: policies use it for anonymous clients"],
  ["authenticated", "it is reserved: policies use it for every principal that logged in"],
  ["everyone", "it is reserved: policies use it for all clients"],
  [JOB_USER, "it is reserved: CI jobs log in with it (auth.oidc)"],
]);

/** Why nothing may be called so; undefined when something may. */
export function accountNameProblem(text: string): string | undefined {
  if (/^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/.test(text)) return RESERVED.get(text.toLowerCase());
  return "a name has 1 to 128 letters, digits and . _ - @, and begins with a letter or a digit";
}
