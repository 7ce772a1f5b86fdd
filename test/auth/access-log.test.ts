/** Who the log says asked. */
import { expect, test } from "bun:test";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { fill } from "./support/endpoints.ts";
import { basic, startGuarded } from "./support/guarded-registry.ts";

test("what was answered to one user is not written down as theirs when others are given it again", async () => {
  await using guarded = await startGuarded({
    accounts: [user("alice", "secret", ["admin"]), user("bob", "secret")],
    policies: [{ who: ["everyone"], repositories: ["public/*"], actions: ["pull"] }],
  });
  await fill(guarded.url, "public/base", basic("alice", "secret"));
  const asked = [basic("alice", "secret"), {}, basic("bob", "secret"), {}];
  for (const headers of asked) await fetch(`${guarded.url}/v2/public/base/manifests/v1`, { headers });
  expect(guarded.accesses.slice(-4).map((access) => access.user)).toEqual(["alice", undefined, "bob", undefined]);
});
