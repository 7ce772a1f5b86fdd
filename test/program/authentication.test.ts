/** Every way to authenticate, through the real program and its settings. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import type { JWTPayload } from "jose";
import { Issuer } from "../../src/auth/testing/issuer.ts";
import { hashOf } from "../../src/auth/testing/passwords.ts";
import { basic, bearer } from "../auth/support/guarded-registry.ts";
import type { Headers } from "../auth/support/guarded-registry.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let files = 0;

/** A server with these settings. */
async function serverWith(settings: object): Promise<Listening> {
  const path = join(scratch, `config-${files++}.yml`);
  await writeFile(path, JSON.stringify(settings));
  return await startListening({ words: ["serve", path] });
}

async function status({ url }: Listening, path: string, headers: Headers = {}, method = "GET"): Promise<number> {
  return (await fetch(`${url}${path}`, { method, headers })).status;
}

describe("auth.htpasswd", () => {
  test("lets in whom the file names, and asks for a password in the realm", async () => {
    const path = join(scratch, "htpasswd");
    await writeFile(path, `alice:${await hashOf("wonderland", "bcrypt")}\n`);
    await using server = await serverWith({ auth: { htpasswd: { realm: "Our images", path } } });
    const reply = await fetch(`${server.url}/v2/`);
    expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([401, 'Basic realm="Our images"']);
    expect(await status(server, "/v2/", basic("alice", "wonderland"))).toBe(200);
    expect(await status(server, "/v2/", basic("alice", "guess"))).toBe(401);
    await writeFile(path, `alice:${await hashOf("looking-glass", "bcrypt")}\n`);
    expect(await status(server, "/v2/", basic("alice", "wonderland"))).toBe(401);
    expect(await status(server, "/v2/", basic("alice", "looking-glass"))).toBe(200);
    expect(await status(server, "/v2/", basic("alice", "guess"))).toBe(401);
    expect(server.output()).not.toMatch(/wonderland|looking-glass|guess/);
  });

  test("makes a file that is not there, and says the password once", async () => {
    const path = join(scratch, "made/htpasswd");
    const settings = { auth: { htpasswd: { realm: "Registry", path } }, log: { formatter: "json" } };
    await using server = await serverWith(settings);
    const [, password = ""] = /"user":"docker","password":"([^"]+)"/.exec(server.output()) ?? [];
    expect(await status(server, "/v2/", basic("docker", password))).toBe(200);
    await using again = await serverWith(settings);
    expect(again.output()).not.toContain("password");
    expect(await status(again, "/v2/", basic("docker", password))).toBe(200);
    expect(await readFile(path, "utf8")).not.toContain(password);
  });

  test("makes no file for a command that only looks", async () => {
    const path = join(scratch, "not-made");
    await using server = await startListening();
    const { exitCode } = await runProgram(server.dataDir, ["explain", "docker", "pull", "team/app"], {
      REGISTRY_AUTH_HTPASSWD_PATH: path,
    });
    expect([exitCode, existsSync(path)]).toEqual([2, false]);
  });

  test("stops the start when the file cannot be made", async () => {
    await writeFile(join(scratch, "occupied"), "");
    const said = await refusedStart({
      env: { REGISTRY_AUTH: "htpasswd", REGISTRY_AUTH_HTPASSWD_PATH: join(scratch, "occupied/htpasswd") },
    });
    expect(said).toContain("auth.htpasswd.path");
  });
});

describe("a client that guesses passwords", () => {
  test("gets 429 and the seconds to wait, for that account from there", async () => {
    const path = join(scratch, "guessed");
    await writeFile(
      path,
      `alice:${await hashOf("wonderland", "bcrypt")}\nbob:${await hashOf("bob-secret", "bcrypt")}\n`,
    );
    await using server = await serverWith({ auth: { htpasswd: { path } } });
    for (let guess = 0; guess < 10; guess++) {
      expect(await status(server, "/v2/", basic("alice", `guess ${guess}`))).toBe(401);
    }
    const refused = await fetch(`${server.url}/v2/`, { headers: basic("alice", "wonderland") });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(await refused.json()).toEqual({
      errors: [{ code: "TOOMANYREQUESTS", message: expect.stringContaining("too many failed logins") }],
    });
    expect(await status(server, "/v2/", basic("bob", "bob-secret"))).toBe(200);
  });
});

describe("auth.oidc", () => {
  const CLAIMS: JWTPayload = { aud: "registry.example.com", sub: "repo:octo/app", repository: "octo/app" };

  test("lets a job do what the rules say, with its token as the password of oidc", async () => {
    await using issuer = await Issuer.start("RS256");
    const rule = { claims: { repository: "octo/app" }, repositories: ["octo/**"], actions: ["pull", "push"] };
    await using server = await serverWith({
      auth: { oidc: [{ issuer: issuer.url, audience: "registry.example.com", rules: [rule] }] },
    });
    const job = basic("oidc", await issuer.token(CLAIMS, Date.now()));
    expect(await status(server, "/v2/octo/app/blobs/uploads/", job, "POST")).toBe(202);
    expect(await status(server, "/v2/other/app/blobs/uploads/", job, "POST")).toBe(403);
    const stranger = basic("oidc", await issuer.token({ ...CLAIMS, repository: "octo/fork" }, Date.now()));
    expect(await status(server, "/v2/octo/app/blobs/uploads/", stranger, "POST")).toBe(401);

    const scopes = "scope=repository:octo/app:push&scope=repository:other/app:push";
    const reply = await fetch(`${server.url}/token?service=stowage&${scopes}`, { headers: job });
    const { token } = (await reply.json()) as { token: string };
    expect(await status(server, "/v2/octo/app/blobs/uploads/", bearer(token), "POST")).toBe(202);
    expect(await status(server, "/v2/other/app/blobs/uploads/", bearer(token), "POST")).toBe(401);
  });

  test("says that it cannot tell when the issuer does not answer, to jobs alone", async () => {
    const issuer = await Issuer.start();
    const token = await issuer.token(CLAIMS, Date.now());
    await issuer[Symbol.asyncDispose]();
    const rule = { claims: { repository: "octo/app" }, repositories: ["octo/**"], actions: ["pull"] };
    await using server = await serverWith({
      auth: {
        users: { enabled: true },
        oidc: [{ issuer: issuer.url, audience: "registry.example.com", rules: [rule] }],
      },
    });
    const reply = await fetch(`${server.url}/v2/`, { headers: basic("oidc", token) });
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([503, "30"]);
    expect(await status(server, "/v2/", basic("alice", "guess"))).toBe(401);
  });
});

describe("auth.token", () => {
  test("takes the tokens of another server, and sends clients there", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    const jwks = join(scratch, "jwks.json");
    await writeFile(jwks, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "one" }] }));
    const realm = "https://auth.example.com/token";
    await using server = await serverWith({ auth: { token: { realm, service: "registry", issuer: "auth", jwks } } });
    const sign = (access: object[]): Promise<string> =>
      new SignJWT({ access })
        .setProtectedHeader({ alg: "ES256", kid: "one" })
        .setIssuer("auth")
        .setAudience("registry")
        .setSubject("alice")
        .setExpirationTime("5m")
        .sign(privateKey);
    const reply = await fetch(`${server.url}/v2/team/app/blobs/uploads/`, { method: "POST" });
    expect([reply.status, reply.headers.get("www-authenticate")]).toEqual([
      401,
      `Bearer realm="${realm}",service="registry",scope="repository:team/app:pull,push"`,
    ]);
    const push = bearer(await sign([{ type: "repository", name: "team/app", actions: ["pull", "push"] }]));
    expect(await status(server, "/v2/team/app/blobs/uploads/", push, "POST")).toBe(202);
    expect(await status(server, "/v2/other/blobs/uploads/", push, "POST")).toBe(401);
    const all = bearer(await sign([{ type: "repository", name: "team/app", actions: ["*"] }]));
    expect(await status(server, "/v2/team/app/manifests/latest", all, "DELETE")).toBe(404);
    await rm(jwks);
    const again = bearer(await sign([{ type: "repository", name: "team/app", actions: ["pull", "push"] }]));
    expect(await status(server, "/v2/team/app/blobs/uploads/", again, "POST")).toBe(401);
  });
});
