/** Jobs of CI systems: tokens of a real issuer on this machine, good ones and all kinds of bad ones. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SignJWT, UnsecuredJWT } from "jose";
import type { JWK, JWTPayload } from "jose";
import { scratchFolder } from "../../test/support/scratch.ts";
import type { AccountSettings } from "./accounts.ts";
import type { Identity } from "./identity.ts";
import { OidcVerifier } from "./oidc-verifier.ts";
import type { ClaimPattern, OidcRule, OidcTrust } from "./oidc-verifier.ts";
import { Issuer } from "./testing/issuer.ts";
import { hashOf } from "./testing/passwords.ts";
import { ADDRESS, AuthSubject, StillClock, outcome, readableLog } from "./testing/subject.ts";
import type { Proof } from "./verifier.ts";

const scratch = await scratchFolder();
const AUDIENCE = "registry.example.com";
const CLAIMS: JWTPayload = {
  aud: AUDIENCE,
  sub: "repo:octo/app:ref:refs/heads/main",
  repository: "octo/app",
  ref: "refs/heads/main",
};
const RULE: OidcRule = {
  claims: { repository: "octo/app", ref: "refs/heads/**" },
  repositories: ["octo/app"],
  actions: ["pull", "push"],
};

let issuer: Issuer;
let clock: StillClock;
beforeEach(async () => {
  await issuer?.[Symbol.asyncDispose]();
  issuer = await Issuer.start();
  clock = new StillClock();
});
afterAll(() => issuer[Symbol.asyncDispose]());

function jobs(more: Partial<OidcTrust> = {}): OidcVerifier {
  return new OidcVerifier(
    [{ issuer: issuer.url, audience: AUDIENCE, rules: [RULE], ...more }],
    clock,
    readableLog().log,
  );
}

/** Who the job with such claims is. */
async function identify(claims: JWTPayload, trust: Partial<OidcTrust> = {}): Promise<string> {
  const token = await issuer.token({ ...CLAIMS, ...claims }, clock.ms);
  return await outcome(identityOf(jobs(trust), token));
}

function ruleAbout(claims: Readonly<Record<string, ClaimPattern>>): Pick<OidcTrust, "rules"> {
  return { rules: [{ ...RULE, claims }] };
}

function trusting(rules: readonly OidcRule[]): Pick<AccountSettings, "oidc"> {
  return { oidc: [{ issuer: issuer.url, audience: AUDIENCE, rules }] };
}

async function identityOf(who: OidcVerifier, token: string): Promise<Identity | undefined> {
  return (await proofFor(who, token))?.principal;
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** Undefined when the token is not good; rejects when that is unknown. */
async function proofFor(who: OidcVerifier, password: string): Promise<Proof | undefined> {
  const verdict = await who.verify({ kind: "basic", name: "oidc", password });
  if (verdict.kind === "rejection" && verdict.refusal) throw verdict.refusal;
  return verdict.kind === "proof" ? verdict : undefined;
}

/** As it stands behind the name of a job. */
function issuerName(): string {
  return issuer.url; // not https
}

describe("a job", () => {
  test("is who its issuer says, and may do what the rules say of its claims", async () => {
    const proven = await proofFor(jobs(), await issuer.token(CLAIMS, clock.ms));
    expect(proven?.principal).toEqual({
      kind: "job",
      name: `${CLAIMS.sub}@${issuerName()}`,
      groups: [],
      bound: [{ repositories: "octo/app", actions: ["pull", "push"] }],
      generation: expect.any(String),
    });
    expect(proven?.expiresAt).toBe(clock.ms + 300_000);
  });

  for (const algorithm of ["RS256", "EdDSA", "PS256"]) {
    test(`may have a token that is signed with ${algorithm}`, async () => {
      await using other = await Issuer.start(algorithm);
      const token = await other.token({ ...CLAIMS, iss: other.url }, clock.ms);
      expect(await identityOf(jobs({ issuer: other.url }), token)).toBeDefined();
    });
  }

  test("may do together what several rules say of it", async () => {
    const rules = [
      RULE,
      { ...RULE, repositories: ["octo/cache", "octo/tmp"] },
      { ...RULE, claims: { ref: "refs/tags/**" } },
    ];
    const identity = await identityOf(jobs({ rules }), await issuer.token(CLAIMS, clock.ms));
    expect(identity?.bound?.map(({ repositories }) => repositories)).toEqual(["octo/app", "octo/cache", "octo/tmp"]);
  });
});

describe("a token of a job is good for nothing", () => {
  for (const [what, claims] of [
    ["for another audience", { aud: "other.example.com" }],
    ["without an audience", { aud: undefined }],
    ["of another issuer", { iss: "https://ci.example.com" }],
    ["without an issuer", { iss: undefined }],
    ["that has expired", { exp: 1_699_999_980 }],
    ["that never expires", { exp: undefined }],
    ["that is not good yet", { nbf: 1_700_000_060 }],
    ["without a subject", { sub: undefined }],
    ["of a repository that no rule names", { repository: "octo/other" }],
    ["without a claim that the rule wants", { ref: undefined }],
    ["with a claim that only begins alike", { ref: "refs/head" }],
  ] as const) {
    test(what, async () => {
      expect(await identify(claims as JWTPayload)).toBe("nobody");
    });
  }

  test("with an iat further in the future than clocks may differ, and the log says why", async () => {
    const { log, lines } = readableLog();
    const who = new OidcVerifier([{ issuer: issuer.url, audience: AUDIENCE, rules: [RULE] }], clock, log);
    const issuedIn = (seconds: number): Promise<string> =>
      issuer.token({ ...CLAIMS, iat: clock.ms / 1000 + seconds, exp: clock.ms / 1000 + 3600 }, clock.ms);
    expect(await identityOf(who, await issuedIn(10))).toBeDefined();
    for (const seconds of [11, 60, 86_400, 1e12]) {
      expect(await outcome(identityOf(who, await issuedIn(seconds)))).toBe("nobody");
      expect(lines.at(-1)).toMatchObject({ issuer: issuer.url, reason: "time" });
    }
    expect(lines).toHaveLength(4);
  });

  test("with an iat in the future, however long tokens are good here", async () => {
    const future = { iat: clock.ms / 1000 + 60 };
    expect(await identify(future, { lifetime: 3_600_000 })).toBe("nobody");
    expect(await identify({ ...future, exp: clock.ms / 1000 - 60 }, { lifetime: 3_600_000 })).toBe("nobody");
  });

  test("that is no token, or has another signer's signature", async () => {
    const good = await issuer.token(CLAIMS, clock.ms);
    const [header = "", payload = "", signature = ""] = good.split(".");
    const forged = Buffer.from(
      JSON.stringify({ ...CLAIMS, iss: issuer.url, repository: "octo/app", exp: 2e9 }),
    ).toString("base64url");
    const unsigned = new UnsecuredJWT({ ...CLAIMS, iss: issuer.url }).setExpirationTime(2e9).encode();
    // With the public key as secret, as libraries have fallen for.
    const secret = new TextEncoder().encode(JSON.stringify(issuer.keys.keys[0]));
    const symmetric = await new SignJWT({ ...CLAIMS, iss: issuer.url })
      .setProtectedHeader({ alg: "HS256", kid: issuer.keys.keys[0]!.kid! })
      .setExpirationTime(2e9)
      .sign(secret);
    await using impostor = await Issuer.start();
    const foreign = await impostor.token({ ...CLAIMS, iss: issuer.url }, clock.ms);
    const sameName = await impostor.token({ ...CLAIMS, iss: issuer.url }, clock.ms, { kid: issuer.keys.keys[0]!.kid! });
    const bad = [
      "",
      "x",
      "..",
      good.slice(0, -4),
      `${header}.${forged}.${signature}`,
      `${header}.${payload}.`,
      unsigned,
      symmetric,
    ];
    for (const token of [...bad, foreign, sameName, "a".repeat(100_000), `${good}${" ".repeat(20_000)}`]) {
      expect(await outcome(identityOf(jobs(), token))).toBe("nobody");
    }
    expect(await outcome(identityOf(jobs(), good))).not.toBe("nobody");
  });
});

describe("a token of a job that is good for longer here than it says", () => {
  const HOUR_MS = 3_600_000;

  test("is good from its issue on for so long, and no longer", async () => {
    const who = jobs({ lifetime: HOUR_MS });
    const token = await issuer.token(CLAIMS, clock.ms);
    const issuedAt = clock.ms;
    for (const [after, good] of [
      [0, true],
      [300_000, true],
      [HOUR_MS - 1, true],
      [HOUR_MS + 20_000, false],
    ] as const) {
      clock.ms = issuedAt + after;
      expect((await proofFor(who, token))?.expiresAt).toBe(good ? issuedAt + HOUR_MS : undefined);
    }
  });

  test("is one that has all else", async () => {
    const who = jobs({ lifetime: HOUR_MS });
    await using impostor = await Issuer.start();
    const old = { iat: clock.ms / 1000 - 600, nbf: clock.ms / 1000 - 600, exp: clock.ms / 1000 - 300 };
    expect(await outcome(identityOf(who, await issuer.token({ ...CLAIMS, ...old }, clock.ms)))).not.toBe("nobody");
    for (const wrong of [{ aud: "other" }, { repository: "octo/other" }, { iat: undefined }, { exp: undefined }]) {
      const token = await issuer.token({ ...CLAIMS, ...old, ...wrong } as JWTPayload, clock.ms);
      expect(await outcome(identityOf(who, token))).toBe("nobody");
    }
    const forged = await impostor.token({ ...CLAIMS, ...old, iss: issuer.url }, clock.ms);
    expect(await outcome(identityOf(who, forged))).toBe("nobody");
  });

  test("is still good for as long as it says, when that is longer", async () => {
    const who = jobs({ lifetime: 1000 });
    const token = await issuer.token(CLAIMS, clock.ms);
    clock.ms += 200_000;
    expect(await identityOf(who, token)).toBeDefined();
  });
});

describe("a rule about claims", () => {
  for (const [what, wanted, actual, fits] of [
    ["a text", { ref: "main" }, { ref: "main" }, true],
    ["a text of other letters", { ref: "main" }, { ref: "Main" }, false],
    ["a pattern", { ref: "refs/heads/*" }, { ref: "refs/heads/main" }, true],
    ["a pattern of one part", { ref: "refs/heads/*" }, { ref: "refs/heads/feature/x" }, false],
    ["a pattern of many parts", { ref: "refs/**" }, { ref: "refs/heads/feature/x" }, true],
    ["one of several", { environment: ["staging", "production"] }, { environment: "production" }, true],
    ["none of several", { environment: ["staging", "production"] }, { environment: "test" }, false],
    ["a list that has it", { groups: "ops" }, { groups: ["dev", "ops"] }, true],
    ["a list that has it not", { groups: "ops" }, { groups: ["dev"] }, false],
    ["an empty list", { groups: "ops" }, { groups: [] }, false],
    ["a number", { project_id: 42 }, { project_id: "42" }, true],
    ["a truth value", { ref_protected: true }, { ref_protected: "true" }, true],
    ["another truth value", { ref_protected: true }, { ref_protected: false }, false],
    [
      "what is in an object",
      { "kubernetes.io": { namespace: "ci" } },
      { "kubernetes.io": { namespace: "ci", pod: {} } },
      true,
    ],
    [
      "what is not in an object",
      { "kubernetes.io": { namespace: "ci" } },
      { "kubernetes.io": { namespace: "x" } },
      false,
    ],
    ["an object where there is a text", { "kubernetes.io": { namespace: "ci" } }, { "kubernetes.io": "ci" }, false],
    ["a text where there is an object", { ref: "[object Object]" }, { ref: {} }, false],
    ["nothing where there is null", { ref: "null" }, { ref: null }, false],
    ["what every object has", { toString: "x" }, {}, false],
    ["all of its claims", { ref: "main", repository: "octo/other" }, { ref: "main" }, false],
  ] as const) {
    test(`that wants ${what} ${fits ? "fits" : "does not fit"}`, async () => {
      const who = await identify(actual, ruleAbout(wanted));
      expect(who).toBe(fits ? `${CLAIMS.sub}@${issuerName()}` : "nobody");
    });
  }
});

describe("the keys of an issuer", () => {
  test("are fetched once for many tokens, and again after ten minutes", async () => {
    const who = jobs();
    for (let number = 0; number < 5; number++) await identityOf(who, await issuer.token(CLAIMS, clock.ms));
    expect(issuer.asked).toEqual(["/.well-known/openid-configuration", "/keys"]);
    clock.ms += 600_001;
    await identityOf(who, await issuer.token(CLAIMS, clock.ms));
    expect(issuer.asked).toHaveLength(4);
  });

  test("are fetched again when a token has another one, but not each time", async () => {
    const who = jobs();
    await identityOf(who, await issuer.token(CLAIMS, clock.ms));
    await issuer.rotate();
    clock.ms += 30_000;
    expect(await identityOf(who, await issuer.token(CLAIMS, clock.ms))).toBeDefined();
    expect(issuer.asked).toHaveLength(4);
    for (let number = 0; number < 5; number++) {
      const unknown = await issuer.token(CLAIMS, clock.ms, { kid: `made-up-${number}` });
      expect(await outcome(identityOf(who, unknown))).toBe("nobody");
    }
    expect(issuer.asked).toHaveLength(4);
  });

  test("that were withdrawn are not trusted any more", async () => {
    const who = jobs();
    const old = await issuer.token({ ...CLAIMS, exp: clock.ms / 1000 + 3600 }, clock.ms);
    expect(await identityOf(who, old)).toBeDefined();
    await issuer.rotate();
    clock.ms += 600_001;
    expect(await outcome(identityOf(who, old))).toBe("nobody");
  });

  test("that cannot be fetched authenticate no client: 503, and no request to the issuer for a while", async () => {
    issuer.isUp = false;
    const who = jobs();
    const token = await issuer.token(CLAIMS, clock.ms);
    for (let number = 0; number < 3; number++) expect(await outcome(identityOf(who, token))).toBe("UNAVAILABLE");
    expect(issuer.asked).toHaveLength(1);
    issuer.isUp = true;
    clock.ms += 30_000;
    expect(await identityOf(who, token)).toBeDefined();
  });

  test("that are known outlast an issuer that is down, for a day", async () => {
    const who = jobs();
    await identityOf(who, await issuer.token(CLAIMS, clock.ms));
    issuer.isUp = false;
    clock.ms += 86_400_000;
    expect(await identityOf(who, await issuer.token(CLAIMS, clock.ms))).toBeDefined();
    clock.ms += 1;
    expect(await outcome(identityOf(who, await issuer.token(CLAIMS, clock.ms)))).toBe("UNAVAILABLE");
  });

  test("are not taken from one that calls itself otherwise", async () => {
    const token = await issuer.token(CLAIMS, clock.ms);
    issuer.issuer = "https://other.example.com";
    expect(await outcome(identityOf(jobs(), token))).toBe("UNAVAILABLE");
  });

  for (const [what, unusable] of [
    ["no point of its curve", { kty: "EC", crv: "P-256", x: "AA", y: "AA" }],
    ["of an unknown curve", { kty: "EC", crv: "P-1", x: "AA", y: "AA" }],
    ["without its numbers", { kty: "RSA" }],
    ["with numbers of the wrong kind", { kty: "RSA", n: 7, e: {} }],
    ["too short for its algorithm", { kty: "RSA", n: Buffer.alloc(64, 255).toString("base64url"), e: "AQAB" }],
    ["a secret", { kty: "oct", k: "c2VjcmV0" }],
    ["for something else than signatures", { kty: "OKP", crv: "X25519", x: Buffer.alloc(32, 9).toString("base64url") }],
    ["of an unknown kind", { kty: "XYZ" }],
  ] as const) {
    test(`may be unusable (${what}): a token that names one is refused, and the others are good`, async () => {
      for (const alg of ["RS256", "ES256", "EdDSA"]) {
        issuer.alsoPublish({ ...unusable, kid: `bad ${alg}`, alg } as unknown as JWK);
      }
      const path = join(scratch, "unusable.json");
      await writeFile(path, JSON.stringify(issuer.keys));
      const seconds = clock.ms / 1000;
      for (const who of [jobs(), jobs({ jwks: path })]) {
        for (const alg of ["RS256", "ES256", "EdDSA"]) {
          const header = base64url({ alg, kid: `bad ${alg}` });
          const claims = base64url({ ...CLAIMS, iss: issuer.url, iat: seconds, exp: seconds + 300 });
          const named = `${header}.${claims}.${Buffer.alloc(64).toString("base64url")}`;
          expect(await outcome(identityOf(who, named))).toBe("nobody");
        }
        expect(await identityOf(who, await issuer.token(CLAIMS, clock.ms))).toBeDefined();
      }
    });
  }

  test("may lie in a file, which is read again when it changed", async () => {
    const path = join(scratch, "keys.json");
    await writeFile(path, JSON.stringify(issuer.keys));
    const who = jobs({ issuer: "https://kubernetes.default.svc", jwks: path });
    const claims = { ...CLAIMS, iss: "https://kubernetes.default.svc" };
    const old = await issuer.token(claims, clock.ms);
    expect(await identityOf(who, old)).toBeDefined();
    await issuer.rotate();
    await writeFile(path, JSON.stringify(issuer.keys));
    clock.ms += 1;
    expect(await outcome(identityOf(who, old))).toBe("nobody");
    expect(await identityOf(who, await issuer.token(claims, clock.ms))).toBeDefined();
    expect(issuer.asked).toEqual([]);
    await writeFile(path, "no keys");
    clock.ms += 1;
    expect(await outcome(identityOf(who, await issuer.token(claims, clock.ms)))).toBe("nobody");
  });
});

describe("a registry that trusts an issuer", () => {
  test("takes a job's token as the password of the user oidc, and of no other", async () => {
    await using subject = await AuthSubject.open(clock);
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins({ ...trusting([RULE]), users: { enabled: true } });
    const token = await issuer.token(CLAIMS, clock.ms);
    expect((await logins.login("oidc", token, ADDRESS))?.kind).toBe("job");
    expect(logins.cached("oidc", token)?.kind).toBe("job");
    expect(await outcome(logins.login("alice", token, ADDRESS))).toBe("nobody");
    expect(await outcome(logins.login("alice", "wonderland", ADDRESS))).toBe("alice");
  });

  test("says so when the htpasswd file has a user of that name, who cannot log in", async () => {
    await using subject = await AuthSubject.open(clock);
    const path = join(scratch, "oidc.htpasswd");
    await writeFile(path, `oidc:${await hashOf("looking-glass", "bcrypt")}\n`);
    const logins = subject.logins({ ...trusting([RULE]), htpasswd: { path } });
    expect(subject.lines).toMatchObject([{ msg: expect.stringContaining("the user oidc cannot log in") }]);
    expect(await outcome(logins.login("oidc", "looking-glass", ADDRESS))).toBe("nobody");
  });

  test("lets in as many jobs as come at once from one address, and keeps out none for what others sent", async () => {
    await using subject = await AuthSubject.open(clock);
    const logins = subject.logins(trusting([RULE]));
    const tokens = await Promise.all(
      Array.from({ length: 20 }, (_, job) => issuer.token({ ...CLAIMS, jti: `${job}` }, clock.ms)),
    );
    for (let wrong = 0; wrong < 20; wrong++) await logins.login("oidc", `wrong ${wrong}`, ADDRESS);
    const outcomes = await Promise.all(tokens.map((token) => outcome(logins.login("oidc", token, ADDRESS))));
    expect(new Set(outcomes)).toEqual(new Set([`${CLAIMS.sub}@${issuerName()}`]));
  });

  test("remembers a job no longer than its token is good", async () => {
    await using subject = await AuthSubject.open(clock);
    const logins = subject.logins(trusting([RULE]));
    const token = await issuer.token({ ...CLAIMS, exp: clock.ms / 1000 + 20 }, clock.ms);
    await logins.login("oidc", token, ADDRESS);
    clock.ms += 19_999;
    expect(logins.cached("oidc", token)).toBeDefined();
    clock.ms += 1;
    expect(logins.cached("oidc", token)).toBeUndefined();
  });

  test("holds what it issued to a job for good until the rules change", async () => {
    await using subject = await AuthSubject.open(clock);
    const [before, same, after] = [
      subject.logins(trusting([RULE])),
      subject.logins(trusting([RULE])),
      subject.logins(trusting([{ ...RULE, actions: ["pull"] }])),
    ];
    const job = (await before.login("oidc", await issuer.token(CLAIMS, clock.ms), ADDRESS))!;
    expect([await before.isCurrent(job), await same.isCurrent(job), await after.isCurrent(job)]).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("says in the log why a job that is who it says may do nothing", async () => {
    await using subject = await AuthSubject.open(clock);
    const logins = subject.logins(trusting([RULE]));
    const token = await issuer.token({ ...CLAIMS, repository: "octo/other" }, clock.ms);
    expect(await outcome(logins.login("oidc", token, ADDRESS))).toBe("nobody");
    expect(subject.lines.at(-1)).toMatchObject({
      level: 30,
      issuer: issuer.url,
      subject: CLAIMS.sub,
      reason: "claims",
    });
    expect(JSON.stringify(subject.lines)).not.toContain(token);
  });
});
