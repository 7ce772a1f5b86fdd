/** The token service: Docker's token protocol, and its OAuth2 form. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createLocalJWKSet, jwtVerify } from "jose";
import type { JSONWebKeySet } from "jose";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { basic, bearer, claimsOf, startGuarded } from "./support/guarded-registry.ts";
import type { GuardedRegistry, Headers, TokenReply } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const ALICE = basic("alice", "secret");

let guarded: GuardedRegistry;
beforeAll(async () => {
  guarded = await startGuarded({
    accounts: [user("alice", "secret", ["dev"]), user("leaver", "secret")],
    policies: [
      { who: ["group:dev"], repositories: ["team/*"], actions: ["pull", "push"] },
      { who: ["leaver"], repositories: ["**"], actions: ["admin"] },
      { who: ["everyone"], repositories: ["public/*"], actions: ["pull"] },
    ],
    refreshTokens: true,
  });
});
afterAll(() => guarded[Symbol.asyncDispose]());

function get(query: string, headers: Headers = {}): Promise<Response> {
  return fetch(`${guarded.url}/token?${query}`, { headers });
}

async function tokenOf(reply: Response): Promise<TokenReply> {
  expect(reply.status).toBe(200);
  return (await reply.json()) as TokenReply;
}

async function accessFor(query: string, headers: Headers = ALICE): Promise<unknown> {
  return claimsOf((await tokenOf(await get(query, headers))).token)["access"];
}

function post(form: Readonly<Record<string, string>>): Promise<Response> {
  return fetch(`${guarded.url}/token`, { method: "POST", body: new URLSearchParams(form) });
}

describe("GET /token", () => {
  test("gives a token under both names, good for at least a minute, that no cache keeps", async () => {
    const reply = await get("service=stowage&client_id=docker&account=alice", ALICE);
    expect(reply.headers.get("content-type")).toBe("application/json");
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const { token, access_token, expires_in, issued_at, refresh_token } = await tokenOf(reply);
    expect(access_token).toBe(token);
    expect(expires_in).toBeGreaterThanOrEqual(60);
    expect(issued_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/);
    expect(refresh_token).toBeUndefined();
  });

  test("says in the token what Docker's specification names", async () => {
    const { token } = await tokenOf(await get("scope=repository:team/app:pull", ALICE));
    expect(claimsOf(token)).toMatchObject({
      iss: "stowage",
      sub: "alice",
      aud: "stowage",
      exp: expect.any(Number),
      nbf: expect.any(Number),
      iat: expect.any(Number),
      jti: expect.any(String),
      access: [{ type: "repository", name: "team/app", actions: ["pull"] }],
    });
    const anonymous = await tokenOf(await get("scope=repository:public/app:pull"));
    expect(claimsOf(anonymous.token)).toMatchObject({ sub: "" });
  });

  test("signs with a key that is published", async () => {
    const { token } = await tokenOf(await get("", ALICE));
    const reply = await fetch(`${guarded.url}/.well-known/jwks.json`);
    const keys = (await reply.json()) as JSONWebKeySet;
    expect(keys.keys.map((key) => Object.keys(key).toSorted())).toEqual([
      ["alg", "crv", "kid", "kty", "use", "x", "y"], // and nothing private
    ]);
    const { protectedHeader } = await jwtVerify(token, createLocalJWKSet(keys), { audience: "stowage" });
    expect(protectedHeader).toMatchObject({ alg: "ES256", typ: "JWT" });
  });

  for (const [what, query, access] of [
    ["one scope", "scope=repository:team/app:pull,push", [["team/app", ["pull", "push"]]]],
    [
      "several parameters",
      "scope=repository:team/a:pull&scope=repository:team/b:push",
      [
        ["team/a", ["pull"]],
        ["team/b", ["push"]],
      ],
    ],
    [
      "several scopes in one parameter",
      "scope=repository:team/a:pull%20repository:team/b:pull",
      [
        ["team/a", ["pull"]],
        ["team/b", ["pull"]],
      ],
    ],
    [
      "the same repository twice",
      "scope=repository:team/a:pull&scope=repository:team/a:push,pull",
      [["team/a", ["pull", "push"]]],
    ],
    ["all actions", "scope=repository:team/a:*", [["team/a", ["pull", "push"]]]],
    ["a class", "scope=repository(plugin):team/a:pull", [["team/a", ["pull"]]]],
    ["more than may be had", "scope=repository:team/a:pull,delete", [["team/a", ["pull"]]]],
    ["what may not be had", "scope=repository:other/a:pull", []],
    ["an unknown action", "scope=repository:team/a:fly", []],
    ["a name that cannot be", "scope=repository:host:5000/TEAM:pull", []],
    ["what is no scope", "scope=repository&scope=::&scope=&scope=a:b", []],
    ["no scope", "", []],
  ] as const) {
    test(`gives as much as may be had for ${what}`, async () => {
      const expected = access.map(([name, actions]) => ({ type: "repository", name, actions }));
      expect(await accessFor(query)).toEqual(expected as never);
    });
  }

  test("grants the catalog to a user who may pull, and anonymous clients what all may have", async () => {
    const catalog = { type: "registry", name: "catalog", actions: ["*"] };
    expect(await accessFor("scope=registry:catalog:*")).toEqual([catalog]);
    expect(await accessFor("scope=repository:public/a:pull,push", {})).toEqual([
      { type: "repository", name: "public/a", actions: ["pull"] },
    ]);
  });

  describe("from a web page without credentials", () => {
    const PRIVATE = "scope=repository:team/app:pull";
    const [HERE, TYPED] = [{ "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "none" }];

    for (const [what, query] of [
      ["what anonymous clients may not have", PRIVATE],
      ["none of several scopes", `${PRIVATE}&scope=repository:public/app:delete`],
    ] as const) {
      test(`answers 401 with a Basic challenge for ${what}`, async () => {
        for (const headers of [HERE, TYPED]) {
          const reply = await get(query, headers);
          expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([401, 'Basic realm="stowage"']);
          expect(await reply.json()).toMatchObject({ errors: [{ code: "UNAUTHORIZED" }] });
        }
      });
    }

    for (const [what, query] of [
      ["what they may have", "scope=repository:public/app:pull"],
      ["some of it", `${PRIVATE}&scope=repository:public/app:pull,push`],
      ["no scope", "service=stowage"],
    ] as const) {
      test(`gives anonymous clients a token for ${what}`, async () => {
        expect(claimsOf((await tokenOf(await get(query, HERE))).token)).toMatchObject({ sub: "" });
      });
    }

    test("gives a token to every user who logs in, however little it allows", async () => {
      const query = "scope=repository:other/app:pull";
      expect(claimsOf((await tokenOf(await get(query, { ...ALICE, ...HERE }))).token)).toMatchObject({ access: [] });
    });

    test("gives programs, and pages of other origins, the token that allows nothing, as before", async () => {
      for (const headers of [
        { "user-agent": "docker/28.2.2 go/go1.24.3" },
        { "user-agent": "containers/5.34 (github.com/containers/image)" },
        { "sec-fetch-mode": "cors", "user-agent": "node" }, // as fetch of Node sends it
        { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", origin: "https://evil.example" },
        { origin: "https://evil.example" },
      ]) {
        expect(claimsOf((await tokenOf(await get(PRIVATE, headers))).token)).toMatchObject({ sub: "", access: [] });
      }
    });

    test("knows the origins of CORS, and lets the page read the challenge", async () => {
      const origin = "https://ui.example.com";
      await using named = await startGuarded({
        accounts: [user("alice", "secret")],
        headers: { "Access-Control-Allow-Origin": [origin], "Access-Control-Allow-Credentials": ["true"] },
      });
      const ask = (from: string): Promise<Response> =>
        fetch(`${named.url}/token?${PRIVATE}`, { headers: { origin: from, "sec-fetch-site": "cross-site" } });
      const reply = await ask(origin);
      expect(reply.status).toBe(401);
      expect(reply.headers.get("www-authenticate")).toBe('Basic realm="stowage"');
      expect(reply.headers.get("access-control-allow-origin")).toBe(origin);
      expect(reply.headers.get("access-control-allow-credentials")).toBe("true");
      expect((await ask("https://evil.example")).status).toBe(200);
    });
  });

  test("takes an empty name with an empty password for an anonymous client", async () => {
    const { token } = await tokenOf(await get("scope=repository:public/a:pull", basic("", "")));
    expect(claimsOf(token)).toMatchObject({ sub: "", access: [{ name: "public/a" }] });
  });

  for (const [what, headers] of [
    ["a wrong password", basic("alice", "wrong")],
    ["an unknown name", basic("nobody", "secret")],
    ["a name without a password", basic("alice", "")],
    ["a token", bearer("x.y.z")],
    ["garbage", { authorization: "Basic ???" }],
  ] as const) {
    test(`refuses ${what} in words that tell no name`, async () => {
      const reply = await get("scope=repository:public/a:pull", headers);
      expect(reply.headers.get("www-authenticate")).toBe('Basic realm="stowage"');
      const text = await reply.text();
      expect(reply.status).toBe(401);
      expect(text).toBe(await (await get("", basic("alice", "wrong"))).text());
    });
  }
});

describe("POST /token", () => {
  test("takes a name and a password", async () => {
    const form = { grant_type: "password", username: "alice", password: "secret", service: "x", client_id: "y" };
    const reply = await tokenOf(await post({ ...form, scope: "repository:team/a:pull repository:team/b:push,delete" }));
    expect(reply.scope).toBe("repository:team/a:pull repository:team/b:push");
    expect(reply.access_token).toBe(reply.token);
    expect(reply.refresh_token).toBeUndefined();
    await expectRefusedHere(await post({ ...form, password: "wrong" }), 401, "UNAUTHORIZED");
  });

  test("takes no user name with a colon, which would be another one in a header", async () => {
    const form = { grant_type: "password", username: "alice:sec", password: "ret" };
    await expectRefusedHere(await post(form), 401, "UNAUTHORIZED");
  });

  test("gives on request what renews tokens without the password, and takes it", async () => {
    const form = { grant_type: "password", username: "alice", password: "secret" };
    const replies = [
      await post({ ...form, access_type: "offline" }),
      await post({ ...form, offline_token: "true" }),
      await get("offline_token=true", ALICE),
    ];
    for (const reply of replies) {
      const refresh = (await tokenOf(reply)).refresh_token ?? "";
      const scope = "repository:team/a:pull,delete";
      const renewed = await tokenOf(await post({ grant_type: "refresh_token", refresh_token: refresh, scope }));
      expect(claimsOf(renewed.token)).toMatchObject({ sub: "alice", access: [{ name: "team/a", actions: ["pull"] }] });
    }
  });

  test("gives an anonymous client no refresh token", async () => {
    expect((await tokenOf(await get("offline_token=true"))).refresh_token).toBeUndefined();
  });

  test("renews by nothing else: neither by a token nor by what is made up", async () => {
    const { token } = await tokenOf(await get("", ALICE));
    for (const refresh_token of [token, "x.y.z", ""]) {
      await expectRefusedHere(await post({ grant_type: "refresh_token", refresh_token }), 401, "UNAUTHORIZED");
    }
  });

  test("refuses a grant that it does not know with 400, upon which clients fall back to GET", async () => {
    await expectRefusedHere(await post({ grant_type: "authorization_code" }), 400, "UNSUPPORTED");
    await expectRefusedHere(await post({}), 400, "UNSUPPORTED");
  });

  test("refuses a form that is too large", async () => {
    const reply = await post({ grant_type: "password", username: "x".repeat(70_000) });
    await expectRefusedHere(reply, 413, "SIZE_INVALID");
  });
});

describe("where nothing says that tokens are renewed", () => {
  test("no client gets a refresh token, however it asks, and none is accepted", async () => {
    await using plain = await startGuarded({ accounts: [user("alice", "secret")] });
    const form = { grant_type: "password", username: "alice", password: "secret", access_type: "offline" };
    const postPlain = (body: Readonly<Record<string, string>>): Promise<Response> =>
      fetch(`${plain.url}/token`, { method: "POST", body: new URLSearchParams(body) });
    const replies = [
      await fetch(`${plain.url}/token?offline_token=true`, { headers: ALICE }),
      await postPlain({ ...form, offline_token: "true" }),
    ];
    for (const reply of replies) expect((await tokenOf(reply)).refresh_token).toBeUndefined();
    const { refresh_token = "" } = await tokenOf(await get("offline_token=true", ALICE));
    await expectRefusedHere(await postPlain({ grant_type: "refresh_token", refresh_token }), 401, "UNAUTHORIZED");
  });
});

describe("an account that went", () => {
  test("takes its tokens, and what renews them, along at once", async () => {
    const credentials = basic("leaver", "secret");
    const query = "offline_token=true&scope=repository:team/app:pull";
    const { token, refresh_token = "" } = await tokenOf(await get(query, credentials));
    const list = (): Promise<Response> => fetch(`${guarded.url}/v2/team/app/tags/list`, { headers: bearer(token) });
    expect((await list()).status).toBe(404); // let in: nothing is there yet
    guarded.accounts.remove("leaver");
    const reply = await list();
    expect(reply.status).toBe(401);
    expect(reply.headers.get("www-authenticate")).toContain('error="invalid_token"');
    await expectRefusedHere(await post({ grant_type: "refresh_token", refresh_token }), 401, "UNAUTHORIZED");
  });
});

describe("a registry without authentication", () => {
  test("issues no tokens", async () => {
    const { createRegistry } = await import("../../src/create-registry.ts");
    await using registry = await createRegistry({ storage: "memory" });
    for (const path of ["/token", "/.well-known/jwks.json"]) {
      expect((await registry.fetch(new Request(`http://registry${path}`))).status).toBe(404);
    }
  });
});

/** As `expectRefused`, for what does not belong to the distribution API. */
async function expectRefusedHere(reply: Response, status: number, code: string): Promise<void> {
  reply.headers.set("docker-distribution-api-version", "registry/2.0");
  await expectRefused(reply, status, code);
}
