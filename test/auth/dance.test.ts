/** How clients learn that they need credentials, and of which kind. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { digestOf } from "../support/content.ts";
import { basic, bearer, startGuarded, tokenFor } from "./support/guarded-registry.ts";
import type { GuardedRegistry, Headers } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const ALICE = basic("alice", "secret");

let guarded: GuardedRegistry;
beforeAll(async () => {
  guarded = await startGuarded({
    accounts: [user("alice", "secret")],
    policies: [
      { who: ["everyone"], repositories: ["public/**"], actions: ["pull"] },
      { who: ["alice"], repositories: ["alice/**"], actions: ["pull", "push", "delete"] },
    ],
  });
});
afterAll(() => guarded[Symbol.asyncDispose]());

function ask(method: string, path: string, headers: Headers = {}): Promise<Response> {
  return fetch(`${guarded.url}${path}`, { method, headers });
}

/** The parameters of the one challenge; fails when there is another beside it. */
function challengeIn(reply: Response): Readonly<Record<string, string>> {
  const header = reply.headers.get("www-authenticate") ?? "";
  const [, scheme, rest = ""] = /^(Bearer|Basic) (.*)$/.exec(header) ?? [];
  // Some clients read it by a pattern this strict: all values in quotes, no spaces around signs, nothing at the end.
  expect(rest).toMatch(/^\w+="[^"]*"(?:,\w+="[^"]*")*$/);
  expect(rest).not.toMatch(/bearer|basic/i);
  const parameters = [...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]);
  return { scheme, ...Object.fromEntries(parameters) } as Record<string, string>;
}

describe("GET /v2/", () => {
  test("asks for credentials also where much is open to all: most clients look nowhere else", async () => {
    const reply = await ask("GET", "/v2/");
    expect(challengeIn(reply)).toEqual({ scheme: "Bearer", realm: `${guarded.url}/token`, service: "stowage" });
    await expectRefused(reply, 401, "UNAUTHORIZED");
  });

  test("says that signatures are here, also to those whom it asks for credentials", async () => {
    for (const headers of [{}, ALICE]) {
      const reply = await ask("GET", "/v2/", headers);
      expect(reply.headers.get("x-registry-supports-signatures")).toBe("1");
    }
  });

  test("takes an empty name with an empty password for no credentials", async () => {
    const reply = await ask("GET", "/v2/", basic("", ""));
    expect(reply.status).toBe(401);
    expect(challengeIn(reply)).not.toHaveProperty("error");
  });

  test("is content with a password, and with any token, also an anonymous one", async () => {
    const anonymous = await tokenFor(guarded.url, []);
    for (const headers of [ALICE, bearer(await tokenFor(guarded.url, [], ALICE)), bearer(anonymous)]) {
      expect((await ask("GET", "/v2/", headers)).status).toBe(200);
    }
  });
});

describe("a challenge", () => {
  const digest = digestOf("x");
  for (const [method, path, scope] of [
    ["GET", "/v2/alice/app/manifests/latest", "repository:alice/app:pull"],
    ["HEAD", `/v2/alice/app/blobs/${digest}`, "repository:alice/app:pull"],
    ["GET", "/v2/alice/app/tags/list", "repository:alice/app:pull"],
    ["GET", `/v2/alice/app/referrers/${digest}`, "repository:alice/app:pull"],
    ["POST", "/v2/alice/app/blobs/uploads/", "repository:alice/app:pull,push"],
    ["PATCH", "/v2/alice/app/blobs/uploads/x", "repository:alice/app:pull,push"],
    ["DELETE", "/v2/alice/app/blobs/uploads/x", "repository:alice/app:pull,push"],
    ["PUT", "/v2/alice/app/manifests/latest", "repository:alice/app:pull,push"],
    ["DELETE", "/v2/alice/app/manifests/latest", "repository:alice/app:delete"],
    ["DELETE", `/v2/alice/app/blobs/${digest}`, "repository:alice/app:delete"],
    [
      "POST",
      `/v2/alice/app/blobs/uploads/?mount=${digest}&from=alice/base`,
      "repository:alice/app:pull,push repository:alice/base:pull",
    ],
  ] as const) {
    test(`names the scope that ${method} ${path} needs, and a token for it is enough`, async () => {
      const challenge = challengeIn(await ask(method, path));
      expect(challenge["scope"]).toBe(scope);
      const reply = await ask(method, path, bearer(await tokenFor(guarded.url, [scope], ALICE)));
      expect([401, 403]).not.toContain(reply.status);
    });
  }

  test("of the catalog is answered by a token for the catalog", async () => {
    const guardedAlone = await startGuarded({ accounts: [user("alice", "secret")] });
    try {
      const reply = await fetch(`${guardedAlone.url}/v2/_catalog`);
      const scope = challengeIn(reply)["scope"] ?? "";
      expect([reply.status, scope]).toEqual([401, "registry:catalog:*"]);
      const token = await tokenFor(guardedAlone.url, [scope], ALICE);
      expect((await fetch(`${guardedAlone.url}/v2/_catalog`, { headers: bearer(token) })).status).toBe(200);
    } finally {
      await guardedAlone[Symbol.asyncDispose]();
    }
  });

  test("says that a token is not good, or that its scope is too small: then in one scope alone", async () => {
    const bad = await ask("GET", "/v2/alice/app/tags/list", bearer("x.y.z"));
    expect(challengeIn(bad)).toMatchObject({ error: "invalid_token", scope: "repository:alice/app:pull" });
    const small = bearer(await tokenFor(guarded.url, ["repository:alice/app:pull"], ALICE));
    const weak = await ask("POST", `/v2/alice/app/blobs/uploads/?mount=${digest}&from=alice/base`, small);
    expect(weak.status).toBe(401);
    expect(challengeIn(weak)).toMatchObject({ error: "insufficient_scope", scope: "repository:alice/app:pull,push" });
  });

  test("builds its realm from the name that the client asked for", async () => {
    const reply = await ask("GET", "/v2/", { host: "registry.example.com:5000" });
    expect(challengeIn(reply)["realm"]).toBe("http://registry.example.com:5000/token");
  });

  test("lists in its body what would be needed, as Docker's own registry does", async () => {
    const [entry] = await expectRefused(await ask("PUT", "/v2/alice/app/manifests/x"), 401, "UNAUTHORIZED");
    expect(entry?.detail).toEqual([
      { Type: "repository", Class: "", Name: "alice/app", Action: "pull" },
      { Type: "repository", Class: "", Name: "alice/app", Action: "push" },
    ]);
  });
});

describe("a known user without permission", () => {
  test("is told so with 403 where no token could help", async () => {
    const reply = await ask("GET", "/v2/other/app/tags/list", ALICE);
    expect(reply.headers.has("www-authenticate")).toBeFalse();
    const [entry] = await expectRefused(reply, 403, "DENIED");
    expect(entry?.message).toStartWith("alice may not pull from other/app");
  });
});

describe("an anonymous client", () => {
  test("reads what is open to all: with an anonymous token, and without one", async () => {
    const token = bearer(await tokenFor(guarded.url, ["repository:public/app:pull"]));
    for (const headers of [token, {}, basic("", "")]) {
      await expectRefused(await ask("GET", "/v2/public/app/tags/list", headers), 404, "NAME_UNKNOWN");
    }
  });

  test("writes nothing there", async () => {
    const token = bearer(await tokenFor(guarded.url, ["repository:public/app:pull,push"]));
    for (const headers of [token, {}]) {
      expect((await ask("POST", "/v2/public/app/blobs/uploads/", headers)).status).toBe(401);
    }
  });

  test("sees the probes and the welcome page", async () => {
    for (const path of ["/", "/healthz", "/readyz"]) expect((await ask("GET", path)).status).toBe(200);
    const { host } = new URL(guarded.url);
    expect(await (await ask("GET", "/")).text()).toContain(`docker login ${host}\n`);
  });
});

describe("a name that cannot be", () => {
  test("is told as that to everybody, and stands in no challenge", async () => {
    for (const headers of [{}, ALICE]) {
      const reply = await ask("GET", "/v2/UPPER%22,error=/tags/list", headers);
      expect(reply.headers.has("www-authenticate")).toBeFalse();
      await expectRefused(reply, 400, "NAME_INVALID");
    }
  });
});

describe("where passwords are all there is", () => {
  test("a client is asked for one", async () => {
    const passwords = await startGuarded({ accounts: [user("alice", "secret")], basicRealm: "The registry" });
    try {
      const reply = await fetch(`${passwords.url}/v2/`);
      expect(challengeIn(reply)).toEqual({ scheme: "Basic", realm: "The registry" });
      await expectRefused(reply, 401, "UNAUTHORIZED");
      expect((await fetch(`${passwords.url}/v2/`, { headers: ALICE })).status).toBe(200);
      expect((await fetch(`${passwords.url}/v2/`, { headers: basic("alice", "wrong") })).status).toBe(401);
    } finally {
      await passwords[Symbol.asyncDispose]();
    }
  });
});
