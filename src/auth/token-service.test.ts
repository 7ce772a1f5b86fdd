import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { SignJWT, decodeProtectedHeader } from "jose";
import { MemoryEngine } from "../metadata/memory/memory-engine.ts";
import { Metadata } from "../metadata/metadata.ts";
import { EmbeddedAccounts } from "./embedded-accounts.ts";
import { Policy } from "./policy.ts";
import { SigningKeys } from "./signing-keys.ts";
import { ListedAccounts, user } from "./testing/listed-accounts.ts";
import { proofOf, reasonOf } from "./testing/verdicts.ts";
import { TokenService } from "./token-service.ts";
import type { Proof } from "./verifier.ts";

const DAY_MS = 86_400_000;
const alice = user("alice", "secret", ["dev"]).identity;

let now: number;
const clock = { now: () => now };
let metadata: Metadata;
let accounts: ListedAccounts;

beforeEach(async () => {
  now = 1_800_000_000_000;
  metadata = new Metadata(await MemoryEngine.open(), clock);
  accounts = new ListedAccounts([user("alice", "secret", ["dev"])]);
});
afterEach(() => metadata.close());

/** As a process of its own has it: what is shared lies in the database. */
function process(): { readonly keys: SigningKeys; readonly service: TokenService } {
  const keys = new SigningKeys(metadata, clock);
  return {
    keys,
    service: new TokenService({ keys, policy: new Policy(), accounts: new EmbeddedAccounts(accounts), clock }),
  };
}

/** Undefined when it is not good. */
function verify(service: TokenService, token: string): Promise<Proof | undefined> {
  return proofOf(service.verify({ kind: "bearer", token }));
}

async function issue(service: TokenService): Promise<string> {
  return (await service.issue(alice, [{ type: "repository", name: "a", actions: ["pull"] }])).token;
}

describe("a token", () => {
  test("gives back whom it was issued to, and for what", async () => {
    const { service } = process();
    const bound = [{ repositories: "team/*", actions: ["pull"] as const }];
    for (const who of [alice, { ...alice, kind: "robot" as const, bound }, undefined]) {
      const { token } = await service.issue(who, []);
      expect((await verify(service, token))?.principal).toEqual(who);
    }
    expect((await verify(service, await issue(service)))?.access).toEqual([
      { type: "repository", name: "a", actions: ["pull"] },
    ]);
  });

  test("is good in every process, also in one that has made no key", async () => {
    const token = await issue(process().service);
    expect(await verify(process().service, token)).toBeDefined();
  });

  test("is good until it expires, and not before it was issued", async () => {
    const { service } = process();
    const { token, lifetimeMs } = await service.issue(alice, []);
    const issuedAt = now;
    now = issuedAt + lifetimeMs - 1000;
    const read = await verify(service, token);
    expect(read?.expiresAt).toBeGreaterThan(now);
    now = read?.expiresAt ?? 0;
    expect(await verify(service, token)).toBeUndefined();
    now = issuedAt - 60_000;
    expect(await verify(service, token)).toBeUndefined();
  });

  /** Claims of a good token. */
  const good = { iss: "stowage", aud: "stowage", sub: "alice", access: [] };

  for (const [what, claims, typ] of [
    ["for another audience", { ...good, aud: "another" }, "JWT"],
    ["for no audience", { ...good, aud: undefined }, "JWT"],
    ["of another issuer", { ...good, iss: "another" }, "JWT"],
    ["of another type", good, "at+jwt"],
    ["without a type", good, undefined],
    ["that never expires", { ...good, exp: undefined }, "JWT"],
    ["that is good later only", { ...good, nbf: 1_800_000_060 }, "JWT"],
  ] as const) {
    test(`${what} is not good, though our key signed it`, async () => {
      const { keys, service } = process();
      const sign = async (payload: object, type: string | undefined): Promise<string> => {
        const { id, key } = await keys.current();
        const seconds = now / 1000;
        return await new SignJWT({ iat: seconds, nbf: seconds, exp: seconds + 60, ...payload })
          .setProtectedHeader({ alg: "ES256", kid: id, ...(type === undefined ? {} : { typ: type }) })
          .sign(key);
      };
      expect(await verify(service, await sign(good, "JWT"))).toBeDefined();
      expect(await verify(service, await sign(claims, typ))).toBeUndefined();
    });
  }
});

describe("what renews tokens", () => {
  test("is good for a long time, over many keys", async () => {
    const { service } = process();
    const refresh = await service.issueRefreshToken(alice);
    for (let month = 1; month <= 11; month++) {
      now += 31 * DAY_MS;
      await issue(process().service);
    }
    expect((await proofOf(process().service.redeem(refresh)))?.principal).toEqual(alice);
    now += 31 * DAY_MS;
    expect(await reasonOf(process().service.redeem(refresh))).toBe("expired");
  });

  test("is worth nothing as a token, when its owner went, and when it is made up", async () => {
    const { service } = process();
    const refresh = await service.issueRefreshToken(alice);
    expect(await verify(service, refresh)).toBeUndefined();
    expect(await reasonOf(service.redeem(await issue(service)))).toBe("audience");
    expect(await reasonOf(service.redeem("made up"))).toBe("malformed");
    const redeemed = await proofOf(service.redeem(refresh));
    expect(await redeemed?.basis.isAt(redeemed.generation)).toBeTrue();
    accounts.remove("alice");
    expect(await redeemed?.basis.isAt(redeemed.generation)).toBeFalse();
  });
});

describe("the key", () => {
  test("is made once, however many ask for it at the same time", async () => {
    const processes = Array.from({ length: 5 }, process);
    const tokens = await Promise.all(processes.flatMap(({ service }) => [issue(service), issue(service)]));
    expect(new Set(tokens.map(keyOf)).size).toBe(1);
    expect(await metadata.signingKeys.list()).toHaveLength(1);
    for (const { service } of processes) for (const token of tokens) expect(await verify(service, token)).toBeDefined();
  });

  test("is another one after a month, and what the former one signed stays good", async () => {
    const [first, second] = [process(), process()];
    const before = await issue(first.service);
    now += 30 * DAY_MS - 60_000;
    const last = await issue(first.service);
    expect(keyOf(last)).toBe(keyOf(before));
    now += 61_000;
    const after = await issue(second.service);
    expect(keyOf(after)).not.toBe(keyOf(before));
    expect(await verify(first.service, after)).toBeDefined();
    expect(await verify(first.service, last)).toBeDefined();
    const { keys } = await first.service.published();
    expect(new Set(keys.map(({ kid }) => kid))).toEqual(new Set([keyOf(before), keyOf(after)]));
  });

  test("is forgotten when nothing that it signed can be good any more", async () => {
    const first = await issue(process().service);
    for (let month = 0; month < 14; month++) {
      now += 30 * DAY_MS;
      await issue(process().service);
    }
    const ids = (await metadata.signingKeys.list()).map(({ id }) => id);
    expect(ids).not.toContain(keyOf(first) ?? "");
    expect(ids.length).toBeLessThanOrEqual(14);
  });

  test("is published without its private part", async () => {
    const { keys } = await process().service.published();
    for (const key of keys) expect(Object.keys(key).toSorted()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"]);
  });
});

function keyOf(token: string): string | undefined {
  return decodeProtectedHeader(token).kid;
}
