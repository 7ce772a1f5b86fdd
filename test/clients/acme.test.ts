/** Certificates from an authority, by ACME: the program against Pebble. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import type { PeerCertificate } from "node:tls";
import { refusedStart } from "../support/refused-start.ts";
import { freePorts } from "../support/free-ports.ts";
import { startListening, startProcess } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";
import { startPebble } from "./support/pebble.ts";
import type { Pebble } from "./support/pebble.ts";
import { until } from "./support/until.ts";

const NAME = "localhost";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stowage-acme-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A new folder for certificates. */
const freshCache = (): Promise<string> => mkdtemp(join(folder, "cache-"));

type Environment = Readonly<Record<string, string>>;

function settingsFor({ directory, challengePort, trust }: Reached, cachefile: string): Environment {
  return {
    NODE_EXTRA_CA_CERTS: trust,
    REGISTRY_HTTP_TLS_LETSENCRYPT_CACHEFILE: cachefile,
    REGISTRY_HTTP_TLS_LETSENCRYPT_EMAIL: "operator@example.com",
    REGISTRY_HTTP_TLS_LETSENCRYPT_HOSTS: `[${NAME}]`,
    REGISTRY_HTTP_TLS_LETSENCRYPT_DIRECTORYURL: directory,
    REGISTRY_HTTP_TLS_LETSENCRYPT_CHALLENGEADDR: `[::]:${challengePort}`,
  };
}

type Reached = Pick<Pebble, "directory" | "challengePort" | "trust">;

/** What the server shows to a client that trusts the authority; rejects when that client would not go on. */
async function shown({ port }: Listening, pebble: Pebble): Promise<PeerCertificate> {
  const ca = await pebble.root();
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, servername: NAME, ca });
    socket.on("error", reject).on("secureConnect", () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
  });
}

/** What leads port 80 to several servers: to the first that is up. */
function balancer(port: number, ports: readonly number[]): AsyncDisposable {
  const server = Bun.serve({
    port,
    async fetch({ url }) {
      for (const each of ports) {
        const to = new URL(url);
        to.port = String(each);
        const reply = await fetch(to, { redirect: "manual" }).catch(() => undefined);
        if (reply) return reply;
      }
      return new Response(null, { status: 502 });
    },
  });
  return { [Symbol.asyncDispose]: () => server.stop(true) };
}

/** The last line of a start that fails. */
async function lastLineOf(env: Environment): Promise<string> {
  await using server = await startProcess({ env });
  expect(await server.ended).toBe(1);
  return server.errors().trimEnd().split("\n").at(-1) ?? "";
}

describe("a server that gets its certificate by itself", () => {
  test("orders it at its first start, serves it, and orders no other at the second", async () => {
    await using pebble = await startPebble();
    const cache = await freshCache();
    const env = settingsFor(pebble, cache);
    let serial: string;
    {
      await using server = await startListening({ env });
      expect(server.url).toStartWith("https://");
      const certificate = await shown(server, pebble);
      expect(certificate.subjectaltname).toBe(`DNS:${NAME}`);
      serial = certificate.serialNumber;
      expect(server.output()).toContain("ordering the first certificate");
      expect(await server.stop()).toBe(0);
    }
    await using again = await startListening({ env });
    expect((await shown(again, pebble)).serialNumber).toBe(serial);
    expect(again.output()).not.toContain("ordering");
    expect(pebble.issued()).toBe(1);
    for (const entry of await readdir(cache, { recursive: true, withFileTypes: true })) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      expect(`${entry.name} ${(mode & 0o777).toString(8)}`).toBe(`${entry.name} ${entry.isFile() ? "600" : "700"}`);
    }
  });

  test("orders one, and no more, when two begin at once on the same folders", async () => {
    await using pebble = await startPebble();
    const cache = await freshCache();
    const env = settingsFor(pebble, cache);
    await using data = await startListening(); // whose folder both share
    const dataDir = data.dataDir;
    const ports = await freePorts(2);
    await using _balancer = balancer(pebble.challengePort, ports);
    const [one, two] = (await Promise.all(
      ports.map((port) => {
        const own = { REGISTRY_HTTP_TLS_LETSENCRYPT_CHALLENGEADDR: `127.0.0.1:${port}` };
        return startListening({ env: { ...env, ...own }, dataDir });
      }),
    )) as [Listening, Listening];
    await using _one = one;
    await using _two = two;
    expect((await shown(one, pebble)).serialNumber).toBe((await shown(two, pebble)).serialNumber);
    expect(pebble.issued()).toBe(1);
  });

  test("goes on when another one was killed while it ordered", async () => {
    await using pebble = await startPebble();
    const cache = await freshCache();
    const env = settingsFor(pebble, cache);
    await using killed = await startProcess({ env });
    await killed.printed(/ordering the first certificate/);
    killed.signal("SIGKILL");
    expect(await killed.ended).toBeNull();
    await using server = await startListening({ env, dataDir: killed.dataDir });
    expect(server.output()).toContain("waiting for the certificate");
    expect((await shown(server, pebble)).subjectaltname).toBe(`DNS:${NAME}`);
  });

  test("renews it before it ends, and takes it over without a restart", async () => {
    await using pebble = await startPebble({ lifeSeconds: 24 });
    await using server = await startListening({ env: settingsFor(pebble, await freshCache()) });
    const first = await shown(server, pebble);
    await until("another certificate is served", async () => {
      const now = await shown(server, pebble);
      return now.serialNumber !== first.serialNumber;
    });
    expect(server.output()).toContain("the certificate was renewed");
    // The same account had both.
    expect(
      pebble
        .output()
        .match(/There are now \d+ accounts? in memory/g)
        ?.at(-1),
    ).toMatch(/now 1 /);
  });

  test("says what is wrong when the authority's server is not there", async () => {
    const [port, challengePort] = await freePorts(2);
    const trust = join(folder, "nobody.pem");
    await writeFile(trust, "");
    const env = settingsFor(
      { directory: `https://127.0.0.1:${port}/dir`, challengePort: challengePort ?? 0, trust },
      await freshCache(),
    );
    // Tries to reach it are lines of the log; the last line says why the start ends.
    const message = await lastLineOf(env);
    expect(message).toStartWith(`stowage: http.tls.letsencrypt: no certificate for ${NAME}: `);
    expect(message).toContain(`https://127.0.0.1:${port}/dir cannot be reached`);
    expect(message).toContain(`port 80 reaches http://[::]:${challengePort}`);
  });

  test("stops when the authority refuses, and does not ask it again at once", async () => {
    await using pebble = await startPebble();
    const cache = await freshCache();
    const [elsewhere] = await freePorts(1);
    const env = {
      ...settingsFor(pebble, cache),
      REGISTRY_HTTP_TLS_LETSENCRYPT_CHALLENGEADDR: `127.0.0.1:${elsewhere}`, // where the authority does not ask
    };
    expect(await lastLineOf(env)).toContain(`: ${NAME} could not be validated: `);
    const asked = pebble.output().split("POST /order-plz").length;
    expect(await lastLineOf(env)).toMatch(/the last order failed \(.*to order at once, delete \S+failure\.json/);
    expect(pebble.output().split("POST /order-plz").length).toBe(asked);
  });
});

describe("the address where the authority asks", () => {
  test("sends those who ask for the registry to TLS, and answers nothing else", async () => {
    await using pebble = await startPebble();
    await using server = await startListening({
      env: { ...settingsFor(pebble, await freshCache()), REGISTRY_HTTP_HOST: "https://localhost:8443" },
    });
    expect(server.url).toStartWith("https://");
    const at = (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`http://127.0.0.1:${pebble.challengePort}${path}`, { redirect: "manual", ...init });
    const sent = await at("/v2/_catalog?n=3", { headers: { host: NAME } });
    expect([sent.status, sent.headers.get("location")]).toEqual([308, "https://localhost:8443/v2/_catalog?n=3"]);
    expect((await at("/v2/", { headers: { host: "evil.example" } })).status).toBe(404);
    expect((await at("/v2/", { method: "POST", headers: { host: NAME } })).status).toBe(404);
    for (const token of ["none", "", "..%2fcertificate.pem", "../certificate.pem", "a/b"]) {
      const answer = await at(`/.well-known/acme-challenge/${token}`, { headers: { host: "x" } });
      expect([token, answer.status, await answer.text()]).toEqual([token, 404, ""]);
    }
  });

  test("is one of its own: with a certificate of one's own beside it the program does not start", async () => {
    const env = settingsFor(
      { directory: "https://127.0.0.1:1/dir", challengePort: 0, trust: join(folder, "nobody.pem") },
      await freshCache(),
    );
    const message = await refusedStart({
      env: { ...env, REGISTRY_HTTP_TLS_CERTIFICATE: "a", REGISTRY_HTTP_TLS_KEY: "b" },
    });
    expect(message).toContain("http.tls has both letsencrypt and certificate");
  });
});
