/** Real clients through the reverse proxies of docs/proxies.md, over TLS, with the configurations that stand there. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { request } from "node:https";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { parse } from "yaml";
import { Authority } from "../support/certificates.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { makeDataFolder } from "../support/data-folder.ts";
import { freePorts } from "../support/free-ports.ts";
import { runProgram } from "../support/program.ts";
import { startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { announce } from "./support/access.ts";
import { Client } from "./support/client.ts";
import { sumOf, writeRandomArchive } from "./support/image-files.ts";
import { ownAddress } from "./support/modes.ts";
import { writeSmallLayout } from "./support/oci-layout.ts";
import { run } from "./support/programs.ts";
import { PROXY_NAMES, settingsOfDocument, startProxy } from "./support/reverse-proxies.ts";
import type { ProxyName } from "./support/reverse-proxies.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";

const USER = { name: "pusher", password: "made for one run" };
const BASIC = `Basic ${Buffer.from(`${USER.name}:${USER.password}`).toString("base64")}`;

/** Larger than what a proxy keeps in memory. `STOWAGE_PROXY_BYTES` is for runs by hand. */
const LARGE_BYTES = Number(process.env["STOWAGE_PROXY_BYTES"] ?? 30 << 20);

interface Proxied {
  /** What clients name, such as `10.0.0.5:40123`. */
  readonly name: string;
  readonly address: string;
  /** Of the authority, in PEM. */
  readonly ca: string;
  readonly registry: RunningRegistry;
}

/** A registry with an account, behind a proxy. `more` is what it finds in its environment besides. */
async function startBehind(
  proxy: ProxyName,
  resources: AsyncDisposableStack,
  more: Readonly<Record<string, string>> = {},
): Promise<Proxied> {
  const folder = resources.use(await makeScratchFolder()).path;
  const file = async (path: string, text: string): Promise<string> => {
    await writeFile(join(folder, path), text);
    return join(folder, path);
  };
  const address = ownAddress();
  const authority = new Authority("an authority for proxies");
  const { cert, key } = authority.issue("proxy", { names: [address] });
  const dataDir = join(folder, "data");
  await makeDataFolder(dataDir);
  const added = await runProgram(dataDir, ["user", "add", USER.name, "--password-stdin"], {}, USER.password);
  expect(added.exitCode).toBe(0);
  // Without http.host, so that every address in a response is made of the forwarded headers.
  const { http } = parse(settingsOfDocument()) as { readonly http: { readonly trustedproxies: unknown } };
  const env = {
    REGISTRY_AUTH_USERS_ENABLED: "true",
    REGISTRY_HTTP_TRUSTEDPROXIES: JSON.stringify(http.trustedproxies),
    ...more,
  };
  const registry = resources.use(await startRegistry({ dataDir, env }));
  const [port = 0] = await freePorts(1);
  const name = `${address}:${port}`;
  resources.use(
    await startProxy(proxy, {
      registryPort: registry.port,
      address,
      port,
      folder,
      certificate: await file("proxy.crt", cert),
      key: await file("proxy.key", key),
      both: await file("proxy.pem", cert + key),
    }),
  );
  announce(name, { user: USER, tls: { ca: await file("ca.crt", authority.cert), containerd: "" } });
  return { name, address, ca: authority.cert, registry };
}

for (const proxy of PROXY_NAMES) {
  describe(`behind ${proxy}`, () => {
    const resources = new AsyncDisposableStack();
    let name: string;
    let ca: string;
    let address: string;
    let registry: RunningRegistry;
    let crane: Client;

    beforeAll(async () => {
      ({ name, ca, address, registry } = await startBehind(proxy, resources));
      crane = resources.use(await Client.of("crane", { name }));
    });
    afterAll(() => resources.disposeAsync());

    const send = (path: string, options: SendOptions = {}): Promise<Reply> =>
      sendTo(`https://${name}${path}`, ca, options);

    test("a large image that crane pushed comes back whole", async () => {
      const archive = await writeRandomArchive(crane.folder, LARGE_BYTES);
      await crane.run("append", "--new_layer", archive.tar, "--new_tag", `${name}/team/app:v1`);
      await crane.run("tag", `${name}/team/app:v1`, "v2");
      expect(await crane.says("ls", `${name}/team/app`)).toBe("v1\nv2");
      expect(await crane.says("validate", "--remote", `${name}/team/app:v1`)).toContain("PASS");
      await crane.run("export", `${name}/team/app:v1`, crane.file("exported.tar"));
      await run("tar", ["-C", crane.folder, "-xf", crane.file("exported.tar"), archive.name]);
      expect(await sumOf(crane.file(archive.name))).toBe(archive.sum);
    });

    test("regctl uploads in chunks", async () => {
      await using regctl = await Client.of("regctl", { name });
      const manifest = await writeSmallLayout(name, regctl.file("layout"));
      await regctl.run("registry", "set", name, "--blob-max", "50000", "--blob-chunk", "50000");
      await regctl.run("image", "copy", "ocidir://layout:one", `${name}/team/chunks:v1`);
      const chunks = registry
        .output()
        .split("\n")
        .filter((line) => line.includes('"PATCH"'));
      expect(chunks.length).toBeGreaterThan(1);
      expect(await regctl.says("image", "digest", `${name}/team/chunks:v1`)).toBe(digestOf(manifest));
    });

    test("addresses in responses lead to the proxy, whatever forwarded headers the client sends", async () => {
      const forged = {
        forwarded: "for=198.51.100.7;host=evil.example;proto=http",
        "x-forwarded-for": "198.51.100.7",
        "x-forwarded-host": "evil.example",
        "x-forwarded-port": "99",
        "x-forwarded-proto": "http",
      };
      for (const headers of [{}, forged]) {
        const ping = await send("/v2/", { headers });
        expect([ping.status, ping.headers["www-authenticate"]]).toEqual([
          401,
          expect.stringContaining(`realm="https://${name}/token"`),
        ]);
        const begun = await send("/v2/team/app/blobs/uploads/", {
          method: "POST",
          headers: { authorization: BASIC, ...headers },
        });
        const location = new URL(begun.headers.location ?? "", `https://${name}`);
        expect([begun.status, location.origin]).toEqual([202, `https://${name}`]);
        const finished = await send(`${location.pathname}?digest=${digestOf("x")}`, {
          method: "PUT",
          headers: { authorization: BASIC, ...headers },
          body: "x",
        });
        expect(finished.status).toBe(201);
        const page = await send("/v2/team/app/tags/list?n=1", { headers: { authorization: BASIC, ...headers } });
        const [, next = ""] = /^<(.+)>; rel="next"$/.exec(String(page.headers["link"])) ?? [];
        expect(new URL(next, `https://${name}`).origin).toBe(`https://${name}`);
      }
      const addresses = registry
        .output()
        .matchAll(/"http\.request\.remoteaddr":"([^"]+)"/g)
        .map(([, found = ""]) => found);
      expect([...new Set(addresses)].filter((found) => !found.startsWith("127.0.0.1"))).toEqual([address]);
    });

    test("a registry below a path has that path in its addresses", async () => {
      await using below = new AsyncDisposableStack();
      const other = await startBehind(proxy, below, { REGISTRY_HTTP_PREFIX: "/images/" });
      const headers = { authorization: BASIC };
      const root = `https://${other.name}`;
      const ping = await sendTo(`${root}/images/v2/`, other.ca, {});
      expect(ping.headers["www-authenticate"]).toContain(`realm="${root}/images/token"`);
      const uploads = `${root}/images/v2/team/app/blobs/uploads/`;
      const begun = await sendTo(uploads, other.ca, { method: "POST", headers });
      const location = new URL(begun.headers.location ?? "", root);
      expect(location.href).toStartWith(uploads);
      location.searchParams.set("digest", digestOf("x"));
      expect((await sendTo(location.href, other.ca, { method: "PUT", headers, body: "x" })).status).toBe(201);
      const blob = await sendTo(`${root}/images/v2/team/app/blobs/${digestOf("x")}`, other.ca, { headers });
      expect(Buffer.from(blob.body).toString()).toBe("x");
    });

    test("a client that stops in the middle of an upload or a download holds up no others", async () => {
      const blob = bytesOf("stalled", 8 << 20);
      const pushed = await send(`/v2/team/stalled/blobs/uploads/?digest=${digestOf(blob)}`, {
        method: "POST",
        headers: { authorization: BASIC },
        body: blob,
      });
      expect(pushed.status).toBe(201);
      const stalled = await Promise.all(
        Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? readNothing(blob) : sendHalf())),
      );
      expect(await crane.says("digest", `${name}/team/app:v1`)).toStartWith("sha256:");
      const read = await send(`/v2/team/stalled/blobs/${digestOf(blob)}`, { headers: { authorization: BASIC } });
      expect(digestOf(read.body)).toBe(digestOf(blob));
      for (const stop of stalled) stop();
    });

    async function readNothing(blob: Uint8Array): Promise<() => void> {
      const asked = request(`https://${name}/v2/team/stalled/blobs/${digestOf(blob)}`, {
        agent: false,
        ca,
        headers: { authorization: BASIC },
      });
      asked.on("error", () => {}).end();
      const response = await new Promise<IncomingMessage>((resolve) => asked.once("response", resolve));
      response.on("error", () => {}).pause();
      return () => asked.destroy();
    }

    async function sendHalf(): Promise<() => void> {
      const begun = await send("/v2/team/stalled/blobs/uploads/", {
        method: "POST",
        headers: { authorization: BASIC },
      });
      const asked = request(new URL(begun.headers.location ?? "", `https://${name}`), {
        method: "PATCH",
        agent: false,
        ca,
        headers: { authorization: BASIC, "content-length": `${8 << 20}` },
      });
      asked.on("error", () => {});
      await new Promise((resolve) => asked.write(bytesOf("half", 4096), resolve));
      return () => asked.destroy();
    }
  });
}

interface SendOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

interface Reply {
  readonly status: number | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Sends a request on a connection of its own. */
async function sendTo(url: string, ca: string, { method = "GET", headers = {}, body }: SendOptions): Promise<Reply> {
  const asked = request(url, { method, headers, ca, agent: false });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    asked.once("response", resolve).once("error", reject).end(body);
  });
  const pieces: Buffer[] = await response.toArray();
  return { status: response.statusCode, headers: response.headers, body: new Uint8Array(Buffer.concat(pieces)) };
}
