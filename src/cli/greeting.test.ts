/** What the start says of who can reach the server. */
import { describe, expect, test } from "bun:test";
import { exposures, greeting } from "./greeting.ts";
import type { Greeted } from "./greeting.ts";

const OPEN: Greeted = {
  url: "http://0.0.0.0:5000",
  publicUrl: undefined,
  debugUrl: undefined,
  dataFolder: "/var/lib/stowage",
  guarded: false,
  sendsSecrets: false,
  behindProxy: false,
};

describe("the start warns", () => {
  test("of an address beyond the machine without authentication", () => {
    for (const url of ["http://0.0.0.0:5000", "http://[::]:5000", "http://registry.lan:5000", "https://10.0.0.1:443"]) {
      expect(exposures({ ...OPEN, url })).toEqual([expect.stringContaining(`everyone who reaches ${url} can`)]);
      expect(greeting({ ...OPEN, url })).toContain("Everyone who reaches this address can read, write and delete");
    }
    expect(greeting(OPEN)).toContain("everything, over plain HTTP.");
    expect(greeting({ ...OPEN, url: "https://0.0.0.0:5000" })).not.toContain("plain HTTP");
  });

  test("of passwords that travel in the clear", () => {
    const guarded = { ...OPEN, guarded: true, sendsSecrets: true };
    expect(exposures(guarded)).toEqual([
      expect.stringContaining("passwords and tokens are sent to http://0.0.0.0:5000"),
    ]);
    expect(exposures({ ...guarded, behindProxy: true })).toEqual([]);
    expect(exposures({ ...guarded, url: "https://0.0.0.0:5000" })).toEqual([]);
    expect(greeting(guarded)).not.toContain("Everyone");
  });

  test("of both where policies let everybody do something with passwords beside", () => {
    expect(exposures({ ...OPEN, sendsSecrets: true })).toHaveLength(2);
  });

  test("of nothing on this machine alone, and on a Unix socket", () => {
    for (const url of ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000", "unix:/run/x.sock"]) {
      expect(exposures({ ...OPEN, url, sendsSecrets: true })).toEqual([]);
      expect(greeting({ ...OPEN, url })).not.toContain("Everyone");
    }
  });
});

describe("the greeting", () => {
  test("tells docker of an address without TLS, and of no other", () => {
    expect(greeting({ ...OPEN, guarded: true })).toContain('{ "insecure-registries": ["THIS-MACHINE:5000"] }');
    expect(greeting({ ...OPEN, url: "http://registry.lan:80" })).toContain('["registry.lan"]');
    expect(greeting({ ...OPEN, url: "https://0.0.0.0:5000" })).not.toContain("insecure-registries");
    expect(greeting({ ...OPEN, url: "http://127.0.0.1:5000" })).not.toContain("insecure-registries");
  });

  test("shows a first push that works on this machine", () => {
    expect(greeting(OPEN)).toContain("docker push localhost:5000/busybox");
    expect(greeting({ ...OPEN, url: "unix:/run/x.sock" })).toContain(
      "curl --unix-socket /run/x.sock http://localhost/v2/",
    );
  });

  test("says to log in first where clients have to", () => {
    expect(greeting({ ...OPEN, guarded: true, sendsSecrets: true })).toContain(
      "    docker login localhost:5000\n    docker pull busybox",
    );
    expect(greeting(OPEN)).not.toContain("docker login");
  });

  test("names the registry as docker takes it", () => {
    for (const [url, name] of [
      ["http://[::]:5000", "localhost:5000"],
      ["http://[::1]:5000", "localhost:5000"],
      ["http://127.0.0.1:5000", "127.0.0.1:5000"],
      ["http://registry:80", "registry:80"],
      ["https://registry:443", "registry:443"],
      ["https://0.0.0.0:443", "localhost"],
    ] as const) {
      expect(greeting({ ...OPEN, url })).toContain(`docker push ${name}/busybox\n`);
    }
  });

  test("names it as the settings do, and as its certificate does", () => {
    const publicUrl = "https://registry.example.org";
    expect(greeting({ ...OPEN, publicUrl })).toContain("docker push registry.example.org/busybox\n");
    expect(greeting({ ...OPEN, publicUrl })).not.toContain("insecure-registries");
    expect(greeting({ ...OPEN, publicUrl: "http://registry:80" })).toContain('["registry:80"]');
    expect(greeting({ ...OPEN, url: "unix:/run/x.sock", publicUrl })).toContain("push registry.example.org/busybox\n");
  });
});
