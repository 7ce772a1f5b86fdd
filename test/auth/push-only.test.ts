/** What a user learns who may push to a repository and not pull from it: what docs/security.md says, and no more. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { OCI_MANIFEST, digestOf } from "../support/content.ts";
import { fill } from "./support/endpoints.ts";
import type { Contents } from "./support/endpoints.ts";
import { basic, startGuarded } from "./support/guarded-registry.ts";
import type { GuardedRegistry } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const ABSENT = digestOf("nobody pushed this");

let guarded: GuardedRegistry;
let box: Contents;
let hidden: Contents;
let manifest: string;
beforeAll(async () => {
  guarded = await startGuarded({
    accounts: [user("operator", "secret", ["admin"]), user("bob", "secret")],
    policies: [{ who: ["bob"], repositories: ["drop/*"], actions: ["push"] }],
  });
  box = await fill(guarded.url, "drop/box", basic("operator", "secret"));
  hidden = await fill(guarded.url, "hidden/app", basic("operator", "secret"));
  const headers = basic("operator", "secret");
  manifest = await (await fetch(`${guarded.url}/v2/drop/box/manifests/${box.image}`, { headers })).text();
});
afterAll(() => guarded[Symbol.asyncDispose]());

async function asBob(method: string, path: string, headers: Record<string, string> = {}, body?: string) {
  return await fetch(`${guarded.url}/v2/${path}`, {
    method,
    headers: { ...basic("bob", "secret"), "content-type": OCI_MANIFEST, ...headers },
    ...(body === undefined ? {} : { body }),
  });
}

test("no blob, manifest, tag or name of a repository is shown to a principal that may only push", async () => {
  const paths = [`blobs/${box.blob}`, `manifests/${box.image}`, "tags/list", `referrers/${box.image}`];
  for (const path of [...paths.map((each) => `drop/box/${each}`), "_catalog"]) {
    for (const method of ["GET", "HEAD"]) expect([path, (await asBob(method, path)).status]).toEqual([path, 403]);
  }
  expect((await asBob("DELETE", `drop/box/manifests/${box.image}`)).status).toBe(403);
});

test("a mount tells nothing, of this repository or of others", async () => {
  for (const query of [
    `mount=${box.blob}&from=drop/box`,
    `mount=${box.blob}`,
    `mount=${hidden.blob}&from=hidden/app`,
    `mount=${ABSENT}&from=drop/box`,
  ]) {
    expect([query, (await asBob("POST", `drop/box/blobs/uploads/?${query}`)).status]).toEqual([query, 202]);
  }
});

test("a push tells which content of a manifest is missing, and whether a tag is there", async () => {
  const missing = await asBob("PUT", "drop/other/manifests/new", {}, manifest);
  expect(missing.status).toBe(400);
  expect(await missing.text()).toContain("MANIFEST_BLOB_UNKNOWN");
  expect((await asBob("PUT", "drop/box/manifests/new", {}, manifest)).status).toBe(201);
  expect((await asBob("PUT", "drop/box/manifests/new", { "if-none-match": "*" }, manifest)).status).toBe(412);
  expect((await asBob("PUT", "drop/box/manifests/new", { "if-match": `"${ABSENT}"` }, manifest)).status).toBe(412);
});
