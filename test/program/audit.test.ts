/** What clients changed: a line of the log for each change, and an event for a program that embeds the registry. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/index.ts";
import type { ChangeEvent } from "../../src/index.ts";
import { Issuer } from "../../src/auth/testing/issuer.ts";
import { basic } from "../auth/support/guarded-registry.ts";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { startRegistry } from "../support/registry.ts";
import { runProgram } from "../support/program.ts";
import { RepositoryClient } from "../support/repository-client.ts";

setDefaultTimeout(60_000);

test("every change has a line that says who, what, from where and why it was allowed", async () => {
  await using registry = await startRegistry();
  const { url } = registry;
  const image = await pushImage(url, "team/app", "latest");
  const [layer = { digest: "" }] = image.layers;
  const other = new RepositoryClient(url, "team/other");
  await other.send("POST", `blobs/uploads/?mount=${layer.digest}&from=team/app`);
  await other.delete(`blobs/${layer.digest}`);
  const app = new RepositoryClient(url, "team/app");
  await app.delete("manifests/latest");
  await app.delete(`manifests/${image.digest}`);
  const body = bytesOf("monolithic", 10);
  await app.send("POST", `blobs/uploads/?digest=${digestOf(body)}`, { body });

  await registry.stop(); // what it logged is written by then
  const lines = changes(registry.output());
  expect(lines.map(({ msg }) => msg)).toEqual([
    `anonymous pushed the blob team/app@${image.config.digest}`,
    `anonymous pushed the blob team/app@${layer.digest}`,
    "anonymous pushed the manifest team/app:latest",
    `anonymous mounted the blob team/other@${layer.digest}`,
    `anonymous deleted the blob team/other@${layer.digest}`,
    "anonymous deleted the tag team/app:latest",
    `anonymous deleted the manifest team/app@${image.digest}`,
    `anonymous pushed the blob team/app@${digestOf(body)}`,
  ]);
  for (const { audit } of lines) {
    expect(audit).toMatchObject({ who: "anonymous", address: "127.0.0.1", rule: expect.any(String) });
  }
  expect(new Set(lines.map(({ audit }) => audit["id"])).size).toBe(lines.length);
});

test("what an operator changes by a command has a line, also when no server ran then", async () => {
  await using registry = await startRegistry();
  await pushImage(registry.url, "team/app", "v1");
  // A name in the environment proves nothing.
  const env = { USER: "mallory", LOGNAME: "mallory", USERNAME: "mallory" };
  const run = (...words: string[]) => runProgram(registry.dataDir, words, env, "a long password");
  await run("user", "add", "alice", "--group", "dev", "--password-stdin");
  await run("tag", "delete", "team/app:v1");
  await run("tag", "delete", "team/app:v1"); // it is gone: nothing is changed
  await run("repo", "list");
  await run("token", "create", "--for", "ci", "--repo", "team/**");
  await registry.stop();
  await run("gc");
  await using again = await startRegistry({ dataDir: registry.dataDir });
  await again.stop();
  const who = `system:${await nameOfUser()}`;
  const lines = [...changes(registry.output()), ...changes(again.output())].filter(({ audit }) => audit["who"] === who);
  expect(lines.map(({ msg }) => msg)).toEqual([
    `${who} ran stowage user add alice`,
    `${who} ran stowage tag delete team/app:v1`,
    `${who} ran stowage token create --for ci --repo team/** --actions pull`,
    `${who} ran stowage gc`,
  ]);
  expect(registry.output() + again.output()).not.toContain("a long password");
});

test("what changes nothing has none: reading, uploads that go on, refusals", async () => {
  await using registry = await startRegistry({ env: { REGISTRY_STORAGE_DELETE_ENABLED: "false" } });
  const app = new RepositoryClient(registry.url, "team/app");
  const begun = await app.send("POST", "blobs/uploads/");
  const location = begun.headers.get("location") ?? "";
  await app.send("PATCH", location, { body: "part" });
  await app.send("PUT", `${location}?digest=${digestOf("something else")}`);
  await app.delete("manifests/latest");
  await app.get("tags/list");
  await registry.stop();
  expect(changes(registry.output())).toEqual([]);
});

test("a login that fails and a permission that is missing have a line with the name, the address and the reason", async () => {
  await using issuer = await Issuer.start();
  const rule = { claims: { repository: "octo/app" }, repositories: ["octo/**"], actions: ["push"] };
  const oidc = [{ issuer: issuer.url, audience: "registry.example.com", rules: [rule] }];
  const policies = [{ who: ["user:alice"], repositories: ["team/**"], actions: ["pull"] }];
  await using registry = await startRegistry({
    env: {
      REGISTRY_AUTH_USERS_ENABLED: "true",
      REGISTRY_AUTH_OIDC: JSON.stringify(oidc),
      REGISTRY_POLICIES: JSON.stringify(policies),
    },
  });
  const { url, dataDir } = registry;
  await runProgram(dataDir, ["user", "add", "alice", "--password-stdin"], {}, "a long password");
  const ask = async (path: string, init: RequestInit): Promise<number> => (await fetch(`${url}${path}`, init)).status;
  const alice = { headers: basic("alice", "a long password") };
  const guess = { headers: { ...basic("alice", "guess"), "user-agent": "guesser/1" } };
  expect(await ask("/v2/", guess)).toBe(401);
  expect(await ask("/token?service=stowage", { headers: basic("mallory", "guess") })).toBe(401);
  const form = new URLSearchParams({ grant_type: "password", username: "bob", password: "guess" });
  expect(await ask("/token", { method: "POST", body: form })).toBe(401);
  issuer.alsoPublish({ kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "unusable" });
  const claims = { aud: "registry.example.com", repository: "octo/app" };
  const named = await issuer.token(claims, Date.now(), { kid: "unusable" });
  expect(await ask("/v2/", { headers: basic("oidc", named) })).toBe(401);
  const future = await issuer.token({ ...claims, iat: Math.floor(Date.now() / 1000) + 60 }, Date.now());
  expect(await ask("/v2/", { headers: basic("oidc", future) })).toBe(401);
  expect(await ask("/v2/team/app/blobs/uploads/", { ...alice, method: "POST" })).toBe(403);
  expect(await ask("/v2/other/app/manifests/v1", alice)).toBe(403);
  // None: what is allowed, anonymous clients, and what is not there.
  expect(await ask("/v2/", alice)).toBe(200);
  expect(await ask("/v2/team/app/manifests/v1", alice)).toBe(404);
  expect(await ask("/v2/team/app/manifests/v1", {})).toBe(401);

  await registry.stop();
  const address = "127.0.0.1";
  const refused = { outcome: "refused", address };
  const lines = changes(registry.output()).filter(({ audit }) => audit["outcome"] !== undefined);
  expect(lines.map(({ level, audit }) => [level, audit])).toMatchObject([
    ["warn", { ...refused, action: "login", who: "alice", reason: "wrong password", userAgent: "guesser/1" }],
    ["warn", { ...refused, action: "login", who: "mallory", reason: "unknown user" }],
    ["warn", { ...refused, action: "login", who: "bob", reason: "unknown user" }],
    ["warn", { ...refused, action: "login", who: "oidc", reason: "key" }],
    ["warn", { ...refused, action: "login", who: "oidc", reason: "time" }],
    ["info", { ...refused, action: "push", who: "alice", repository: "team/app", rule: expect.any(String) }],
    ["info", { ...refused, action: "pull", who: "alice", repository: "other/app", rule: expect.any(String) }],
  ]);
  for (const secret of ['guess"', "a long password", named, future]) expect(registry.output()).not.toContain(secret);
});

test("a name with control characters makes no second line of the text log", async () => {
  await using issuer = await Issuer.start();
  const rule = { claims: { repository: "octo/app" }, repositories: ["octo/**"], actions: ["push"] };
  const oidc = [{ issuer: issuer.url, audience: "registry.example.com", rules: [rule] }];
  await using registry = await startRegistry({
    env: { REGISTRY_AUTH_OIDC: JSON.stringify(oidc), REGISTRY_LOG_FORMATTER: "text" },
  });
  const sub = "me\n[99:00:00] INFO: root deleted the tag team/app:v1\r\u001b[2K\u009b2K\u2028job";
  const token = await issuer.token({ aud: "registry.example.com", sub, repository: "octo/app" }, Date.now());
  const app = new RepositoryClient(registry.url, "octo/app");
  const digest = digestOf("content");
  const headers = basic("oidc", token);
  expect((await app.send("POST", `blobs/uploads/?digest=${digest}`, { headers, body: "content" })).status).toBe(201);
  await registry.stop();
  const lines = registry.output().split(/[\n\r\u2028]/);
  const escaped = String.raw`me\u000a[99:00:00] INFO: root deleted the tag team/app:v1\u000d\u001b[2K\u009b2K\u2028job`;
  const who = `job:${escaped}@${issuer.url}`;
  expect(lines.filter((line) => line.endsWith(`INFO: ${who} pushed the blob octo/app@${digest}`))).toHaveLength(1);
  expect(lines.filter((line) => line.startsWith("[99:00:00]"))).toEqual([]);
});

test("a program that embeds the registry is told of each, and its own failure is its own", async () => {
  const events: ChangeEvent[] = [];
  await using registry = await createRegistry({
    storage: "memory",
    onChange(event) {
      events.push(event);
      throw new Error("a listener that fails");
    },
  });
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => registry.fetch(request) });
  try {
    const digest = await pushBlob(server.url.origin, "team/app", "content");
    expect(events).toMatchObject([
      { action: "push", object: "blob", repository: "team/app", digest, who: "anonymous", address: undefined },
    ]);
  } finally {
    await server.stop(true);
  }
});

/** Of this process, as the system has it. */
async function nameOfUser(): Promise<string> {
  const child = Bun.spawn(["id", "-un"], { stdout: "pipe" });
  return (await child.stdout.text()).trim();
}

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly audit: Readonly<Record<string, unknown>>;
}

function changes(output: string): readonly Line[] {
  return output
    .split("\n")
    .filter((line) => line.includes('"audit":'))
    .map((line) => JSON.parse(line) as Line);
}
