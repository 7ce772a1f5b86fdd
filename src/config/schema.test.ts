/** The settings themselves: their names, their defaults and the texts that they take. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseAddress } from "./address.ts";
import { SETTING_PATHS, Settings } from "./schema.ts";

describe("the settings", () => {
  test("keep the names that operators have written into files and variables", () => {
    const names = [
      "log.level",
      "log.formatter",
      "http.addr",
      "storage.filesystem.rootdirectory",
      "storage.filesystem.singleprocess",
      "storage.filesystem.directwrites",
      "storage.delete.enabled",
      "storage.inline",
      "validation.manifests.sparse",
    ];
    expect(SETTING_PATHS).toEqual(expect.arrayContaining(names));
    expect(new Set(SETTING_PATHS).size).toBe(SETTING_PATHS.length);
  });

  test("are complete without a setting", () => {
    expect(Settings.parse({})).toMatchObject({
      log: { level: "info" },
      http: { addr: "127.0.0.1:5000" },
      storage: {
        filesystem: { rootdirectory: "./data", singleprocess: false, directwrites: false },
        delete: { enabled: true },
        inline: 16_384,
      },
      validation: { manifests: { sparse: false } },
    });
  });

  test("listen where only this machine can reach them, unless told otherwise", () => {
    expect(parseAddress(Settings.parse({}).http.addr)).toMatchObject({ hostname: "127.0.0.1" });
  });

  test("hold nothing else, at any depth", () => {
    for (const tree of [
      { x: 1 },
      { http: { x: 1 } },
      { storage: { filesystem: { x: 1 } } },
      { storage: { delete: { x: 1 } } },
    ]) {
      expect(Settings.safeParse(tree).success).toBeFalse();
    }
  });
});

describe("a number of bytes", () => {
  const good: readonly (readonly [value: unknown, bytes: number])[] = [
    [0, 0],
    ["0", 0],
    [16_384, 16_384],
    ["16384", 16_384],
    ["16384B", 16_384],
    ["16KiB", 16_384],
    ["16 KiB", 16_384],
    [" 16kib ", 16_384],
    ["1MiB", 1_048_576],
    [1_048_576, 1_048_576],
    ["0GiB", 0],
  ];
  for (const [value, bytes] of good) {
    test(`may be ${JSON.stringify(value)}`, () => {
      expect(Settings.parse({ storage: { inline: value } }).storage.inline).toBe(bytes);
    });
  }

  const units = ["16KB", "16K", "16 kilobytes", "16KiBB", "16constructor", "1TiB"];
  const numbers = ["", "KiB", "-1", "+1", "1.5", "1,5", "1e3", "0x10", "1 6", "Infinity", "9007199254740993"];
  const others = [-1, 1.5, NaN, Infinity, 1e21, true, null, [16], {}];
  for (const value of [...units, ...numbers, ...others]) {
    test(`may not be ${typeof value === "number" ? value : JSON.stringify(value)}`, () => {
      expect(Settings.safeParse({ storage: { inline: value } }).success).toBeFalse();
    });
  }

  test("that lies in the database is at most 1 MiB", () => {
    for (const value of [1_048_577, "1048577", "2MiB", "1GiB"]) {
      expect(Settings.safeParse({ storage: { inline: value } }).success).toBeFalse();
    }
  });
});

describe("an address to listen on", () => {
  const tcp: readonly (readonly [text: string, hostname: string, port: number])[] = [
    ["127.0.0.1:5000", "127.0.0.1", 5000],
    ["localhost:5000", "localhost", 5000],
    ["registry.example:443", "registry.example", 443],
    ["0.0.0.0:80", "0.0.0.0", 80],
    [":5000", "0.0.0.0", 5000],
    ["[::1]:5000", "::1", 5000],
    ["[::]:5000", "::", 5000],
    ["[2001:DB8::1]:5000", "2001:DB8::1", 5000],
    ["[::ffff:127.0.0.1]:5000", "::ffff:127.0.0.1", 5000],
    ["127.0.0.1:0", "127.0.0.1", 0],
    ["127.0.0.1:65535", "127.0.0.1", 65_535],
  ];
  for (const [text, hostname, port] of tcp) {
    test(`may be ${text}`, () => {
      expect(parseAddress(text)).toEqual({ kind: "tcp", hostname, port });
    });
  }

  const unix: readonly (readonly [text: string, path: string])[] = [
    ["unix:/run/stowage.sock", "/run/stowage.sock"],
    ["unix:///run/stowage.sock", "/run/stowage.sock"],
    ["unix:stowage.sock", "stowage.sock"],
    ["/run/stowage.sock", "/run/stowage.sock"],
    ["unix:/run/with space:5000", "/run/with space:5000"],
  ];
  for (const [text, path] of unix) {
    test(`may be the socket ${text}`, () => {
      expect(parseAddress(text)).toEqual({ kind: "unix", path });
    });
  }

  const bad = [
    "",
    ":",
    "5000",
    "localhost",
    "localhost:",
    "localhost:http",
    "localhost:-1",
    "localhost:65536",
    "localhost:123456",
    "localhost:5000/",
    "localhost: 5000",
    " localhost:5000",
    "localhost:5000\n",
    "http://localhost:5000",
    "a:b:5000",
    "::1:5000",
    "::1",
    "[::1]",
    "[::1]5000",
    "[::1:5000",
    "[]:5000",
    "[:]:5000",
    "[localhost]:5000",
    "unix:",
    "unix://",
  ];
  for (const text of bad) {
    test(`may not be ${JSON.stringify(text)}`, () => {
      expect(parseAddress(text)).toBeUndefined();
      expect(Settings.safeParse({ http: { addr: text } }).success).toBeFalse();
    });
  }

  test("may be any IPv4 or IPv6 address with any port", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), fc.integer({ min: 0, max: 65_535 }), (v4, v6, port) => {
        expect(parseAddress(`${v4}:${port}`)).toEqual({ kind: "tcp", hostname: v4, port });
        expect(parseAddress(`[${v6}]:${port}`)).toEqual({ kind: "tcp", hostname: v6, port });
      }),
    );
  });

  test("is looked for in any text without an error", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const address = parseAddress(text);
        if (address?.kind === "tcp") expect(address.port).toBeWithin(0, 65_536);
      }),
    );
  });
});
