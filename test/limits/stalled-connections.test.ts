/** Connections whose clients take nothing of a response are closed; those of clients that read slowly are not. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { connect } from "node:http2";
import { get } from "node:https";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createRegistry, pushImage } from "../../src/index.ts";
import type { Registry } from "../../src/index.ts";
import { silentLogger } from "../../src/observe/logger.ts";
import { LIMITS } from "../../src/server/http/limits.ts";
import type { Handler } from "../../src/server/http/handler.ts";
import type { TlsOptions } from "../../src/server/http/tls.ts";
import { listen } from "../../src/server/listen/listen.ts";
import { Authority } from "../support/certificates.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { scratchFolder } from "../support/scratch.ts";
import { askSilently } from "../support/silent-reader.ts";
import type { Protocol } from "../support/silent-reader.ts";

setDefaultTimeout(120_000);

const folder = await scratchFolder();
const [certificate, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];

/** More than the kernel takes of what is not read. */
const BLOB = bytesOf("layer", 20 * 1024 * 1024);

/** A manifest of 3.4 MB, which is sent from memory. */
let manifest: string;
const PATHS: Readonly<Record<"a blob" | "a manifest", () => string>> = {
  "a blob": () => `/v2/team/app/blobs/${digestOf(BLOB)}`,
  "a manifest": () => `/v2/team/app/manifests/${manifest}`,
};

let registry: Registry;
beforeAll(async () => {
  const issued = new Authority().issue("registry", { names: ["127.0.0.1"] });
  await writeFile(certificate, issued.cert);
  await writeFile(key, issued.key);
  registry = await createRegistry({ storage: { folder: join(folder, "data") } });
  const uploads = `http://registry/v2/team/app/blobs/uploads/?digest=${digestOf(BLOB)}`;
  expect((await registry.fetch(new Request(uploads, { method: "POST", body: BLOB }))).status).toBe(201);
  const annotations = { note: "x".repeat(3_400_000) };
  manifest = (await pushImage(registry.namespace, "team/app", { annotations })).digest;
});
afterAll(() => registry.close());

interface Served extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Resolves once the connection of a request was closed before its response was sent. */
  readonly broken: Promise<void>;
}

/** The registry on a port, where connections that take nothing are closed after `stallSeconds`, or little more. */
async function serve(isSecure: boolean, stallSeconds = 1): Promise<Served> {
  const address = { kind: "tcp", hostname: "127.0.0.1", port: 0 } as const;
  const sends = { ...LIMITS.sends, stallSeconds };
  const tls: TlsOptions = {
    certificate,
    key,
    clientCas: [],
    clientCertificateRequired: false,
    minimum: "tls1.2",
    ciphers: [],
  };
  const options = { http2: true, sends, ...(isSecure && { tls }) };
  const broken = Promise.withResolvers<void>();
  const handle: Handler = (request, ...rest) => {
    request.signal.addEventListener("abort", () => broken.resolve());
    return registry.handle(request, ...rest);
  };
  const listening = await listen(address, handle, { log: silentLogger() }, options);
  return {
    port: Number(new URL(listening.url).port),
    url: listening.url,
    broken: broken.promise,
    async [Symbol.asyncDispose]() {
      await listening.stop();
    },
  };
}

describe("a connection that takes nothing of a response is closed", () => {
  for (const isSecure of [false, true]) {
    for (const protocol of ["HTTP/1.1", "HTTP/2"] as const satisfies Protocol[]) {
      for (const [what, path] of Object.entries(PATHS)) {
        if (protocol === "HTTP/1.1" && what === "a manifest") continue; // the kernel takes all of it
        test(`over ${protocol}, ${isSecure ? "with TLS" : "in the clear"}, of ${what}`, async () => {
          await using server = await serve(isSecure);
          const options = { port: server.port, protocol, isSecure, connections: 1 };
          await using _readers = await askSilently([path()], options);
          await server.broken;
        });
      }
    }
  }
});

describe("a client that reads slowly gets all of a response", () => {
  test("over HTTP/1.1", async () => {
    await using server = await serve(true, STALL_SECONDS);
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    get(`${server.url}${PATHS["a blob"]()}`, { rejectUnauthorized: false, agent: false }, resolve).on("error", reject);
    const response = await promise;
    expect(response.statusCode).toBe(200);
    expect(await slowlyRead(response)).toBe(BLOB.length);
  });

  test("over HTTP/2", async () => {
    await using server = await serve(false, STALL_SECONDS);
    const session = connect(server.url);
    const stream = session.request({ ":path": PATHS["a blob"]() });
    expect(await slowlyRead(stream)).toBe(BLOB.length);
    session.destroy();
  });
});

/** Many of the pauses below: the kernel tells a sender only now and then that its bytes are taken. */
const STALL_SECONDS = 4;

/** Reads for longer than a connection may take nothing, with short pauses; gives how many bytes came. */
async function slowlyRead(body: Readable): Promise<number> {
  const [pauses, pauseMs] = [40, 250];
  let [size, paused] = [0, 0];
  for await (const piece of body as AsyncIterable<Buffer>) {
    size += piece.length;
    for (; paused < pauses && size >= (BLOB.length * paused) / pauses; paused++) await Bun.sleep(pauseMs);
  }
  return size;
}
