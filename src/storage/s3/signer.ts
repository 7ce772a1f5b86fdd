/** Signatures of requests to S3 (AWS Signature Version 4). */
import { createHash, createHmac } from "node:crypto";
import type { Hash, Hmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { systemClock } from "../../lib/clock.ts";
import type { CredentialProvider } from "./credentials.ts";

/** Seconds for which a presigned address may be used, at most: credentials that expire earlier end it. */
const PRESIGNED_SECONDS = 20 * 60;

/** The least that a client needs to follow a redirect. */
const LEAST_SECONDS = 30;

/**
 * By how many milliseconds the clocks of S3 and of this machine may differ before signatures take that into account: S3 refuses
 * requests that were signed more than 15 minutes ago, or will be.
 */
const LEAST_SKEW_MS = 60_000;

/** The bytes are not hashed a second time: TLS protects them on the way. */
const UNSIGNED = "UNSIGNED-PAYLOAD";

/** As the signer calls the hash of the runtime. */
class Sha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secretOf(secret));
  }

  update(data: Uint8Array | string): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {}
}

export interface SignedParts {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

export class Signer {
  readonly #signer: SignatureV4;
  readonly #credentials: CredentialProvider;
  /** S3's time less that of this machine. */
  #skewMs = 0;

  constructor(region: string, credentials: CredentialProvider) {
    this.#credentials = credentials;
    this.#signer = new SignatureV4({
      service: "s3",
      region,
      credentials: () => keysOf(credentials),
      sha256: Sha256,
      uriEscapePath: false,
    });
  }

  /**
   * Takes the time of S3 from the `Date` of an answer. Returns whether the clock of this machine proved wrong: a request that
   * was signed before is to be signed again.
   */
  learn(date: string | null): boolean {
    const skewMs = Date.parse(date ?? "") - systemClock.now();
    if (Number.isNaN(skewMs) || Math.abs(skewMs - this.#skewMs) < LEAST_SKEW_MS) return false;
    this.#skewMs = skewMs;
    return true;
  }

  /** Returns the headers of the request with its signature. */
  async sign(request: SignedParts): Promise<Record<string, string>> {
    const { headers } = await this.#signer.sign(unsigned(request), { signingDate: new Date(this.#now()) });
    const { host: _, ...others } = headers; // fetch writes it
    return others;
  }

  /** Returns a presigned address for GET, which is valid for a while without credentials. */
  async presign(url: URL): Promise<URL> {
    const { expiration } = await this.#credentials();
    const left = expiration ? Math.floor((expiration.getTime() - this.#now()) / 1000) : Infinity;
    const expiresIn = Math.max(LEAST_SECONDS, Math.min(PRESIGNED_SECONDS, left));
    const { query } = await this.#signer.presign(unsigned({ method: "GET", url, headers: {} }), {
      expiresIn,
      signingDate: new Date(this.#now()),
    });
    const signed = new URL(url);
    signed.search = Object.entries(query ?? {})
      .map(([name, value]) => `${encode(name)}=${encode(String(value))}`)
      .join("&");
    return signed;
  }

  /** What time it is for S3. */
  #now(): number {
    return systemClock.now() + this.#skewMs;
  }
}

function unsigned({ method, url, headers }: SignedParts) {
  const query: Record<string, string> = {};
  for (const [name, value] of url.searchParams) query[name] = value;
  return {
    method,
    protocol: url.protocol,
    hostname: url.hostname,
    ...(url.port === "" ? {} : { port: Number(url.port) }),
    path: url.pathname,
    query,
    headers: { ...headers, host: url.host, "x-amz-content-sha256": UNSIGNED },
  };
}

/** As the signature has it: `URLSearchParams` writes a space as a plus. */
export function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

async function keysOf(credentials: CredentialProvider) {
  const { accessKeyId, secretAccessKey, sessionToken } = await credentials();
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function secretOf(secret: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof secret === "string") return secret;
  return ArrayBuffer.isView(secret)
    ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength)
    : new Uint8Array(secret);
}
