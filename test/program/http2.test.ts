/** HTTP/2: who gets it, and that uploads and downloads are the same over it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectSecurely } from "node:tls";
import { Authority } from "../support/certificates.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const authority = new Authority();

let folder: string;
let files: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stowage-http2-"));
  const { cert, key } = authority.issue("registry", { names: ["127.0.0.1"] });
  files = { REGISTRY_HTTP_TLS_CERTIFICATE: join(folder, "tls.crt"), REGISTRY_HTTP_TLS_KEY: join(folder, "tls.key") };
  await writeFile(join(folder, "tls.crt"), cert);
  await writeFile(join(folder, "tls.key"), key);
});
afterAll(() => rm(folder, { recursive: true }));

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What the server chooses of the protocols that a client offers. */
function chosen(port: number, offered: readonly string[]): Promise<string | false | null> {
  return new Promise((resolve, reject) => {
    const socket = connectSecurely({ host: "127.0.0.1", port, ca: authority.cert, ALPNProtocols: [...offered] });
    socket.on("error", reject).on("secureConnect", () => {
      resolve(socket.alpnProtocol);
      socket.destroy();
    });
  });
}

/** A connection that speaks HTTP/2, closed at the end. */
class Session implements Disposable {
  readonly #session: ClientHttp2Session;

  constructor(url: string) {
    this.#session = connect(url, { ca: authority.cert });
    this.#session.on("error", () => undefined); // each of its streams tells it
  }

  ask(method: string, path: string, body?: Uint8Array, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ":method": method, ":path": path, ...headers });
      let received: IncomingHttpHeaders = {};
      const pieces: Buffer[] = [];
      stream.on("response", (answered) => (received = answered));
      stream.on("data", (piece: Buffer) => pieces.push(piece));
      stream.on("end", () =>
        resolve({ status: Number(received[":status"]), headers: received, body: Buffer.concat(pieces) }),
      );
      stream.on("error", reject);
      stream.end(body);
    });
  }

  /** Sends a piece of a body and then resets the stream. */
  async breakOff(method: string, path: string, piece: Uint8Array): Promise<void> {
    const stream = this.#session.request({ ":method": method, ":path": path });
    const closed = new Promise((resolve) => stream.on("close", resolve));
    stream.on("error", () => undefined); // that is what we do to it
    await new Promise((resolve) => stream.write(piece, resolve));
    await this.ask("GET", "/v2/"); // on the same connection: the piece went before it
    stream.close(8);
    await closed;
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** Pushes a blob and pulls it, whole and in part, many at once. */
async function expectToServeBlobs(session: Session): Promise<void> {
  const rounds = Array.from({ length: 8 }, async (_, round) => {
    const content = randomBytes(round * 300_000 + 1);
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    const begun = await session.ask("POST", "/v2/team/app/blobs/uploads/");
    expect(begun.status).toBe(202);
    const location = String(begun.headers["location"]);
    const stored = await session.ask("PUT", `${location}?digest=${digest}`, content);
    expect(stored.status).toBe(201);
    const path = `/v2/team/app/blobs/${digest}`;
    const whole = await session.ask("GET", path);
    expect(whole.headers["content-length"]).toBe(String(content.length));
    expect(whole.body.equals(content)).toBeTrue();
    const part = await session.ask("GET", path, undefined, { range: "bytes=0-99" });
    expect(part.status).toBe(206);
    expect(part.body.equals(content.subarray(0, 100))).toBeTrue();
    const head = await session.ask("HEAD", path);
    expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, String(content.length), 0]);
  });
  await Promise.all(rounds);
}

describe("HTTP/2", () => {
  test("is spoken with those who offer it over TLS, and HTTP/1.1 with the others", async () => {
    await using server = await startListening({ env: files });
    expect(await chosen(server.port, ["h2", "http/1.1"])).toBe("h2");
    expect(await chosen(server.port, ["http/1.1"])).not.toBe("h2");
    const plain = await fetch(`${server.url}/v2/`, { tls: { ca: authority.cert } } as RequestInit);
    expect(plain.status).toBe(200);
    using session = new Session(server.url);
    await expectToServeBlobs(session);
  });

  test("keeps what arrived of a stream that breaks off, as HTTP/1.1 does", async () => {
    await using server = await startListening({ env: files });
    using session = new Session(server.url);
    const begun = await session.ask("POST", "/v2/team/app/blobs/uploads/");
    const location = String(begun.headers["location"]);
    await session.breakOff("PATCH", location, randomBytes(20_000));
    // What is left of the request ends in its own time: until then the upload is claimed.
    let after = await session.ask("PATCH", location, new Uint8Array());
    while (after.status === 409) after = await session.ask("PATCH", location, new Uint8Array());
    expect([after.status, after.headers["range"]]).toEqual([202, "0-19999"]);
  });

  test("tells a refusal to a client that is still sending", async () => {
    await using server = await startListening({ env: files });
    using session = new Session(server.url);
    const refused = await session.ask("PUT", "/v2/team/app/manifests/latest", randomBytes(3_000_000));
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.body.toString())).toMatchObject({ errors: [{ code: "MANIFEST_INVALID" }] });
  });

  test("can be switched off", async () => {
    await using server = await startListening({ env: { ...files, REGISTRY_HTTP_HTTP2_DISABLED: "true" } });
    expect(await chosen(server.port, ["h2", "http/1.1"])).not.toBe("h2");
  });

  test("is spoken in the clear only where that is switched on", async () => {
    await using clear = await startListening({ env: { REGISTRY_HTTP_H2C_ENABLED: "true" } });
    using session = new Session(clear.url);
    await expectToServeBlobs(session);
    expect((await fetch(`${clear.url}/v2/`)).status).toBe(200);
    await using usual = await startListening();
    using refused = new Session(usual.url);
    await expect(refused.ask("GET", "/v2/")).rejects.toThrow();
  });
});
