/** Names of users, robots and groups. */

/** The user name of every job: who it is stands in its token, which is the password. */
export const JOB_USER = "oidc";

/** What a policy, a login or a command means by these words is no account. */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ["anonymous", "policies mean by it whoever has not logged in"],
  ["authenticated", "policies mean by it whoever has logged in"],
  ["everyone", "policies mean by it all who ask"],
  [JOB_USER, "jobs of CI systems log in by it (auth.oidc), and their tokens are the only passwords that it takes then"],
]);

/** Why nothing may be called so; undefined when something may. */
export function accountNameProblem(text: string): string | undefined {
  if (/^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/.test(text)) return RESERVED.get(text.toLowerCase());
  return "a name is 1 to 128 letters, digits and . _ - @, and begins with a letter or a digit";
}
