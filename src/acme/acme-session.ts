/** Signed requests to the server of an authority (RFC 8555, 6). */
import type { KeyObject } from "node:crypto";
import { createPublicKey } from "node:crypto";
import { FlattenedSign } from "jose";
import { boundedText } from "../lib/bounded-text.ts";
import { AcmeError, problemText } from "./acme-error.ts";
import type { Problem } from "./acme-error.ts";

const REQUEST_MS = 30_000;

/** The server may refuse a nonce at any time; a new one comes with the refusal. */
const NONCES_TRIED = 20;

/** More than any chain of certificates has. */
const MAX_BYTES = 1024 ** 2;

export interface Answer {
  readonly text: string;
  readonly headers: Headers;
}

export class AcmeSession {
  readonly #key: KeyObject;
  readonly #newNonce: string;
  readonly #signal: AbortSignal;
  #nonce: string | undefined;
  /** The account's address; until it is known, requests carry its public key instead. */
  account: string | undefined;

  constructor(key: KeyObject, newNonce: string, signal: AbortSignal) {
    this.#key = key;
    this.#newNonce = newNonce;
    this.#signal = signal;
  }

  /** Without a payload the resource is only read. Rejects with `AcmeError`. */
  async post(url: string, payload?: unknown): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      const body = await this.#signed(url, payload === undefined ? "" : JSON.stringify(payload));
      const { response, text } = await request(url, this.#signal, {
        method: "POST",
        headers: { "content-type": "application/jose+json" },
        body,
      });
      this.#nonce = response.headers.get("replay-nonce") ?? undefined;
      if (response.ok) return { text, headers: response.headers };
      const problem = problemIn(text);
      if (problem.type === "urn:ietf:params:acme:error:badNonce" && tries < NONCES_TRIED) continue;
      throw new AcmeError(
        response.status >= 500 ? "unreachable" : "refused",
        `${new URL(url).host} answered ${response.status}: ${problemText(problem)}`,
      );
    }
  }

  async #signed(url: string, payload: string): Promise<string> {
    const nonce = this.#nonce ?? (await this.#freshNonce());
    this.#nonce = undefined; // each is good for once
    const who = this.account === undefined ? { jwk: publicJwk(this.#key) } : { kid: this.account };
    const signed = await new FlattenedSign(Buffer.from(payload))
      .setProtectedHeader({ alg: "ES256", nonce, url, ...who })
      .sign(this.#key);
    return JSON.stringify(signed);
  }

  async #freshNonce(): Promise<string> {
    const { response } = await request(this.#newNonce, this.#signal, { method: "HEAD" });
    const nonce = response.headers.get("replay-nonce");
    if (nonce === null) throw new AcmeError("refused", `${this.#newNonce} returned no nonce`);
    return nonce;
  }
}

export function publicJwk(key: KeyObject): Record<string, string> {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: "jwk" });
  return { kty, crv, x, y } as Record<string, string>;
}

/** Rejects with `AcmeError` when the server does not respond. */
export async function request(
  url: string,
  signal: AbortSignal,
  init: RequestInit = {},
): Promise<{ readonly response: Response; readonly text: string }> {
  try {
    const response = await fetch(url, {
      ...init,
      headers: { "user-agent": "stowage", ...(init.headers as Record<string, string> | undefined) },
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
    });
    return { response, text: await boundedText(response.body, MAX_BYTES, "it") };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AcmeError("unreachable", `${url} cannot be reached: ${reason}`, { cause: error });
  }
}

function problemIn(text: string): Problem {
  try {
    return JSON.parse(text) as Problem;
  } catch {
    return {}; // something in between answered
  }
}
