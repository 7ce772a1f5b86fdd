/** What the pipeline says of a request before it has a response. */
import { expect, test } from "bun:test";
import { createRegistry } from "../create-registry.ts";

test("a request without a body has arrived before its login is verified, however long that takes", async () => {
  const login = Promise.withResolvers<undefined>();
  const authenticator = { authenticate: () => login.promise, isCurrent: () => false };
  await using registry = await createRegistry({
    storage: "memory",
    access: { kind: "accounts", authenticator: () => authenticator },
  });
  const arrived = Promise.withResolvers<void>();
  const headers = { authorization: `Basic ${btoa("alice:wonderland")}` };
  const reply = registry.handle(new Request("http://registry/v2/", { headers }), arrived.resolve);
  await arrived.promise;
  login.resolve(undefined);
  expect((await reply).status).toBe(401);
});
