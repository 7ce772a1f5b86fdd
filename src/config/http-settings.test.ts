import { describe, expect, test } from "bun:test";
import { Settings } from "./schema.ts";
import { externalAddress, hasPathOfPrefix, pathPrefix, tlsSettings } from "./http-settings.ts";

const LEAST = { cachefile: "/certificates", email: "you@example.com", hosts: ["registry.example.com"] };

const parse = (more: object): ReturnType<typeof tlsSettings.safeParse> =>
  tlsSettings.safeParse({ letsencrypt: { ...LEAST, ...more } });

describe("http.tls.letsencrypt", () => {
  test("is nothing unless it is there", () => {
    expect(tlsSettings.parse({}).letsencrypt).toBeUndefined();
  });

  test("takes Let's Encrypt and port 80 for granted", () => {
    expect(parse({}).data?.letsencrypt).toEqual({
      ...LEAST,
      directoryurl: "https://acme-v02.api.letsencrypt.org/directory",
      challengeaddr: ":80",
    });
  });

  test("takes names as the DNS has them", () => {
    const hosts = ["localhost", "Registry.Example.COM", "xn--bcher-kva.example", "1.example", "a".repeat(63)];
    expect(parse({ hosts }).data?.letsencrypt?.hosts).toEqual(hosts.map((name) => name.toLowerCase()));
  });

  const wrong: readonly object[] = [
    { hosts: [] },
    { hosts: undefined },
    { hosts: ["*.example.com"] },
    { hosts: ["203.0.113.7"] },
    { hosts: ["[::1]"] },
    { hosts: ["registry.example.com:443"] },
    { hosts: ["https://registry.example.com"] },
    { hosts: ["-a.example"] },
    { hosts: ["a..example"] },
    { hosts: ["a".repeat(64)] },
    { email: "" },
    { email: "you" },
    { email: "you@example.com,me@example.com" },
    { email: undefined },
    { cachefile: "" },
    { cachefile: undefined },
    { directoryurl: "http://acme.example/directory" },
    { directoryurl: "acme.example" },
    { challengeaddr: "80" },
    { unknown: true },
  ];
  for (const more of wrong) {
    test(`refuses ${JSON.stringify(more, (_, value: unknown) => value ?? "(absent)")}`, () => {
      expect(parse(more).success).toBeFalse();
    });
  }
});

describe("http.prefix", () => {
  const good: Readonly<Record<string, string>> = {
    "": "",
    "/": "",
    "/registry/": "/registry",
    "/registry": "/registry",
    "registry/": "/registry",
    registry: "/registry",
    "/a/b.c/~d-e_f/": "/a/b.c/~d-e_f",
  };
  for (const [text, prefix] of Object.entries(good)) {
    test(`${JSON.stringify(text)} is ${JSON.stringify(prefix)}`, () => expect(pathPrefix.parse(text)).toBe(prefix));
  }

  const wrong = ["//", "/a//b/", "/../a/", "/a/./b/", "/a b/", "/a%20b/", "/a?b", "/a#b", "/a\\b/", "/ä/", "/a/\n"];
  for (const text of [...wrong, "https://registry.example.com/a/", 1, true, null]) {
    test(`refuses ${JSON.stringify(text)}`, () => expect(pathPrefix.safeParse(text).success).toBeFalse());
  }
});

describe("http.host", () => {
  for (const text of [
    "https://registry.example.com",
    "http://a:5000/",
    "https://A.example/registry/",
    "http://[::1]",
  ]) {
    test(`takes ${text}`, () => expect(externalAddress.parse(text)).toBe(text));
  }

  for (const text of [
    "registry.example.com",
    "ftp://a",
    "https://u:p@a",
    "https://a?b",
    "https://a/b?c",
    "https://a/#b",
  ]) {
    test(`refuses ${text}`, () => expect(externalAddress.safeParse(text).success).toBeFalse());
  }

  test("may have a path only where that is the prefix", () => {
    const [host, prefix] = ["https://a/registry/", "/registry"];
    expect(hasPathOfPrefix.of({ host, prefix })).toBeTrue();
    expect(hasPathOfPrefix.of({ host: "https://a", prefix })).toBeTrue();
    expect(hasPathOfPrefix.of({ host, prefix: "" })).toBeFalse();
    expect(hasPathOfPrefix.of({ host, prefix: "/other" })).toBeFalse();
    expect(hasPathOfPrefix.of({ prefix: "/other" })).toBeTrue();
  });
});

test("http.net says whether http.addr is a socket, as in distribution", () => {
  for (const [net, addr, isAccepted] of [
    ["unix", "/run/stowage.sock", true],
    ["unix", "unix:/run/stowage.sock", true],
    ["tcp", ":5000", true],
    ["unix", ":5000", false],
    ["tcp", "/run/stowage.sock", false],
    ["udp", ":5000", false],
  ] as const) {
    expect([net, addr, Settings.safeParse({ http: { net, addr } }).success]).toEqual([net, addr, isAccepted]);
  }
});
