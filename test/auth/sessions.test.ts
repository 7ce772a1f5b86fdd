/** Tokens that were verified a moment ago are not verified again, as long as what they rest on stays. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ExternalTokenVerifier } from "../../src/auth/external-tokens.ts";
import { Issuer } from "../../src/auth/testing/issuer.ts";
import { ALWAYS } from "../../src/auth/verifier.ts";
import { createRegistry } from "../../src/create-registry.ts";
import { silentLogger } from "../../src/observe/logger.ts";
import { listen } from "../../src/server/listen/listen.ts";
import { scratchFolder } from "../support/scratch.ts";
import { bearer } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const ADDRESS = { kind: "tcp", hostname: "127.0.0.1", port: 0 } as const;

test("are verified once; long ones each time, so that no client decides how much is cached", async () => {
  const verified: string[] = [];
  await using registry = await createRegistry({
    storage: "memory",
    access: {
      kind: "tokens",
      tokens: () => ({
        realm: "https://auth.example.com/token",
        service: "registry",
        takes: ({ kind }) => kind === "bearer",
        async verify(credentials) {
          verified.push(credentials.kind === "bearer" ? credentials.token : "");
          const expiresAt = Date.now() + 300_000;
          return { kind: "proof", principal: undefined, access: [], expiresAt, basis: ALWAYS, generation: "" };
        },
      }),
    },
  });
  const server = await listen(ADDRESS, registry.handle, { log: silentLogger() });
  try {
    const [short, long] = ["a".repeat(2000), "b".repeat(40_000)];
    for (const token of [short, long, short, long]) {
      expect((await fetch(`${server.url}/v2/`, { headers: bearer(token) })).status).toBe(200);
    }
    expect(verified).toEqual([short, long, long]);
  } finally {
    await server.stop();
  }
});

test("of another server are refused from the moment on when their key is withdrawn", async () => {
  await using issuer = await Issuer.start();
  const jwks = join(await scratchFolder(), "keys.json");
  await writeFile(jwks, JSON.stringify(issuer.keys));
  const settings = {
    realm: "https://auth.example.com/token",
    service: "registry",
    issuer: issuer.url,
    jwks,
    signingalgorithms: ["ES256"],
    autoredirect: false,
    autoredirectpath: "/auth/token",
  } as const;
  const clock = { ms: Date.now(), now: () => clock.ms };
  await using registry = await createRegistry({
    storage: "memory",
    clock,
    access: { kind: "tokens", tokens: ({ log }) => new ExternalTokenVerifier(settings, clock, log) },
  });
  const server = await listen(ADDRESS, registry.handle, { log: silentLogger() });
  try {
    const token = await issuer.token({ aud: "registry", sub: "alice" }, clock.ms);
    const status = async (): Promise<number> => (await fetch(`${server.url}/v2/`, { headers: bearer(token) })).status;
    expect([await status(), await status()]).toEqual([200, 200]);
    await issuer.rotate();
    await writeFile(jwks, JSON.stringify(issuer.keys));
    clock.ms++; // files are looked at once in a millisecond
    expect(await status()).toBe(401);
    const another = await issuer.token({ aud: "registry", sub: "alice" }, clock.ms);
    expect((await fetch(`${server.url}/v2/`, { headers: bearer(another) })).status).toBe(200);
  } finally {
    await server.stop();
  }
});
