/** Every endpoint, asked with every right and with every kind of credentials: exactly what is allowed passes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import type { Action } from "../../src/auth/identity.ts";
import { ENDPOINTS, fill, send } from "./support/endpoints.ts";
import type { Contents, Endpoint } from "./support/endpoints.ts";
import { basic, bearer, claimsOf, startGuarded, tokenFor } from "./support/guarded-registry.ts";
import type { GuardedRegistry, Headers, TokenReply } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const PASSWORD = "correct horse";

/** Whom a rule gives this one right, in the repositories below `own/`. */
const RIGHTS: readonly (Action | "none")[] = ["none", "pull", "push", "delete", "admin"];

const OPERATOR = basic("operator", PASSWORD);

let guarded: GuardedRegistry;
let foreign: Contents;
let repositories = 0;

beforeAll(async () => {
  guarded = await startGuarded({
    accounts: [user("operator", PASSWORD, ["admin"]), ...RIGHTS.map((right) => user(right, PASSWORD))],
    policies: RIGHTS.flatMap((right) =>
      right === "none" ? [] : [{ who: [right], repositories: ["own/**"], actions: [right] }],
    ),
  });
  foreign = await fill(guarded.url, "foreign/app", OPERATOR);
});
afterAll(() => guarded[Symbol.asyncDispose]());

/** A repository that no test has touched. */
function ownContents(): Promise<Contents> {
  return fill(guarded.url, `own/app-${repositories++}`, OPERATOR);
}

const CREDENTIALS: Readonly<Record<string, (right: string, repository: string) => Promise<Headers>>> = {
  "a password": async (right) => basic(right, PASSWORD),
  "a token for all that can be had": async (right, repository) =>
    bearer(await tokenFor(guarded.url, [`repository:${repository}:pull,push,delete`], basic(right, PASSWORD))),
};

for (const [kind, credentialsOf] of Object.entries(CREDENTIALS)) {
  describe(`with ${kind}`, () => {
    for (const endpoint of ENDPOINTS) {
      test(`${endpoint.name} needs the right to ${endpoint.needs}, and no other one`, async () => {
        const statuses: Record<string, number> = {};
        for (const right of RIGHTS) {
          const contents = await ownContents();
          const credentials = await credentialsOf(right, contents.name);
          statuses[right] = (await send(guarded.url, endpoint.ask(contents), credentials)).status;
        }
        const refused = kind === "a password" ? 403 : 401;
        const expected = RIGHTS.map((right) => [
          right,
          right === endpoint.needs || right === "admin" ? endpoint.status : refused,
        ]);
        expect(statuses).toEqual(Object.fromEntries(expected));
      });

      test(`${endpoint.name} of another user's repository is refused, whether it is there or not`, async () => {
        const absent = { ...foreign, name: "foreign/nil", upload: foreign.upload.replace("/app/", "/nil/") };
        for (const right of RIGHTS) {
          const there = await refusal(endpoint, foreign, await credentialsOf(right, foreign.name));
          const nowhere = await refusal(endpoint, absent, await credentialsOf(right, absent.name));
          expect(there).toMatch(kind === "a password" ? /^403 / : /^401 /);
          expect(nowhere.replaceAll("foreign/nil", "foreign/app")).toBe(there);
        }
      });
    }
  });
}

/** Status, headers and body of a reply, but for what the clock says. */
async function refusal(endpoint: Endpoint, contents: Contents, credentials: Headers): Promise<string> {
  const reply = await send(guarded.url, endpoint.ask(contents), credentials);
  const headers = [...reply.headers].filter(([name]) => name !== "date" && name !== "x-request-id");
  return `${reply.status} ${JSON.stringify(headers)} ${await reply.text()}`;
}

describe("a token for one repository", () => {
  test("is worth nothing in another one, even where its owner may do everything", async () => {
    const contents = await ownContents();
    const token = await tokenFor(guarded.url, ["repository:own/other:pull,push,delete"], OPERATOR);
    for (const endpoint of ENDPOINTS) {
      const reply = await send(guarded.url, endpoint.ask(contents), bearer(token));
      expect(`${endpoint.name}: ${reply.status}`).toBe(`${endpoint.name}: 401`);
      expect(reply.headers.get("www-authenticate")).toContain('error="insufficient_scope"');
    }
  });
});

describe("credentials that are not good", () => {
  const BAD: Readonly<Record<string, () => Promise<Headers>>> = {
    "none at all": async () => ({}),
    "an empty name and an empty password": async () => basic("", ""),
    "a wrong password": async () => basic("operator", "wrong"),
    "an unknown user name": async () => basic("nobody", PASSWORD),
    "a scheme that is not ours": async () => ({ authorization: `Digest username="operator"` }),
    "what is no base64": async () => ({ authorization: "Basic ???" }),
    "what is no token": async () => bearer("operator"),
    "an empty token": async () => ({ authorization: "Bearer " }),
    "an anonymous token": async () => bearer(await tokenFor(guarded.url, [everything()])),
    "an expired token": expired,
    "a token with another signature": async () => bearer((await operatorToken()).replace(/.{20}$/, "A".repeat(20))),
    "a token with other claims under its signature": async () => {
      const [header, , signature] = (await tokenFor(guarded.url, [everything()])).split(".");
      return bearer([header, (await operatorToken()).split(".")[1], signature].join("."));
    },
    "a token of another key": async () => bearer(await signedAnew("another key")),
    "a token of another key that says it is ours": async () => bearer(await signedAnew("our name")),
    "a token that brings its key along": async () => bearer(await signedAnew("in the header")),
    "a token signed with our public key as a secret": async () => bearer(await signedWithPublicKey()),
    "a token without a signature (alg: none)": async () => {
      const [, claims] = (await operatorToken()).split(".");
      return bearer(`${encode({ alg: "none", typ: "JWT" })}.${claims}.`);
    },
    "a token for another audience: one that renews": async () => bearer(await refreshToken()),
  };

  test("are those that this table names, and a good one beside them passes", async () => {
    const reply = await send(
      guarded.url,
      { method: "GET", path: `/v2/${own.name}/tags/list` },
      bearer(await operatorToken()),
    );
    expect(reply.status).toBe(200);
  });

  let own: Contents;
  beforeAll(async () => {
    own = await ownContents();
  });

  for (const [what, credentialsOf] of Object.entries(BAD)) {
    test(`open nothing: ${what}`, async () => {
      const credentials = await credentialsOf();
      const asked = [
        ...ENDPOINTS.map((endpoint) => endpoint.ask(own)),
        { method: "GET", path: "/v2/_catalog" },
        ...(what === "an anonymous token" ? [] : [{ method: "GET", path: "/v2/" }]),
      ];
      for (const each of asked) {
        const reply = await send(guarded.url, each, credentials);
        expect(`${each.method} ${each.path}: ${reply.status}`).toBe(`${each.method} ${each.path}: 401`);
        expect(reply.headers.get("www-authenticate")).toStartWith(
          `Bearer realm="${guarded.url}/token",service="stowage"`,
        );
      }
    });
  }

  function everything(): string {
    return `repository:${own.name}:pull,push,delete`;
  }

  function operatorToken(): Promise<string> {
    return tokenFor(guarded.url, [everything()], OPERATOR);
  }

  async function expired(): Promise<Headers> {
    const token = await operatorToken();
    guarded.later(310_000);
    return bearer(token);
  }

  /** The operator's claims, signed with a key that is not the registry's. */
  async function signedAnew(how: "another key" | "our name" | "in the header"): Promise<string> {
    const token = await operatorToken();
    const { kid } = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as { kid: string };
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const header =
      how === "another key" ? { kid: "another" } : how === "our name" ? { kid } : { jwk: await exportJWK(publicKey) };
    return await new SignJWT(claimsOf(token))
      .setProtectedHeader({ alg: "ES256", typ: "JWT", ...header })
      .sign(privateKey);
  }

  async function signedWithPublicKey(): Promise<string> {
    const token = await operatorToken();
    const { keys } = (await (await fetch(`${guarded.url}/.well-known/jwks.json`)).json()) as {
      keys: { kid: string }[];
    };
    return await new SignJWT(claimsOf(token))
      .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: keys[0]?.kid ?? "" })
      .sign(Buffer.from(JSON.stringify(keys[0])));
  }
});

test("what was refused has changed nothing", async () => {
  const read = async (path: string): Promise<string> => {
    const reply = await send(guarded.url, { method: "GET", path }, OPERATOR);
    return `${reply.status} ${await reply.text()}`;
  };
  expect(await read(`/v2/${foreign.name}/tags/list`)).toBe(`200 {"name":"foreign/app","tags":["v1"]}`);
  expect(await read(`/v2/${foreign.name}/manifests/${foreign.image}`)).toStartWith("200 ");
  expect(await read(`/v2/${foreign.name}/blobs/${foreign.blob}`)).toStartWith("200 ");
  expect(await read(`/extensions/v2/${foreign.name}/signatures/${foreign.image}`)).toBe(`200 {"signatures":[]}`);
  const upload = await send(guarded.url, { method: "GET", path: foreign.upload }, OPERATOR);
  expect([upload.status, upload.headers.get("range")]).toEqual([204, "0-0"]);
  expect(await read("/v2/foreign/nil/tags/list")).toStartWith("404 ");
});

async function refreshToken(): Promise<string> {
  const reply = await fetch(`${guarded.url}/token?offline_token=true`, { headers: OPERATOR });
  return ((await reply.json()) as TokenReply).refresh_token ?? "";
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
