/** The program over TLS: certificates from files, clients with certificates, versions. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import type { ConnectionOptions, PeerCertificate } from "node:tls";
import { Authority } from "../support/certificates.ts";
import type { Issued } from "../support/certificates.ts";
import { refusedStart } from "../support/refused-start.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const authority = new Authority();
const clients = new Authority("an authority for clients");
const NAMES = ["127.0.0.1", "localhost"];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stowage-tls-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Settings for a certificate whose files have this name. */
async function serverWith(
  name: string,
  issued: Issued,
  more: Readonly<Record<string, string>> = {},
): Promise<Listening> {
  return await startListening({ env: { ...(await filesOf(name, issued)), ...more } });
}

async function filesOf(name: string, { cert, key }: Issued): Promise<Record<string, string>> {
  const [certificate, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  await writeFile(certificate, cert);
  await writeFile(keyFile, key);
  return { REGISTRY_HTTP_TLS_CERTIFICATE: certificate, REGISTRY_HTTP_TLS_KEY: keyFile };
}

async function fileOf(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const get = (server: Listening, path: string, tls: object = {}): Promise<Response> =>
  fetch(`${server.url}${path}`, { tls: { ca: authority.cert, ...tls } } as RequestInit);

/** What a handshake comes to: what the server shows, or how it refused. */
function handshake(server: Listening, options: ConnectionOptions = {}): Promise<Agreed | "refused"> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: server.port, ca: authority.cert, ...options });
    const refused = (): void => resolve("refused");
    socket.on("error", refused).on("close", refused);
    // TLS 1.3 tells a client whose certificate is refused after the handshake: with what it answers to a request.
    socket.on("secureConnect", () => socket.write("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    socket.on("data", () => {
      resolve({ protocol: socket.getProtocol(), certificate: socket.getPeerCertificate() });
      socket.destroy();
    });
  });
}

interface Agreed {
  readonly protocol: string | null;
  readonly certificate: PeerCertificate;
}

describe("a server with a certificate", () => {
  test("says https, and serves everything with it", async () => {
    await using server = await serverWith("plain", authority.issue("registry", { names: NAMES }));
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(server.output()).not.toContain("ends on");
    expect((await get(server, "/v2/")).status).toBe(200);
    const pushed = await get(server, "/v2/team/app/tags/list");
    expect(pushed.status).toBe(404);
    expect(await handshake(server)).toMatchObject({ certificate: { subject: { CN: "registry" } } });
  });

  test("lets no client in that speaks in the clear, and goes on", async () => {
    await using server = await serverWith("clear", authority.issue("registry", { names: NAMES }));
    await expect(fetch(server.url.replace("https:", "http:"))).rejects.toThrow();
    expect((await get(server, "/v2/")).status).toBe(200);
  });

  test("takes over a new certificate by itself, and finishes what it has begun with the old one", async () => {
    await using server = await serverWith("renewed", authority.issue("old", { names: NAMES }), {
      REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0",
      REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true",
    });
    const [, debugUrl = ""] = await server.printed(/"debugUrl":"([^"]+)"/);
    const begun = await get(server, "/v2/team/app/blobs/uploads/", {});
    expect(begun.status).toBe(405);
    const { url } = server;
    const started = await fetch(`${url}/v2/team/app/blobs/uploads/`, {
      method: "POST",
      tls: { ca: authority.cert },
    } as RequestInit);
    const location = `${url}${started.headers.get("location")}`;
    const more = Promise.withResolvers<void>();
    const slow = fetch(location, {
      method: "PATCH",
      body: new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode("before "));
          await more.promise;
          controller.enqueue(new TextEncoder().encode("after"));
          controller.close();
        },
      }),
      tls: { ca: authority.cert },
    } as RequestInit);
    // A connection that is not accepted yet is closed with the old server.
    const isBegun = /^registry_http_in_flight_requests\{[^}]*upload[^}]*\} 1$/m;
    while (!isBegun.test(await (await fetch(`${debugUrl}/metrics`)).text())) await Bun.sleep(5);
    // As tools that renew do it: files beside them, then put into place one after the other.
    const { cert, key } = authority.issue("new", { names: NAMES });
    await rename(await fileOf("next.key", key), join(folder, "renewed.key"));
    await rename(await fileOf("next.crt", cert), join(folder, "renewed.crt"));
    await server.printed(/the certificate was read again/);
    expect(await handshake(server)).toMatchObject({ certificate: { subject: { CN: "new" } } });
    more.resolve();
    const patched = await slow;
    expect([patched.status, patched.headers.get("range")]).toEqual([202, "0-11"]);
    expect(await server.stop()).toBe(0);
  });

  test("keeps the one it has while the files are no good, and says so once", async () => {
    await using server = await serverWith("broken", authority.issue("good", { names: NAMES }));
    await writeFile(join(folder, "broken.key"), authority.issue("other").key);
    await server.printed(/the new certificate is not used.*broken\.key does not belong to|does not belong to/s);
    expect(await handshake(server)).toMatchObject({ certificate: { subject: { CN: "good" } } });
    const again = authority.issue("again", { names: NAMES });
    await filesOf("broken", again);
    await server.printed(/the certificate was read again/);
    expect(await handshake(server)).toMatchObject({ certificate: { subject: { CN: "again" } } });
    expect(server.output().match(/the new certificate is not used/g)?.length).toBe(1);
  });

  test("warns of one that ends soon, or has ended", async () => {
    const soon = new Date(Date.now() + 3 * 86_400_000);
    await using server = await serverWith("soon", authority.issue("soon", { names: NAMES, until: soon }));
    await server.printed(new RegExp(`ends on ${soon.toISOString().slice(0, 10)}`));
    await using late = await serverWith("late", authority.issue("late", { until: new Date(Date.now() - 3_600_000) }));
    await late.printed(/late\.crt ended on .*clients refuse it/);
  });

  test("shares its port with no other server", async () => {
    const issued = authority.issue("registry", { names: NAMES });
    await using server = await serverWith("alone", issued);
    const env = { ...(await filesOf("alone", issued)), REGISTRY_HTTP_ADDR: `127.0.0.1:${server.port}` };
    expect(await refusedStart({ env })).toContain("is in use");
    expect(await refusedStart({ env: { REGISTRY_HTTP_ADDR: `127.0.0.1:${server.port}` } })).toContain("is in use");
  });

  test("shares its port among its own workers, each of which takes over a new certificate", async () => {
    const issued = authority.issue("old", { names: NAMES });
    await using server = await serverWith("workers", issued, { REGISTRY_WORKERS: "2" });
    const shown = async (): Promise<Set<string>> => {
      const agreed = await Promise.all(Array.from({ length: 20 }, () => handshake(server)));
      return new Set(agreed.map((each) => (each === "refused" ? each : String(each.certificate.subject.CN))));
    };
    expect(await shown()).toEqual(new Set(["old"]));
    const env = await filesOf("workers", authority.issue("new", { names: NAMES }));
    await server.printed(/(?:the certificate was read again.*){2}/s);
    expect(await shown()).toEqual(new Set(["new"]));
    const taken = { ...env, REGISTRY_WORKERS: "2", REGISTRY_HTTP_ADDR: `127.0.0.1:${server.port}` };
    expect(await refusedStart({ env: taken })).toContain("is in use");
    expect(await server.stop()).toBe(0);
  });

  test("speaks TLS 1.2 and newer, or what it is told", async () => {
    const issued = authority.issue("registry", { names: NAMES });
    await using server = await serverWith("versions", issued);
    expect(await handshake(server, { maxVersion: "TLSv1.1", minVersion: "TLSv1" })).toBe("refused");
    expect(await handshake(server, { maxVersion: "TLSv1.2" })).toMatchObject({ protocol: "TLSv1.2" });
    expect(await handshake(server)).toMatchObject({ protocol: "TLSv1.3" });
    await using newest = await serverWith("versions", issued, { REGISTRY_HTTP_TLS_MINIMUMTLS: "tls1.3" });
    expect(await handshake(newest, { maxVersion: "TLSv1.2" })).toBe("refused");
    expect(await handshake(newest)).toMatchObject({ protocol: "TLSv1.3" });
  });

  test("uses the ciphers it is told before TLS 1.3", async () => {
    await using server = await serverWith("ciphers", authority.issue("registry", { names: NAMES }), {
      REGISTRY_HTTP_TLS_CIPHERSUITES: "[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384]",
    });
    const old = { maxVersion: "TLSv1.2" } as const;
    expect(await handshake(server, { ...old, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).not.toBe("refused");
    expect(await handshake(server, { ...old, ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" })).toBe("refused");
    expect(await handshake(server)).not.toBe("refused");
  });
});

describe("a server that asks clients for certificates", () => {
  const mine = clients.issue("builder");

  for (const http2 of ["true", "false"]) {
    test(`serves those with one of its authority, and no other (HTTP/2 ${http2 === "true" ? "off" : "on"})`, async () => {
      await using server = await serverWith("mutual", authority.issue("registry", { names: NAMES }), {
        REGISTRY_HTTP_TLS_CLIENTCAS: `[${await fileOf("clients.pem", clients.cert)}]`,
        REGISTRY_HTTP_HTTP2_DISABLED: http2,
      });
      expect((await get(server, "/v2/", mine)).status).toBe(200);
      const ended = clients.issue("ended", { until: new Date(Date.now() - 3_600_000) });
      const others = { none: {}, foreign: new Authority().issue("x"), self: authority.issue("y"), ended };
      for (const [name, other] of Object.entries(others)) {
        for (const ALPNProtocols of [["http/1.1"], ["h2"]]) {
          const options = { ...other, ALPNProtocols };
          expect({ name, result: await handshake(server, options) }).toEqual({ name, result: "refused" });
          expect(await handshake(server, { ...options, maxVersion: "TLSv1.2" })).toBe("refused");
        }
      }
      // Nothing of them was answered, nor even looked at.
      expect(server.output().match(/GET .*\/v2\//g)?.length).toBe(1);
      expect(await handshake(server, { ...mine, maxVersion: "TLSv1.2" })).not.toBe("refused");
    });
  }

  test("may ask without insisting", async () => {
    await using server = await serverWith("asking", authority.issue("registry", { names: NAMES }), {
      REGISTRY_HTTP_TLS_CLIENTCAS: `[${await fileOf("clients.pem", clients.cert)}]`,
      REGISTRY_HTTP_TLS_CLIENTAUTH: "request-client-cert",
    });
    expect((await get(server, "/v2/")).status).toBe(200);
    expect((await get(server, "/v2/", mine)).status).toBe(200);
  });
});

describe("a start is refused", () => {
  test("without the key, without the certificate, and with either that is no good", async () => {
    const issued = authority.issue("registry");
    const good = await filesOf("refused", issued);
    const { REGISTRY_HTTP_TLS_CERTIFICATE: certificate = "", REGISTRY_HTTP_TLS_KEY: key = "" } = good;
    const other = await fileOf("other.key", authority.issue("other").key);
    const text = await fileOf("text.pem", "not a certificate\n");
    const cases: readonly (readonly [env: Record<string, string>, message: string])[] = [
      [{ REGISTRY_HTTP_TLS_CERTIFICATE: certificate }, "http.tls.key is not set"],
      [{ REGISTRY_HTTP_TLS_KEY: key }, "http.tls.certificate is not set"],
      [{ REGISTRY_HTTP_TLS_CLIENTCAS: `[${certificate}]` }, "http.tls.certificate is not set"],
      [{ ...good, REGISTRY_HTTP_TLS_KEY: other }, `the key in ${other} does not belong to the certificate`],
      [{ ...good, REGISTRY_HTTP_TLS_KEY: `${folder}/none` }, `${folder}/none cannot be read: it does not exist`],
      [{ ...good, REGISTRY_HTTP_TLS_CERTIFICATE: text }, `${text} holds no certificate in PEM`],
      [{ ...good, REGISTRY_HTTP_TLS_KEY: text }, `${text} holds no key in PEM`],
      [{ ...good, REGISTRY_HTTP_TLS_CLIENTCAS: `[${text}]` }, `${text} holds no certificate in PEM`],
      [{ ...good, REGISTRY_HTTP_TLS_CLIENTAUTH: "verify-client-cert-if-given" }, "no other way"],
      [{ ...good, REGISTRY_HTTP_ADDR: `unix:${folder}/socket` }, "where TLS is not served"],
    ];
    for (const [env, message] of cases) expect(await refusedStart({ env })).toContain(message);
  }, 60_000);
});
