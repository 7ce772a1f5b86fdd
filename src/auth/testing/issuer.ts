/** An issuer of OIDC tokens, as CI systems have one: it signs them, and serves its keys on this machine. */
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import type { JWK, JWTPayload } from "jose";

type PrivateKey = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];

export class Issuer implements AsyncDisposable {
  /** What it calls itself; where it is, unless a test has it lie. */
  issuer: string;
  /** How often it was asked for what, by path. */
  readonly asked: string[] = [];
  /** Whether it answers. */
  isUp = true;
  readonly url: string;
  readonly #server: Bun.Server<undefined>;
  readonly #algorithm: string;
  #published: JWK[] = [];
  #current: { readonly kid: string; readonly key: PrivateKey } | undefined;

  private constructor(algorithm: string) {
    this.#algorithm = algorithm;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => this.#answer(new URL(request.url).pathname),
    });
    this.url = `http://127.0.0.1:${this.#server.port}`;
    this.issuer = this.url;
  }

  static async start(algorithm: string = "ES256"): Promise<Issuer> {
    const issuer = new Issuer(algorithm);
    await issuer.rotate();
    return issuer;
  }

  /** From now on another key signs; the old ones are no longer published. */
  async rotate(): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair(this.#algorithm);
    const kid = crypto.randomUUID();
    this.#published = [{ ...(await exportJWK(publicKey)), kid, use: "sig", alg: this.#algorithm }];
    this.#current = { kid, key: privateKey };
  }

  /** Publishes a key beside the one that signs, until the next rotation. */
  alsoPublish(key: JWK): void {
    this.#published.push(key);
  }

  get keys(): { readonly keys: readonly JWK[] } {
    return { keys: this.#published };
  }

  /** A token as the issuer gives it to a job, good for five minutes from `now` on; `claims` stand over everything. */
  async token(claims: JWTPayload, now: number, header: { readonly kid?: string } = {}): Promise<string> {
    const { kid, key } = this.#current!;
    const seconds = Math.floor(now / 1000);
    return await new SignJWT({
      iss: this.issuer,
      sub: "job",
      iat: seconds,
      nbf: seconds,
      exp: seconds + 300,
      ...claims,
    })
      .setProtectedHeader({ alg: this.#algorithm, typ: "JWT", kid, ...header })
      .sign(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #answer(path: string): Response {
    this.asked.push(path);
    if (!this.isUp) return new Response("down", { status: 503 });
    if (path === "/.well-known/openid-configuration") {
      return Response.json({ issuer: this.issuer, jwks_uri: `${this.url}/keys` });
    }
    return path === "/keys" ? Response.json(this.keys) : new Response("unknown", { status: 404 });
  }
}
