import { describe, expect, test } from "bun:test";
import { tlsSettings } from "./http-settings.ts";

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
