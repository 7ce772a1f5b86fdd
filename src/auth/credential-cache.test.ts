/** The cache of sessions: its bound in memory, whatever fills it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { Authentication } from "./authentication.ts";
import { BoundedAuthorization } from "./authorization.ts";
import { CredentialCache, MAX_SESSION_BYTES } from "./credential-cache.ts";
import type { Session } from "./credential-cache.ts";
import { Policy } from "./policy.ts";
import { StillClock } from "./testing/subject.ts";
import { ALWAYS } from "./verifier.ts";
import type { Proof } from "./verifier.ts";

setDefaultTimeout(60_000);

function heapSize(): number {
  Bun.gc(true);
  return heapStats().heapSize;
}

/** Takes any token, as one of an own user. */
const anyToken = {
  takes: () => true,
  verify: async (): Promise<Proof> => ({
    kind: "proof",
    principal: { kind: "user", name: crypto.randomUUID(), groups: ["dev"], generation: crypto.randomUUID() },
    access: [{ type: "repository", name: `team/${crypto.randomUUID()}`, actions: ["pull", "push"] }],
    expiresAt: Infinity,
    basis: ALWAYS,
    generation: crypto.randomUUID(),
  }),
};

function sessionOf(name: string, expiresAt = Infinity): Session {
  const proof: Proof = {
    kind: "proof",
    principal: { kind: "user", name, groups: [], generation: "1" },
    expiresAt,
    basis: ALWAYS,
    generation: "1",
  };
  const authorization = new BoundedAuthorization(proof.principal, { policy: new Policy() }, 32_768);
  return { kind: "session", proof, authorization, expiresAt };
}

test("many tokens that ask for many long names each need no more memory than the bound says", async () => {
  const authentication = new Authentication({
    verifiers: [anyToken],
    policy: new Policy(),
    tokensDecide: false,
    clock: new StillClock(),
  });
  const before = heapSize();
  // A name is a part of an address, which would be held whole by it.
  const address = `/v2/${"n".repeat(200)}/manifests/latest?${"x".repeat(20_000)}`;
  for (let number = 0; number < 10_000; number++) {
    const header = `Bearer ${crypto.randomUUID().repeat(20)}`;
    for (let repository = 0; repository < 3; repository++) {
      const session = await authentication.authenticate(header, undefined);
      if (session.kind !== "session") throw new Error(session.reason);
      const name = `${number}/${repository}${address}`.slice(0, 210);
      for (const action of ["pull", "push"] as const) session.authorization.decide(action, name);
    }
  }
  const used = heapSize() - before;
  expect(used).toBeGreaterThan(MAX_SESSION_BYTES / 4); // else nothing was kept
  expect(used).toBeLessThan(1.25 * MAX_SESSION_BYTES);
});

test("decisions of anonymous clients, which share one session, are bounded too", () => {
  const authentication = new Authentication({
    verifiers: [],
    policy: new Policy(),
    tokensDecide: false,
    clock: new StillClock(),
  });
  const { authorization } = authentication.anonymous;
  for (let number = 0; number < 100_000; number++) authorization.may("pull", `some/repository/${number}`);
  expect(authorization.decisionBytes).toBeGreaterThan(100_000);
  expect(authorization.decisionBytes).toBeLessThanOrEqual(1024 ** 2);
});

test("a session that grew is counted as what it is when it is used next", () => {
  const cache = new CredentialCache(new StillClock());
  const session = sessionOf("alice");
  cache.store("Bearer a", session);
  const before = cache.bytes;
  for (let number = 0; number < 20; number++) session.authorization.may("pull", `team/app-${number}`);
  cache.find("Bearer a");
  expect(cache.bytes - before).toBe(session.authorization.decisionBytes);
});

test("a session is found until it expires, or is deleted", () => {
  const clock = new StillClock();
  const cache = new CredentialCache(clock);
  cache.store("Bearer a", sessionOf("alice", clock.ms + 1000));
  cache.store("Bearer b", sessionOf("bob"));
  clock.ms += 999;
  expect(cache.find("Bearer a")?.proof.principal?.name).toBe("alice");
  clock.ms += 1;
  expect(cache.find("Bearer a")).toBeUndefined();
  expect(cache.find("Bearer b")?.proof.principal?.name).toBe("bob");
  cache.delete("Bearer b");
  expect(cache.find("Bearer b")).toBeUndefined();
  expect(cache.bytes).toBe(0);
});

test("a password stands in no key, and has another one in another process", async () => {
  const [cache, other] = [new CredentialCache(new StillClock()), new CredentialCache(new StillClock())];
  const header = `Basic ${btoa("alice:wonderland")}`;
  const key = cache.keyOf(header);
  expect(key).not.toContain(btoa("alice:wonderland"));
  expect(other.keyOf(header)).not.toBe(key);
  await Bun.sleep(0); // another turn of the event loop
  expect(cache.keyOf(header)).toBe(key);
  expect(cache.keyOf(`${header}=`)).not.toBe(key);
});

test("a header that is longer than those of clients is not kept", () => {
  const cache = new CredentialCache(new StillClock());
  cache.store(`Bearer ${"a".repeat(8200)}`, sessionOf("alice"));
  expect(cache.bytes).toBe(0);
});
