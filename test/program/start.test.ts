/** The start of a server: what it tells, where it listens, and what keeps it from starting. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import manifest from "../../package.json";
import { pushImage } from "../support/client.ts";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

/** As at a terminal. */
const TEXT = { REGISTRY_LOG_FORMATTER: "text" };

describe("the greeting", () => {
  test("says where it listens, where the data lies, and how to push", async () => {
    await using server = await startListening({ env: TEXT });
    const place = `127.0.0.1:${server.port}`;
    expect(server.port).toBeGreaterThan(0);
    expect(server.output()).toStartWith(`Stowage ${manifest.version}\n`);
    expect(server.output()).toContain(`Listening on http://${place}\n`);
    expect(server.output()).toContain(`Data folder: ${server.dataDir}\n`);
    await server.printed(new RegExp(`docker tag busybox ${place}/busybox && docker push ${place}/busybox\n`));
    expect(server.output()).not.toContain("insecure-registries");
  });

  test("beyond loopback says what docker needs, and who can do what", async () => {
    await using server = await startListening({ env: { ...TEXT, REGISTRY_HTTP_ADDR: "0.0.0.0:0" } });
    const [, line = ""] = await server.printed(/(\{ "insecure-registries": .*\})\n/);
    expect(JSON.parse(line)).toEqual({ "insecure-registries": [`THIS-MACHINE:${server.port}`] });
    await server.printed(/WARN: everyone who reaches/);
    expect(server.output()).toContain("plain HTTP");
    expect(server.output()).toContain(`docker push localhost:${server.port}/busybox`);
    expect((await fetch(`http://127.0.0.1:${server.port}/v2/`)).status).toBe(200);
  });
});

describe("an address", () => {
  for (const [address, url] of [
    ["[::1]:0", /^http:\/\/\[::1\]:\d+$/],
    ["localhost:0", /^http:\/\/localhost:\d+$/],
    [":0", /^http:\/\/0\.0\.0\.0:\d+$/],
  ] as const) {
    test(`${address} is listened on`, async () => {
      await using server = await startListening({ env: { REGISTRY_HTTP_ADDR: address } });
      expect(server.url).toMatch(url);
      const reachable = server.url.replace("0.0.0.0", "127.0.0.1");
      await pushImage(reachable, "team/app", "latest");
      expect((await fetch(`${reachable}/v2/team/app/manifests/latest`)).status).toBe(200);
    });
  }

  test("in use is refused", async () => {
    await using first = await startListening();
    const place = `127.0.0.1:${first.port}`;
    expect(await refusedStart({ env: { REGISTRY_HTTP_ADDR: place } })).toContain(`${place} is in use`);
    // Also by a second server of the same folder, which may be on another port.
    const same = { dataDir: first.dataDir, env: { REGISTRY_HTTP_ADDR: place } };
    expect(await refusedStart(same)).toContain(`${place} is in use`);
    expect((await fetch(`${first.url}/v2/`)).status).toBe(200);
  });

  test("that another program listens on is refused", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    try {
      const { port } = other.address() as AddressInfo;
      expect(await refusedStart({ env: { REGISTRY_HTTP_ADDR: `127.0.0.1:${port}` } })).toContain("is in use");
    } finally {
      other.close();
    }
  });

  test("that is not of this machine is refused", async () => {
    expect(await refusedStart({ env: { REGISTRY_HTTP_ADDR: "192.0.2.1:5000" } })).toContain(
      "192.0.2.1:5000 is not an address of this machine",
    );
  });
});

describe("an address that cannot be had", () => {
  for (const [address, said] of [
    ["nosuchhost.invalid:5000", "nosuchhost.invalid is not a name of this machine"],
    ["unix:/nowhere/registry.sock", "there is no folder /nowhere"],
    [`unix:/tmp/${"x".repeat(200)}`, "its path is too long"],
  ] as const) {
    test(`is told in plain words, with the option and the variable: ${address}`, async () => {
      const message = await refusedStart({ env: { REGISTRY_HTTP_ADDR: address } });
      expect(message).toStartWith("stowage: http.addr: ");
      expect(message).toContain(said);
      expect(message).toEndWith("(--addr, REGISTRY_HTTP_ADDR)\n");
      expect(message).not.toMatch(/\bE[A-Z]{5,}\b/);
    });
  }

  test.skipIf(process.getuid?.() !== 0)("because its port takes a right that is not there", async () => {
    const wrapper = ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps=-net_bind_service"];
    const message = await refusedStart({ env: { REGISTRY_HTTP_ADDR: "127.0.0.1:81" }, wrapper });
    expect(message).toMatch(/listening on 127\.0\.0\.1:81 is not allowed: choose a port above 1023.*--addr/);
  });
});

describe("what can only be meant otherwise", () => {
  test("is said in the log: settings of TLS without a certificate, and an empty list of users", async () => {
    await using server = await startListening({
      env: { REGISTRY_HTTP_TLS_MINIMUMTLS: "tls1.3", REGISTRY_AUTH_USERS_ENABLED: "true" },
    });
    await server.printed(/"level":"warn".*http\.tls\.minimumtls: ignored, because there is no TLS/);
    await server.printed(/"level":"warn".*auth\.users\.enabled: there are no users and no robots/);
  });

  test("stops the start: an htpasswd file that is a folder, and a bundle that is not there", async () => {
    const token = { REGISTRY_AUTH_TOKEN_REALM: "https://a.example/token", REGISTRY_AUTH_TOKEN_ISSUER: "a" };
    for (const [env, said] of [
      [{ REGISTRY_AUTH_HTPASSWD_PATH: "/tmp" }, "auth.htpasswd.path: /tmp cannot be read: it is a folder"],
      [
        { ...token, REGISTRY_AUTH_TOKEN_SERVICE: "r", REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: "/nowhere.pem" },
        "auth.token.rootcertbundle: /nowhere.pem cannot be read: it does not exist",
      ],
    ] as const) {
      expect(await refusedStart({ env })).toContain(said);
    }
  });
});

describe("what people and probes see", () => {
  test("a person who opens the address is told in plain words what it is and what to do", async () => {
    await using server = await startListening();
    const page = await fetch(server.url);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    const text = await page.text();
    expect(text).toContain(`Stowage ${manifest.version}`);
    expect(text).toContain(`docker push 127.0.0.1:${server.port}/IMAGE`);
    expect(text).not.toContain(server.dataDir);
  });

  test("probes are told that it lives, and that it can serve", async () => {
    await using server = await startListening();
    for (const path of ["/healthz", "/readyz"]) {
      const reply = await fetch(server.url + path);
      expect([path, reply.status, reply.headers.get("content-type")]).toEqual([path, 200, "application/json"]);
      expect(await reply.json()).toEqual({ status: path === "/healthz" ? "ok" : "ready" });
      expect((await fetch(server.url + path, { method: "HEAD" })).status).toBe(200);
    }
  });

  test("a server whose storage went lives, and is not ready", async () => {
    await using server = await startListening();
    await Bun.$`rm -r ${server.dataDir}/uploads`.quiet();
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    const reply = await fetch(`${server.url}/readyz`);
    expect(reply.status).toBeGreaterThanOrEqual(500);
    expect(await reply.text()).not.toContain(server.dataDir);
  });

  test("each request is a line of the log that a machine can read", async () => {
    await using server = await startListening();
    await fetch(`${server.url}/v2/`, { headers: { "user-agent": "a test" } });
    const [line] = await server.printed(/^\{.*"a test".*\}$/m);
    expect(JSON.parse(line)).toMatchObject({
      level: "info",
      "http.request.method": "GET",
      "http.request.uri": "/v2/",
      "http.request.useragent": "a test",
      "http.response.status": 200,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
  });
});

describe("the folder that the program is started in", () => {
  for (const workers of ["1", "2"]) {
    test(`runs no code and makes no settings: bunfig.toml and .env (workers: ${workers})`, async () => {
      const cwd = await scratchFolder();
      await writeFile(join(cwd, "bunfig.toml"), 'preload = ["./preloaded.ts"]\n');
      await writeFile(join(cwd, "preloaded.ts"), 'console.log("preloaded");\n');
      await writeFile(join(cwd, ".env"), "REGISTRY_STORAGE_DELETE_ENABLED=false\n");
      await using server = await startListening({ cwd, env: { REGISTRY_WORKERS: workers } });
      const image = await pushImage(server.url, "team/app", "latest");
      const reply = await fetch(`${server.url}/v2/team/app/manifests/${image.digest}`, { method: "DELETE" });
      expect(reply.status).toBe(202);
      expect(server.output()).not.toContain("preloaded");
    });
  }
});
