/** A repository that a principal may not pull does not exist for it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { digestOf } from "../support/content.ts";
import { ENDPOINTS, fill, send } from "./support/endpoints.ts";
import type { Contents } from "./support/endpoints.ts";
import { basic, bearer, startGuarded, tokenFor } from "./support/guarded-registry.ts";
import type { GuardedRegistry, Headers } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const OPERATOR = basic("operator", "secret");
const ALICE = basic("alice", "secret");

let guarded: GuardedRegistry;
let hidden: Contents;
beforeAll(async () => {
  guarded = await startGuarded({
    accounts: [
      user("operator", "secret", ["admin"]),
      user("alice", "secret"),
      user("leaver", "secret", ["admin"]),
      user("short", "secret", ["admin"]),
    ],
    policies: [
      { who: ["alice"], repositories: ["alice/*"], actions: ["pull", "push"] },
      { who: ["alice"], repositories: ["drop/box"], actions: ["push"] },
      { who: ["everyone"], repositories: ["public/*"], actions: ["pull"] },
    ],
  });
  for (const name of ["alice/a", "alice/b", "alice/c", "drop/box", "public/base", "zoo/last"]) {
    await fill(guarded.url, name, OPERATOR);
  }
  hidden = await fill(guarded.url, "hidden/app", OPERATOR);
  const secret = "a blob of the hidden repository alone";
  await send(
    guarded.url,
    { method: "POST", path: `/v2/hidden/app/blobs/uploads/?digest=${digestOf(secret)}`, body: secret },
    OPERATOR,
  );
  hidden = { ...hidden, blob: digestOf(secret) };
});
afterAll(() => guarded[Symbol.asyncDispose]());

describe("the catalog", () => {
  test("lists what the caller may pull, and nothing else", async () => {
    const all = ["alice/a", "alice/b", "alice/c", "drop/box", "hidden/app", "public/base", "zoo/last"];
    expect(await listed(OPERATOR)).toEqual(all);
    expect(await listed(ALICE)).toEqual(["alice/a", "alice/b", "alice/c", "public/base"]);
    expect(await listed({})).toEqual(["public/base"]);
  });

  test("lists the same for a token as for its owner", async () => {
    expect(await listed(bearer(await tokenFor(guarded.url, ["registry:catalog:*"], ALICE)))).toEqual(
      await listed(ALICE),
    );
    expect(await listed(bearer(await tokenFor(guarded.url, ["registry:catalog:*"])))).toEqual(["public/base"]);
  });

  test("has full pages with links over what is left out", async () => {
    const pages: string[][] = [];
    for (let path: string | undefined = "/v2/_catalog?n=2"; path !== undefined;) {
      const reply: Response = await fetch(`${guarded.url}${path}`, { headers: ALICE });
      pages.push(((await reply.json()) as { repositories: string[] }).repositories);
      path = /^<([^>]+)>/.exec(reply.headers.get("link") ?? "")?.[1];
    }
    expect(pages).toEqual([
      ["alice/a", "alice/b"],
      ["alice/c", "public/base"],
    ]);
  });
});

describe("a mount", () => {
  const everything = ["repository:alice/new:pull,push", "repository:hidden/app:pull", "repository:alice/a:pull"];

  async function waysOf(credentials: Headers): Promise<readonly Headers[]> {
    return [credentials, bearer(await tokenFor(guarded.url, everything, credentials))];
  }

  test("from a repository that the caller may not pull begins an upload, as if the blob were not there", async () => {
    for (const credentials of await waysOf(ALICE)) {
      for (const query of [
        `mount=${hidden.blob}&from=hidden/app`,
        `mount=${hidden.blob}`,
        `mount=${digestOf("nil")}`,
      ]) {
        const reply = await mount(query, credentials);
        expect(reply.status).toBe(202);
        expect(reply.headers.get("location")).toStartWith("/v2/alice/new/blobs/uploads/");
      }
    }
    const blob = await send(guarded.url, { method: "HEAD", path: `/v2/alice/new/blobs/${hidden.blob}` }, ALICE);
    expect(blob.status).toBe(404);
  });

  test("from one that the caller may pull is done, named or not", async () => {
    const digest = digestOf("a blob that nothing needs");
    for (const credentials of await waysOf(ALICE)) {
      for (const query of [`mount=${digest}&from=alice/a`, `mount=${digest}`]) {
        expect((await mount(query, credentials)).status).toBe(201);
      }
    }
    for (const credentials of await waysOf(OPERATOR)) {
      expect((await mount(`mount=${hidden.blob}&from=hidden/app`, credentials)).status).toBe(201);
    }
    // It is shown in alice's repository now: taken out of it for the other tests.
    await send(guarded.url, { method: "DELETE", path: `/v2/alice/new/blobs/${hidden.blob}` }, OPERATOR);
  });

  test("needs a token whose scope reaches the source, and says so to whom it could be given", async () => {
    const digest = digestOf("a blob that nothing needs");
    const narrow = bearer(await tokenFor(guarded.url, ["repository:alice/new:pull,push"], ALICE));
    const reply = await mount(`mount=${digest}&from=alice/b`, narrow);
    expect(reply.status).toBe(401);
    const scope = "repository:alice/new:pull,push repository:alice/b:pull";
    expect(reply.headers.get("www-authenticate")).toEndWith(`,scope="${scope}",error="insufficient_scope"`);
    const wide = bearer(await tokenFor(guarded.url, [scope], ALICE));
    expect((await mount(`mount=${digest}&from=alice/b`, wide)).status).toBe(201);
  });

  test("that names no source reaches no further than the token", async () => {
    const digest = digestOf("a blob that nothing needs");
    const narrow = bearer(await tokenFor(guarded.url, ["repository:alice/narrow:pull,push"], ALICE));
    const path = `/v2/alice/narrow/blobs/uploads/?mount=${digest}`;
    expect((await send(guarded.url, { method: "POST", path }, narrow)).status).toBe(202);
  });
});

describe("a manifest", () => {
  test("cannot be pushed that needs a blob of a repository that is hidden", async () => {
    const path = "/v2/alice/thief/manifests/latest";
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest: hidden.blob, size: 37 },
      layers: [],
    });
    const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
    const reply = await send(guarded.url, { method: "PUT", path, headers, body: manifest }, ALICE);
    expect([reply.status, await reply.text()]).toEqual([400, expect.stringContaining("MANIFEST_BLOB_UNKNOWN")]);
  });
});

describe("what a client was given", () => {
  test("is not given to others who ask for the same, however lately and often it was", async () => {
    const token = bearer(await tokenFor(guarded.url, ["repository:hidden/app:pull"], OPERATOR));
    const gone = bearer(await tokenFor(guarded.url, ["repository:hidden/app:pull"], basic("leaver", "secret")));
    guarded.accounts.remove("leaver");
    for (const endpoint of ENDPOINTS.filter(({ needs }) => needs === "pull")) {
      const statuses: number[] = [];
      for (const credentials of [
        OPERATOR,
        token,
        OPERATOR,
        gone,
        ALICE,
        {},
        basic("operator", "wrong"),
        bearer("x"),
        token,
      ]) {
        statuses.push((await send(guarded.url, endpoint.ask(hidden), credentials)).status);
      }
      expect([endpoint.name, ...statuses]).toEqual([endpoint.name, 200, 200, 200, 401, 403, 401, 401, 401, 200]);
    }
  });

  test("is not what opens GET /v2/ to others", async () => {
    const statuses: number[] = [];
    for (const credentials of [OPERATOR, OPERATOR, {}, basic("operator", "wrong"), ALICE]) {
      statuses.push((await fetch(`${guarded.url}/v2/`, { headers: credentials })).status);
    }
    expect(statuses).toEqual([200, 200, 401, 401, 200]);
  });

  test("ends for a token whose owner goes, between one request and the next", async () => {
    const path = `/v2/${hidden.name}/manifests/${hidden.tag}`;
    const token = bearer(await tokenFor(guarded.url, ["repository:hidden/app:pull"], basic("short", "secret")));
    for (let times = 0; times < 3; times++) {
      expect((await send(guarded.url, { method: "GET", path }, token)).status).toBe(200);
    }
    guarded.accounts.remove("short");
    expect((await send(guarded.url, { method: "GET", path }, token)).status).toBe(401);
  });
});

describe("who may push and not pull", () => {
  test("learns nothing about what is there", async () => {
    for (const reference of ["v1", "nil"]) {
      const reply = await send(guarded.url, { method: "HEAD", path: `/v2/drop/box/manifests/${reference}` }, ALICE);
      expect(reply.status).toBe(403);
    }
  });
});

describe("what was never promised to a reader", () => {
  test("is not kept longer because the reader asks for it", async () => {
    const old = await startGuarded({
      accounts: [user("operator", "secret", ["admin"])],
      policies: [{ who: ["everyone"], repositories: ["public/*"], actions: ["pull"] }],
    });
    try {
      const contents = await fill(old.url, "public/base", OPERATOR);
      const look = { method: "HEAD", path: `/v2/public/base/blobs/${contents.blob}` };
      for (let minutes = 0; minutes < 240; minutes += 20) {
        await send(old.url, look, {});
        old.later(20 * 60_000);
      }
      await old.registry.collect();
      expect((await send(old.url, look, {})).status).toBe(404);
    } finally {
      await old[Symbol.asyncDispose]();
    }
  });

  test("is kept for who may push, and looks at it", async () => {
    const fresh = await startGuarded({ accounts: [user("operator", "secret", ["admin"])] });
    try {
      const contents = await fill(fresh.url, "public/base", OPERATOR);
      const look = { method: "HEAD", path: `/v2/public/base/blobs/${contents.blob}` };
      for (let minutes = 0; minutes < 240; minutes += 20) {
        await send(fresh.url, look, OPERATOR);
        fresh.later(20 * 60_000);
      }
      await fresh.registry.collect();
      expect((await send(fresh.url, look, OPERATOR)).status).toBe(200);
    } finally {
      await fresh[Symbol.asyncDispose]();
    }
  });
});

async function listed(credentials: Headers): Promise<readonly string[]> {
  const reply = await fetch(`${guarded.url}/v2/_catalog`, { headers: credentials });
  return ((await reply.json()) as { readonly repositories: readonly string[] }).repositories;
}

function mount(query: string, credentials: Headers): Promise<Response> {
  return send(guarded.url, { method: "POST", path: `/v2/alice/new/blobs/uploads/?${query}` }, credentials);
}
