/** Who the log says asked. */
import { describe, expect, test } from "bun:test";
import type { Rule } from "../../src/auth/policy.ts";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { digestOf } from "../support/content.ts";
import { fill } from "./support/endpoints.ts";
import { basic, bearer, startGuarded, tokenFor } from "./support/guarded-registry.ts";
import type { GuardedRegistry } from "./support/guarded-registry.ts";

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

describe("the user in the access log", () => {
  const accounts = [user("alice", "secret"), user("bob", "secret")];
  const alices: Rule = { who: ["user:alice"], repositories: ["alice/*"], actions: ["pull", "push"] };

  test("is the principal also where the answer is 403 or 404", async () => {
    await using guarded = await startGuarded({ accounts, policies: [alices] });
    const [alice, bob] = [basic("alice", "secret"), basic("bob", "secret")];
    const upload = { method: "POST", headers: bob };
    expect(await userOf(guarded, "/v2/alice/app/blobs/uploads/", upload, 403)).toBe("bob");
    expect(await userOf(guarded, "/v2/alice/app/manifests/v1", { headers: bob }, 403)).toBe("bob");
    expect(await userOf(guarded, "/v2/_catalog", { headers: bob }, 403)).toBe("bob");
    expect(await userOf(guarded, "/v2/alice/app/manifests/v1", { headers: alice }, 404)).toBe("alice");
    expect(await userOf(guarded, "/v2/alice/app/tags/list", { headers: alice }, 404)).toBe("alice");
    expect(await userOf(guarded, `/v2/alice/app/blobs/${digestOf("x")}`, { headers: alice }, 404)).toBe("alice");
    const bad = { method: "PUT", headers: alice, body: "{" };
    expect(await userOf(guarded, "/v2/alice/app/manifests/v1", bad, 400)).toBe("alice");
  });

  test("is whom a token belongs to, also when its scope is too small", async () => {
    await using guarded = await startGuarded({ accounts, policies: [alices] });
    const token = await tokenFor(guarded.url, ["repository:alice/app:pull"], basic("alice", "secret"));
    const push = { method: "POST", headers: bearer(token) };
    expect(await userOf(guarded, "/v2/alice/app/blobs/uploads/", push, 401)).toBe("alice");
    expect(await userOf(guarded, "/v2/alice/app/manifests/v1", { headers: bearer(token) }, 404)).toBe("alice");
    const nobodys = await tokenFor(guarded.url, ["repository:alice/app:pull"]);
    expect(await userOf(guarded, "/v2/alice/app/manifests/v1", { headers: bearer(nobodys) }, 401)).toBeUndefined();
  });

  test("is who gets a token", async () => {
    await using guarded = await startGuarded({ accounts, policies: [alices] });
    const alice = { headers: basic("alice", "secret") };
    expect(await userOf(guarded, "/token?service=stowage", alice, 200)).toBe("alice");
    expect(await userOf(guarded, "/token", passwordGrant("bob", "secret"), 200)).toBe("bob");
    expect(await userOf(guarded, "/token?service=stowage", {}, 200)).toBeUndefined();
  });

  test("is the name that was tried where a login failed", async () => {
    await using guarded = await startGuarded({ accounts, policies: [alices] });
    const wrong = { headers: basic("alice", "guess") };
    expect(await userOf(guarded, "/v2/", wrong, 401)).toBe("alice");
    expect(await userOf(guarded, "/v2/alice/app/manifests/v1", wrong, 401)).toBe("alice");
    expect(await userOf(guarded, "/token?service=stowage", wrong, 401)).toBe("alice");
    expect(await userOf(guarded, "/v2/", { headers: basic("mallory", "guess") }, 401)).toBe("mallory");
    expect(await userOf(guarded, "/token", passwordGrant("bob", "guess"), 401)).toBe("bob");
    expect(await userOf(guarded, "/v2/", { headers: bearer("made.up.token") }, 401)).toBeUndefined();
    expect(await userOf(guarded, "/v2/", {}, 401)).toBeUndefined();
  });
});

/** Who the log says sent this request, which is answered with `status`. */
async function userOf(guarded: GuardedRegistry, path: string, init: RequestInit, status: number): Promise<unknown> {
  const reply = await fetch(`${guarded.url}${path}`, init);
  await reply.text();
  expect(reply.status).toBe(status);
  return guarded.accesses.at(-1)?.user;
}

function passwordGrant(username: string, password: string): RequestInit {
  return { method: "POST", body: new URLSearchParams({ grant_type: "password", username, password }) };
}
