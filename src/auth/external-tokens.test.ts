/** Tokens of another server: whose keys are trusted by which way, and which tokens are not good. */
import { beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate, createHash, createPublicKey } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SignJWT, UnsecuredJWT, calculateJwkThumbprint, exportJWK, generateKeyPair, importPKCS8 } from "jose";
import type { JWK, JWSHeaderParameters } from "jose";
import { Authority } from "../../test/support/certificates.ts";
import type { Issued } from "../../test/support/certificates.ts";
import { scratchFolder } from "../../test/support/scratch.ts";
import { ExternalTokenVerifier } from "./external-tokens.ts";
import type { ExternalTokenSettings } from "./external-tokens.ts";
import { StillClock, readableLog } from "./testing/subject.ts";
import { proofOf } from "./testing/verdicts.ts";
import type { Proof } from "./verifier.ts";

type Key = Parameters<SignJWT["sign"]>[0];

const scratch = await scratchFolder();
const clock = new StillClock(Date.now());
const ACCESS = [{ type: "repository", name: "team/app", actions: ["pull", "push"] }];

let own: { readonly key: Key; readonly jwk: JWK };
const root = new Authority("root");
const signer = root.issue("token server");
let files = 0;

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  own = { key: privateKey, jwk: { ...(await exportJWK(publicKey)), kid: "own" } };
});

async function file(content: string): Promise<string> {
  const path = join(scratch, `file-${files++}`);
  await writeFile(path, content);
  return path;
}

function tokens(settings: Partial<ExternalTokenSettings>): ExternalTokenVerifier {
  const { log } = readableLog();
  const given: ExternalTokenSettings = {
    realm: "https://auth.example.com/token",
    service: "registry",
    issuer: "auth",
    signingalgorithms: ["ES256", "RS256"],
    autoredirect: false,
    autoredirectpath: "/auth/token",
    ...settings,
  };
  return new ExternalTokenVerifier(given, clock, log);
}

/** Undefined when it is not good. */
function verify(verifier: ExternalTokenVerifier, token: string): Promise<Proof | undefined> {
  return proofOf(verifier.verify({ kind: "bearer", token }));
}

async function signed(
  key: Key,
  header: Omit<JWSHeaderParameters, "alg"> & { readonly alg?: string },
  claims: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const seconds = Math.floor(clock.ms / 1000);
  const all = {
    iss: "auth",
    aud: "registry",
    sub: "alice",
    iat: seconds,
    nbf: seconds,
    exp: seconds + 300,
    access: ACCESS,
    ...claims,
  };
  return await new SignJWT(all).setProtectedHeader({ alg: "ES256", typ: "JWT", ...header }).sign(key);
}

async function withSet(claims: Readonly<Record<string, unknown>> = {}, settings: Partial<ExternalTokenSettings> = {}) {
  const jwks = await file(JSON.stringify({ keys: [own.jwk] }));
  return await verify(tokens({ jwks, ...settings }), await signed(own.key, { kid: "own" }, claims));
}

function keyOf({ key }: Issued): Promise<Key> {
  return importPKCS8(key, "ES256");
}

function der(pem: string): string {
  return new X509Certificate(pem).raw.toString("base64");
}

describe("a token of another server", () => {
  test("names the principal and what it may do, until it expires", async () => {
    const exp = Math.floor(clock.ms / 1000) + 300;
    expect(await withSet({ exp })).toMatchObject({
      principal: { kind: "user", name: "alice", groups: [], generation: "external" },
      access: ACCESS,
      expiresAt: (exp + 60) * 1000,
    });
  });

  test("may be anonymous, and may allow nothing", async () => {
    expect(await withSet({ sub: "", access: undefined })).toMatchObject({ principal: undefined, access: [] });
    expect((await withSet({ access: "all" }))?.access).toEqual([]);
    const odd = [
      null,
      1,
      "pull",
      {},
      { type: "repository", name: "x" },
      { type: "repository", name: "x", actions: [1] },
    ];
    expect((await withSet({ access: [...odd, ...ACCESS] }))?.access).toEqual(ACCESS);
  });

  test("may be a minute off", async () => {
    const seconds = Math.floor(clock.ms / 1000);
    expect(await withSet({ nbf: seconds + 59, exp: seconds - 59, iat: seconds + 59 })).toBeDefined();
  });

  const seconds = Math.floor(clock.ms / 1000);
  for (const [what, claims] of [
    ["of another issuer", { iss: "other" }],
    ["without an issuer", { iss: undefined }],
    ["for another service", { aud: "other" }],
    ["for no service", { aud: undefined }],
    ["that has expired", { exp: seconds - 61 }],
    ["that never expires", { exp: undefined }],
    ["that is not good yet", { nbf: seconds + 62 }],
    ["that says it will be issued", { iat: seconds + 62 }],
    ["with an iat that is no number", { iat: "now" }],
  ] as const) {
    test(`is not good ${what}`, async () => {
      expect(await withSet(claims)).toBeUndefined();
    });
  }

  test("is not good with an algorithm that the settings do not name", async () => {
    expect(await withSet({}, { signingalgorithms: ["RS256"] })).toBeUndefined();
  });

  test("is asked for where the settings say", () => {
    expect(tokens({})).toMatchObject({ realm: "https://auth.example.com/token", service: "registry" });
    expect(tokens({ autoredirect: true }).realm).toBe("/auth/token");
  });
});

describe("what a proof rests on", () => {
  test("is the files of keys and certificates: when one of them changes, it has to be verified again", async () => {
    const [jwks, rootcertbundle] = [await file(JSON.stringify({ keys: [own.jwk] })), await file(root.cert)];
    const verifier = tokens({ jwks, rootcertbundle });
    const token = await signed(own.key, { kid: "own" });
    let proof = await verify(verifier, token);
    const holds = async (): Promise<boolean | undefined> => {
      clock.ms += 1;
      return await proof?.basis.isAt(proof.generation);
    };
    expect(await holds()).toBeTrue();
    for (const [path, content] of [
      [rootcertbundle, `${root.cert}\n${signer.cert}`],
      [jwks, JSON.stringify({ keys: [{ ...own.jwk, kid: "other" }, own.jwk] })],
      [jwks, "no keys"],
    ] as const) {
      await writeFile(path, content);
      expect(await holds()).toBeFalse();
      proof = await verify(verifier, token);
      expect(proof !== undefined).toBe(content !== "no keys");
    }
  });

  test("is a certificate too, which ends before the token may", async () => {
    const until = new Date(Math.floor(clock.ms / 1000) * 1000 + 30_000);
    const short = root.issue("token server", { until });
    const verifier = tokens({ rootcertbundle: await file(root.cert) });
    const token = await signed(await keyOf(short), { x5c: [der(short.cert)] });
    expect((await verify(verifier, token))?.expiresAt).toBe(until.getTime());
  });
});

describe("the key of a token", () => {
  test("is one of a set, by the name that the set gives it or by its thumbprint", async () => {
    const verifier = tokens({ jwks: await file(JSON.stringify({ keys: [own.jwk] })) });
    for (const kid of ["own", await calculateJwkThumbprint(own.jwk)]) {
      expect(await verify(verifier, await signed(own.key, { kid }))).toBeDefined();
    }
    expect(await verify(verifier, await signed(own.key, { kid: "other" }))).toBeUndefined();
    expect(await verify(verifier, await signed(own.key, {}))).toBeUndefined();
  });

  test("is that of a certificate, by its thumbprint and by the name that older token servers give it", async () => {
    const verifier = tokens({ rootcertbundle: await file(`${root.cert}\n${signer.cert}`) });
    const key = await keyOf(signer);
    const publicKey = createPublicKey(signer.cert);
    const hash = createHash("sha256")
      .update(publicKey.export({ type: "spki", format: "der" }))
      .digest();
    const letters = base32(hash.subarray(0, 30));
    const libtrust = letters.match(/.{4}/g)!.join(":");
    expect(libtrust).toMatch(/^(?:[A-Z2-7]{4}:){11}[A-Z2-7]{4}$/);
    for (const kid of [libtrust, await calculateJwkThumbprint(publicKey.export({ format: "jwk" }))]) {
      expect(await verify(verifier, await signed(key, { kid }))).toBeDefined();
      expect(await verify(verifier, await signed(own.key, { kid }))).toBeUndefined();
    }
  });

  test("is that of a certificate which one of the bundle vouches for, through others or at once", async () => {
    const verifier = tokens({ rootcertbundle: await file(root.cert) });
    const between = new Authority("between", { parent: root });
    const below = between.issue("token server");
    expect(await verify(verifier, await signed(await keyOf(signer), { x5c: [der(signer.cert)] }))).toBeDefined();
    const chain = [der(below.cert), der(between.cert)];
    expect(await verify(verifier, await signed(await keyOf(below), { x5c: chain }))).toBeDefined();
    expect(await verify(verifier, await signed(await keyOf(below), { x5c: [...chain, der(root.cert)] }))).toBeDefined();
    expect(await verify(verifier, await signed(await keyOf(below), { x5c: chain.slice(0, 1) }))).toBeUndefined();
    expect(await verify(verifier, await signed(await keyOf(below), { x5c: chain.toReversed() }))).toBeUndefined();
  });

  test("is not that of a certificate without a trusted issuer, or outside its validity", async () => {
    const verifier = tokens({ rootcertbundle: await file(root.cert) });
    const foreign = new Authority("root").issue("token server");
    const usurper = new Authority("usurper", { parent: root, mayVouch: false });
    const child = usurper.issue("token server");
    const over = root.issue("over", { until: new Date(clock.ms - 1000) });
    const soon = root.issue("soon", { from: new Date(clock.ms + 60_000) });
    for (const [issued, chain] of [
      [foreign, [foreign.cert]],
      [foreign, [foreign.cert, root.cert]],
      [child, [child.cert, usurper.cert]],
      [over, [over.cert]],
      [soon, [soon.cert]],
    ] as const) {
      const token = await signed(await keyOf(issued), { x5c: chain.map(der) });
      expect(await verify(verifier, token)).toBeUndefined();
    }
    const key = await keyOf(signer);
    for (const x5c of [[], ["bad"], [""], Array<string>(9).fill(der(signer.cert)), "text" as unknown as string[]]) {
      expect(await verify(verifier, await signed(key, { x5c }).catch(() => "none"))).toBeUndefined();
    }
    // Another one's certificate, signed with a key of one's own.
    expect(await verify(verifier, await signed(own.key, { x5c: [der(signer.cert)] }))).toBeUndefined();
  });

  test("is never one that only the token itself knows", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    const jwk = await exportJWK(publicKey);
    const verifier = tokens({
      jwks: await file(JSON.stringify({ keys: [own.jwk] })),
      rootcertbundle: await file(root.cert),
    });
    expect(await verify(verifier, await signed(privateKey, { jwk }))).toBeUndefined();
    // Under the name of a key that is trusted (CVE-2025-24976 of distribution).
    expect(
      await verify(verifier, await signed(privateKey, { jwk: { ...jwk, kid: "own" }, kid: "own" })),
    ).toBeUndefined();
    expect(await verify(verifier, await signed(own.key, { jwk: own.jwk }))).toBeDefined();
  });

  test("is no secret, and no key at all", async () => {
    const secret = Buffer.from("a secret of at least thirty-two bytes");
    const oct = { kty: "oct", k: secret.toString("base64url"), kid: "secret" };
    const verifier = tokens({ jwks: await file(JSON.stringify({ keys: [oct, own.jwk] })) });
    expect(await verify(verifier, await signed(secret, { alg: "HS256", kid: "secret" }))).toBeUndefined();
    const asSecret = new TextEncoder().encode(JSON.stringify(own.jwk));
    expect(await verify(verifier, await signed(asSecret, { alg: "HS256", kid: "own" }))).toBeUndefined();
    const exp = Math.floor(clock.ms / 1000) + 300;
    const unsigned = new UnsecuredJWT({ iss: "auth", aud: "registry", exp, access: ACCESS }).encode();
    for (const token of [unsigned, "", "x", "..", "e30.e30.e30", "a.b.c"]) {
      expect(await verify(verifier, token)).toBeUndefined();
    }
  });

  test("is trusted beside others of kinds that are not understood, which are skipped", async () => {
    const odd = root.issue("odd", { curve: "P-224" });
    const off = { ...own.jwk, x: "AA", kid: "off" }; // no point of its curve
    const verifier = tokens({
      jwks: await file(JSON.stringify({ keys: [{ kty: "XYZ", kid: "odd" }, { kty: "RSA" }, null, off, own.jwk] })),
      rootcertbundle: await file(`${odd.cert}\n${root.cert}\n${signer.cert}`),
    });
    expect(await verify(verifier, await signed(own.key, { kid: "own" }))).toBeDefined();
    const kid = await calculateJwkThumbprint(createPublicKey(signer.cert).export({ format: "jwk" }));
    expect(await verify(verifier, await signed(await keyOf(signer), { kid }))).toBeDefined();
    for (const header of [{ kid: "odd" }, { kid: "off" }, { x5c: [der(odd.cert)] }]) {
      expect(await verify(verifier, await signed(own.key, header))).toBeUndefined();
    }
  });

  test("is read again when its file changed, and no token is trusted by a file that is not there", async () => {
    const path = await file(JSON.stringify({ keys: [own.jwk] }));
    const verifier = tokens({ jwks: path });
    const token = await signed(own.key, { kid: "own" });
    expect(await verify(verifier, token)).toBeDefined();
    await writeFile(path, JSON.stringify({ keys: [] }));
    clock.ms += 1;
    expect(await verify(verifier, token)).toBeUndefined();
    for (const broken of ["no JSON", "{}", "[]"]) {
      await writeFile(path, broken);
      clock.ms += 1;
      expect(await verify(verifier, token)).toBeUndefined();
    }
    await writeFile(path, JSON.stringify({ keys: [own.jwk] }));
    clock.ms += 1;
    expect(await verify(verifier, token)).toBeDefined();
    expect(await verify(tokens({ jwks: join(scratch, "nowhere") }), token)).toBeUndefined();
    expect(await verify(tokens({ rootcertbundle: join(scratch, "nowhere") }), token)).toBeUndefined();
  });
});

/** RFC 4648, 6, of a whole number of groups. */
function base32(bytes: Uint8Array): string {
  let value = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  let text = "";
  for (let letter = 0; letter < (bytes.length * 8) / 5; letter++) {
    text = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[Number(value & 31n)] + text;
    value >>= 5n;
  }
  return text;
}
