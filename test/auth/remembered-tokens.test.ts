/** Tokens that were verified a moment ago. */
import { expect, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { silentLogger } from "../../src/observe/logger.ts";
import { listen } from "../../src/server/listen.ts";
import { bearer } from "./support/guarded-registry.ts";

test("are verified once; long ones each time, so that nobody decides how much is remembered", async () => {
  const verified: string[] = [];
  await using registry = await createRegistry({
    storage: "memory",
    access: {
      kind: "tokens",
      tokens: () => ({
        realm: "https://auth.example.com/token",
        service: "registry",
        async verify(token) {
          verified.push(token);
          return { identity: undefined, access: [], expiresAt: Date.now() + 300_000 };
        },
      }),
    },
  });
  const address = { kind: "tcp", hostname: "127.0.0.1", port: 0 } as const;
  const server = await listen(address, registry.handle, { log: silentLogger() });
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
