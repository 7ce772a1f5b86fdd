/** Where settings come from, which source wins, and what a person is told when one of them is wrong. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parse, stringify } from "yaml";
import { SETTING_PATHS, Settings } from "./schema.ts";
import { SettingsError, loadSettings } from "./sources.ts";
import type { LoadedSettings } from "./sources.ts";
import { variableOf } from "./variables.ts";

const FILE = "/etc/stowage/config.yml";

/** Seven lists, each of nine times the one before it: nearly five million texts in a few lines. */
const EXPLODING = [
  "a: &a [x, x, x, x, x, x, x, x, x]",
  "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]",
  "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]",
  "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]",
  "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]",
  "f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]",
  "g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]",
].join("\n");

type Environment = Readonly<Record<string, string | undefined>>;

function load(
  text?: string,
  environment: Environment = {},
  flags: Readonly<Record<string, unknown>> = {},
): LoadedSettings {
  const loaded = loadSettings({ file: text === undefined ? undefined : { path: FILE, text }, environment, flags });
  return { ...loaded, warnings: loaded.warnings.map(withoutLine) };
}

/** Lines have a test of their own. */
function withoutLine(message: string): string {
  return message.replace(/: line \d+: /, ": ");
}

/** What a person is told instead of a start; fails when there is a start. */
function complaint(
  text?: string,
  environment: Environment = {},
  flags: Readonly<Record<string, unknown>> = {},
): string {
  try {
    load(text, environment, flags);
  } catch (error) {
    if (error instanceof SettingsError) return withoutLine(error.message);
    throw error;
  }
  throw new Error(`these settings were taken: ${text ?? ""} ${JSON.stringify({ environment, flags })}`);
}

describe("the sources of settings", () => {
  test("may all be silent: then the defaults hold, and nothing is said about it", () => {
    expect(load()).toEqual({ settings: Settings.parse({}), warnings: [], given: new Map() });
  });

  test("are a file,", () => {
    const { settings, warnings } = load("http:\n  addr: :5001\nstorage:\n  inline: 1KiB\n  delete: {enabled: false}\n");
    expect(settings).toMatchObject({ http: { addr: ":5001" }, storage: { inline: 1024, delete: { enabled: false } } });
    expect(warnings).toEqual([]);
  });

  test("the environment,", () => {
    const { settings, warnings } = load(undefined, {
      REGISTRY_HTTP_ADDR: ":5002",
      REGISTRY_STORAGE_INLINE: "2KiB",
      REGISTRY_STORAGE_DELETE_ENABLED: "false",
      REGISTRY_LOG_FORMATTER: "json",
    });
    expect(settings).toMatchObject({ http: { addr: ":5002" }, log: { formatter: "json" } });
    expect(settings.storage).toMatchObject({ inline: 2048, delete: { enabled: false } });
    expect(warnings).toEqual([]);
  });

  test("and the command line", () => {
    const { settings, warnings } = load(undefined, {}, { "http.addr": ":5003", "storage.delete.enabled": false });
    expect(settings).toMatchObject({ http: { addr: ":5003" }, storage: { delete: { enabled: false } } });
    expect(warnings).toEqual([]);
  });

  test("win in this order: the command line, the environment, the file, the defaults", () => {
    const [file, environment, flags] = ["http: {addr: ':1'}", { REGISTRY_HTTP_ADDR: ":2" }, { "http.addr": ":3" }];
    const taken = [
      load(),
      load(file),
      load(file, environment),
      load(file, environment, flags),
      load(undefined, environment, flags),
    ];
    expect(taken.map(({ settings }) => settings.http.addr)).toEqual(["127.0.0.1:5000", ":1", ":2", ":3", ":3"]);
  });

  test("leave alone what they do not name", () => {
    const { settings } = load(
      "storage: {inline: 0}",
      { REGISTRY_STORAGE_DELETE_ENABLED: "false" },
      { "log.level": "debug" },
    );
    const defaults = Settings.parse({});
    expect(settings).toEqual({
      ...defaults,
      log: { ...defaults.log, level: "debug" },
      storage: { ...defaults.storage, inline: 0, delete: { enabled: false } },
    });
  });

  test("say a wrong value of a lower one only when no higher one replaces it", () => {
    expect(load("http: {addr: nonsense}", { REGISTRY_HTTP_ADDR: ":5000" }).settings.http.addr).toBe(":5000");
    expect(complaint("http: {addr: ':5000'}", { REGISTRY_HTTP_ADDR: "nonsense" })).toStartWith("REGISTRY_HTTP_ADDR: ");
  });
});

describe("a settings file", () => {
  test("may be empty, or hold nothing but comments and empty sections", () => {
    for (const text of [
      "",
      "\n",
      "# nothing\n",
      "---\n",
      "{}",
      "null",
      "http:\nstorage:\n  filesystem:\n",
      "storage: {delete: {}}",
    ]) {
      expect(load(text)).toEqual(load());
    }
  });

  test("may be JSON, which is YAML", () => {
    expect(load('{"http": {"addr": ":5001"}}').settings.http.addr).toBe(":5001");
  });

  test("may name a setting by its whole path, as messages do", () => {
    expect(load("http.addr: :5001").settings.http.addr).toBe(":5001");
  });

  test("may use anchors", () => {
    expect(load("log: {level: &x error}\nstorage: {filesystem: {rootdirectory: *x}}").settings).toMatchObject({
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: "error" } },
    });
  });

  const broken: readonly (readonly [title: string, text: string])[] = [
    ["ends in the middle of a list", "http: ["],
    ["ends in the middle of a text", 'http: {addr: "'],
    ["is indented with tabs", "http:\n\taddr: x"],
    ["has the same key twice", "http: {addr: ':1'}\nhttp: {addr: ':2'}"],
    ["has two documents", "http: {addr: ':1'}\n---\nhttp: {addr: ':2'}"],
    ["is a text", "just words"],
    ["is a list", "- http"],
    ["is a number", "5000"],
    ["names an anchor that is not there", "http: *nowhere"],
    ["holds itself", "http: &http {addr: *http}"],
    ["holds itself in an unknown section", "a: &a {b: *a}"],
    ["holds itself in a list", "storage: {inline: &list [*list]}"],
    ["would become too large", EXPLODING],
  ];
  for (const [title, text] of broken) {
    test(`that ${title} is refused in one line that names the file`, () => {
      const message = complaint(text);
      expect(message).toStartWith(`${FILE}: `);
      expect(message).not.toContain("\n");
    });
  }

  test("that is broken is refused by the place, with an example of one that is not", () => {
    expect(complaint("http:\n  addr: [\n")).toMatch(/line \d+, column \d+.*http: \{addr: "127\.0\.0\.1:5000"\}/);
  });
});

describe("a setting that does not exist", () => {
  const cases: readonly (readonly [text: string, path: string, meant: string | undefined])[] = [
    ["http: {adr: x}", "http.adr", "http.addr"],
    ["htp: {addr: x}", "htp.addr", "http.addr"],
    ["log: {leve: info}", "log.leve", "log.level"],
    ["storage: {filesystem: {rootdir: /x}}", "storage.filesystem.rootdir", "storage.filesystem.rootdirectory"],
    ["storage: {delete: {enable: true}}", "storage.delete.enable", "storage.delete.enabled"],
    ["storage: {delete: {enabled: {x: 1}}}", "storage.delete.enabled.x", "storage.delete.enabled"],
    ["http: {tsl: {certificate: x}}", "http.tsl.certificate", undefined],
    ["something.else.entirely: 1", "something.else.entirely", undefined],
    ["__proto__: {x: 1}", "__proto__.x", undefined],
    ["constructor: 1", "constructor", undefined],
    ["http: {toString: 1}", "http.toString", undefined],
    ["'': 1", "", undefined],
  ];
  for (const [text, path, meant] of cases) {
    test(`stops the start, by its name: ${text}`, () => {
      const message = complaint(text);
      expect(message).toStartWith(`${FILE}: ${path} is not a setting`);
      if (meant !== undefined) expect(message).toContain(`did you mean ${meant}?`);
      expect(message).not.toContain("\n");
    });
  }

  test("stops the start in one line, also when its name has two", () => {
    expect(complaint('"a\\nb": 1')).not.toContain("\n");
  });

  test("stops the start on the command line too", () => {
    expect(() => load(undefined, {}, { "http.adr": "x" })).toThrow(SettingsError);
  });

  test("changes nothing about objects in this process", () => {
    expect(() => load("__proto__: {polluted: true}\nconstructor: {prototype: {polluted: true}}")).toThrow(
      SettingsError,
    );
    expect({}).not.toHaveProperty("polluted");
  });
});

describe("a value that a setting does not take", () => {
  const cases: readonly (readonly [path: string, value: string, expected: RegExp])[] = [
    ["http.addr", "nonsense", /expected host:port/],
    ["http.addr", "5000", /expected/],
    ["log.level", "loud", /expected .*debug.*info.*warn.*error/],
    ["log.formatter", "pretty", /expected .*text.*json/],
    ["storage.filesystem.rootdirectory", "''", /expected/],
    ["storage.filesystem.singleprocess", "yes", /expected true or false/],
    ["storage.delete.enabled", "1", /expected true or false/],
    ["storage.inline", "lots", /expected a number of bytes such as 16384 or "16KiB"/],
    ["storage.inline", "-1", /expected a number of bytes/],
    ["storage.inline", "true", /expected/],
    ["storage.inline", "[16]", /expected/],
    ["storage.inline", "2MiB", /1048576|1 ?MiB/],
  ];
  for (const [path, value, expected] of cases) {
    const wrong = `${path}: ${value}`;
    test(`is told with its name, what was expected and an example: ${wrong}`, () => {
      const message = complaint(wrong);
      expect(message).toStartWith(`${FILE}: ${path} is `);
      expect(message).toMatch(expected);
      expect(message).toContain(`for example ${path}: `);
      expect(message).not.toContain("\n");
    });
  }

  test("is told with where it comes from", () => {
    expect(complaint("http: {addr: x}")).toStartWith(`${FILE}: http.addr is "x", but expected `);
    expect(complaint("", { REGISTRY_HTTP_ADDR: "x" })).toStartWith(
      'REGISTRY_HTTP_ADDR: http.addr is "x", but expected ',
    );
    expect(complaint("", {}, { "http.addr": "x" })).toStartWith('--addr: http.addr is "x", but expected ');
    expect(complaint("http: {addr: x}", { REGISTRY_LOG_LEVEL: "debug" })).toStartWith(`${FILE}: `);
  });

  test("is told with its place in a list, and with where the list comes from", () => {
    const list = '["10.0.0.0/8", "proxy.example.com"]';
    const where = 'http.trustedproxies.1 is "proxy.example.com", but expected addresses and networks';
    expect(complaint(`http: {trustedproxies: ${list}}`)).toStartWith(`${FILE}: ${where}`);
    const message = complaint("", { REGISTRY_HTTP_TRUSTEDPROXIES: list });
    expect(message).toStartWith(`REGISTRY_HTTP_TRUSTEDPROXIES: ${where}`);
    expect(message).toEndWith('(for example http.trustedproxies: ["10.0.0.0/8"])');
  });

  test("that stands where a section belongs is told as that", () => {
    for (const text of ["http: 5000", "http: [1]", "storage: /var/lib/registry"]) {
      const message = complaint(text);
      expect(message).toStartWith(`${FILE}: ${text.slice(0, text.indexOf(":"))} is `);
      expect(message).not.toContain("is not a setting");
    }
  });
});

describe("a variable of the environment", () => {
  test("is the setting's path in upper case, with underscores for dots", () => {
    expect(variableOf("http.addr")).toBe("REGISTRY_HTTP_ADDR");
    expect(variableOf("storage.filesystem.rootdirectory")).toBe("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY");
    expect(new Set(SETTING_PATHS.map(variableOf)).size).toBe(SETTING_PATHS.length);
  });

  test("is read as YAML where the setting is no text", () => {
    expect(load(undefined, { REGISTRY_STORAGE_DELETE_ENABLED: "false" }).settings.storage.delete.enabled).toBeFalse();
    expect(load(undefined, { REGISTRY_STORAGE_INLINE: " 1024 " }).settings.storage.inline).toBe(1024);
    expect(load(undefined, { REGISTRY_STORAGE_INLINE: "'1024'" }).settings.storage.inline).toBe(1024);
  });

  test("is taken letter by letter where the setting is a text, and YAML reads no text in it", () => {
    const texts = ["1234", "true", "null", "*x", "[a", "a: b", "# no comment", "{}", "@"];
    for (const text of texts) {
      const { settings } = load(undefined, {
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: text,
        REGISTRY_AUTH_HTPASSWD_REALM: text,
        REGISTRY_AUTH_HTPASSWD_PATH: text,
        REGISTRY_HTTP_TLS_CERTIFICATE: text,
      });
      expect(settings.storage.filesystem.rootdirectory).toBe(text);
      expect(settings.auth.htpasswd).toEqual({ realm: text, path: text });
      expect(settings.http.tls.certificate).toBe(text);
    }
  });

  test("is the text that YAML reads in it, as in distribution", () => {
    for (const [text, read] of [
      ['"quoted"', "quoted"],
      ["'1234'", "1234"],
      [" space ", "space"],
      ["a # comment", "a"],
    ] as const) {
      expect(load(undefined, { REGISTRY_HTTP_TLS_CERTIFICATE: text }).settings.http.tls.certificate).toBe(read);
    }
  });

  test("that is no YAML is told by its name", () => {
    for (const value of ["*nowhere", "&a [*a]", "[1", "{", '"']) {
      expect(complaint(undefined, { REGISTRY_STORAGE_INLINE: value })).toStartWith("REGISTRY_STORAGE_INLINE: ");
    }
  });

  test("may be written in lower case behind its first word", () => {
    expect(load(undefined, { REGISTRY_http_addr: ":5001" }).settings.http.addr).toBe(":5001");
  });

  test("that is not set, or is unknown, means nothing", () => {
    const environment = {
      REGISTRY_HTTP_ADDR: undefined,
      REGISTRY_STORAGE_DELETE_ENABLED: undefined,
      REGISTRY_NOBODYS: undefined,
      PATH: "/bin",
      registry_http_addr: "x",
      STOWAGE_HTTP_ADDR: "x",
      REGISTRYX: "x",
    };
    expect(load(undefined, environment)).toEqual(load());
  });

  test("that names the settings file is no setting", () => {
    expect(load(undefined, { REGISTRY_CONFIGURATION_PATH: "/x.yml" })).toEqual(load());
  });

  test("that is unknown is named in a warning, and the start goes on", () => {
    const { settings, warnings } = load(undefined, { REGISTRY_SOMETHING_ELSE_ENTIRELY: "x" });
    expect(settings).toEqual(load().settings);
    expect(warnings).toEqual([expect.stringMatching(/^REGISTRY_SOMETHING_ELSE_ENTIRELY .*ignored/)]);
  });

  test("that is unknown is named with the nearest one that is known", () => {
    const [warning, ...others] = load(undefined, { REGISTRY_HTTP_ADR: "x" }).warnings;
    expect(warning).toMatch(/^REGISTRY_HTTP_ADR .*did you mean REGISTRY_HTTP_ADDR\?$/);
    expect(others).toEqual([]);
  });

  for (const service of ["registry", "registry-proxy", "registry-storage-s3", "registry-auth", "registry-http-addr"]) {
    test(`that Kubernetes makes for a service called ${service} stops nothing, and is named in one warning`, () => {
      const environment = variablesOfKubernetes(service);
      const { settings, warnings } = load(undefined, environment);
      expect(settings).toEqual(load().settings);
      expect(warnings).toEqual([expect.stringMatching(/ignored, because Kubernetes .*enableServiceLinks: false/)]);
      for (const name of Object.keys(environment)) expect(warnings[0]).toMatch(new RegExp(`(?<!\\w)${name}(?!\\w)`));
    });
  }

  test("that only looks as if Kubernetes had made it is told with the nearest name", () => {
    const [warning] = load(undefined, { REGISTRY_WORKERS_PORT: "4" }).warnings;
    expect(warning).toMatch(/^REGISTRY_WORKERS_PORT is not a setting and is ignored/);
  });

  test("that is podman's is told as podman's", () => {
    const { settings, warnings } = load(undefined, { REGISTRY_AUTH_FILE: "/run/user/1000/containers/auth.json" });
    expect(settings).toEqual(load().settings);
    expect(warnings).toEqual([expect.stringMatching(/^REGISTRY_AUTH_FILE is a variable of podman.* ignored$/)]);
  });

  test("that only begins like one of distribution's stops nothing", () => {
    for (const name of [
      "REGISTRY_STORAGE_S3_PORT",
      "REGISTRY_PROXY_HOST",
      "REGISTRY_AUTH_SILLY_X",
      "REGISTRY_STORAGE_GCS_X",
    ]) {
      const { settings, warnings } = load(undefined, { [name]: "x" });
      expect(settings).toEqual(load().settings);
      expect(warnings).toEqual([expect.stringMatching(new RegExp(`^${name} is not a setting and is ignored`))]);
    }
  });

  test("may stand for one entry of a list, by its number", () => {
    const { settings } = load("http: {tls: {clientcas: [/a.pem, /b.pem]}}", {
      REGISTRY_HTTP_TLS_CLIENTCAS_1: "/B: #1.pem",
      REGISTRY_HTTP_TLS_CLIENTCAS_2: "3",
      REGISTRY_QUOTAS_0: "{prefix: team, bytes: 1KiB}",
      REGISTRY_HTTP_TRUSTEDPROXIES_0: "unix",
    });
    expect(settings.http.tls.clientcas).toEqual(["/a.pem", "/B: #1.pem", "3"]);
    expect(settings.quotas).toEqual([{ prefix: "team", bytes: 1024 }]);
    expect(settings.http.trustedproxies).toEqual(["unix"]);
    const many = Object.fromEntries(
      Array.from({ length: 12 }, (_, at) => [`REGISTRY_HTTP_TLS_CLIENTCAS_${at}`, `/${at}`]),
    );
    expect(load(undefined, many).settings.http.tls.clientcas).toEqual(Object.values(many));
    expect(complaint(undefined, { REGISTRY_HTTP_TLS_CLIENTCAS_1: "/a.pem" })).toStartWith(
      "REGISTRY_HTTP_TLS_CLIENTCAS_1: ",
    );
    expect(complaint(undefined, { REGISTRY_QUOTAS_0: "{prefix: 1}" })).toStartWith(
      "REGISTRY_QUOTAS_0: quotas.0.prefix is 1",
    );
  });
});

/** What a container is told of a service beside it. */
function variablesOfKubernetes(service: string): Record<string, string> {
  const prefix = service.toUpperCase().replaceAll("-", "_");
  return {
    [`${prefix}_PORT`]: "tcp://10.0.0.1:5000",
    [`${prefix}_PORT_5000_TCP`]: "tcp://10.0.0.1:5000",
    [`${prefix}_PORT_5000_TCP_ADDR`]: "10.0.0.1",
    [`${prefix}_PORT_5000_TCP_PORT`]: "5000",
    [`${prefix}_PORT_5000_TCP_PROTO`]: "tcp",
    [`${prefix}_SERVICE_HOST`]: "10.0.0.1",
    [`${prefix}_SERVICE_PORT`]: "5000",
    [`${prefix}_SERVICE_PORT_HTTP`]: "5000",
  };
}

describe("a variable for a place inside of a list or a table", () => {
  test("sets it beside what is there, and adds the next entry of a list", () => {
    const { settings } = load("quotas: [{prefix: team, bytes: 1KiB}]\nlog: {fields: {Service: a}}", {
      REGISTRY_QUOTAS_0_BYTES: "2KiB",
      REGISTRY_QUOTAS_1_PREFIX: "other",
      REGISTRY_QUOTAS_1_TAGS: "5",
      REGISTRY_LOG_FIELDS_SERVICE: "b",
      REGISTRY_LOG_FIELDS_ENVIRONMENT: "production",
      REGISTRY_HEALTH_HTTP_0_URI: "https://auth.example.com/health",
      REGISTRY_HEALTH_HTTP_0_HEADERS_X_Name: "value",
      REGISTRY_POLICIES_0: "{who: [alice], repositories: ['**'], actions: [pull]}",
      REGISTRY_POLICIES_0_ACTIONS_1: "push",
    });
    expect(settings.quotas).toEqual([
      { prefix: "team", bytes: 2048 },
      { prefix: "other", tags: 5 },
    ]);
    expect(settings.log.fields).toEqual({ Service: "b", environment: "production" });
    expect(settings.health.http[0]).toMatchObject({
      uri: "https://auth.example.com/health",
      headers: { "x-name": ["value"] },
    });
    expect(settings.policies?.[0]?.actions).toEqual(["pull", "push"]);
  });

  test("changes nothing that an anchor shares", () => {
    const text =
      "quotas: &q [{prefix: team, bytes: 1KiB}]\npolicies: []\nprotectedtags: []\nauth: {oidc: []}\nhealth: {file: []}";
    expect(load(text, { REGISTRY_QUOTAS_0_BYTES: "2KiB" }).settings.quotas[0]?.bytes).toBe(2048);
  });

  test("is unknown where the list has no such name, and refused where a list would have a gap", () => {
    expect(load(undefined, { REGISTRY_QUOTAS_0_BYTE: "1" }).warnings).toEqual([
      expect.stringMatching(/^REGISTRY_QUOTAS_0_BYTE is not a setting and is ignored/),
    ]);
    expect(complaint(undefined, { REGISTRY_QUOTAS_1_PREFIX: "team" })).toContain(
      "there is no REGISTRY_QUOTAS_0 before it",
    );
  });
});

describe("what is wrong in a file", () => {
  const text = [
    "version: 0.1",
    "http:",
    "  adr: x",
    "  debug: {addr: nowhere}",
    "storage:",
    "  inline: lots",
    "  gcs:",
    "    bucket: x",
    "quotas:",
    "  - prefix: team",
    "  - prefix: team",
    "    bytes: many",
    "    byte: 1",
  ].join("\n");

  test("is told with its line, all of it", () => {
    try {
      loadSettings({ file: { path: FILE, text }, environment: { REGISTRY_LOG_LEVEL: "loud" }, flags: {} });
      throw new Error("these settings were taken");
    } catch (error) {
      const problems = error instanceof SettingsError ? error.problems : [];
      const wanted = [
        [3, "http.adr is not a setting"],
        [4, "http.debug.addr is"],
        [6, "storage.inline is"],
        [7, "storage.gcs is"],
        [12, "quotas.1.bytes is"],
        [13, "quotas.1.byte is not a setting"],
      ] as const;
      for (const [line, said] of wanted) {
        expect(problems.filter((each) => each.startsWith(`${FILE}: line ${line}: ${said}`))).toHaveLength(1);
      }
      expect(problems.filter((each) => each.startsWith("REGISTRY_LOG_LEVEL: log.level is"))).toHaveLength(1);
      expect(problems).toHaveLength(wanted.length + 1);
    }
  });

  test("is told with the line of a warning too", () => {
    const { warnings } = loadSettings({ file: { path: FILE, text: "\nredis: {db: 1}" }, environment: {}, flags: {} });
    expect(warnings).toEqual([expect.stringMatching(/^\/etc\/stowage\/config\.yml: line 2: redis is not needed/)]);
  });
});

describe("where a setting comes from", () => {
  test("is the line of the file, the variable or the option", () => {
    const { given } = load(
      "http:\n  addr: :1\nstorage:\n  inline: 1KiB\nlog: {level: info}",
      { REGISTRY_LOG_LEVEL: "warn" },
      {
        "storage.inline": "2KiB",
      },
    );
    expect(Object.fromEntries(given)).toEqual({
      "http.addr": { value: ":1", origin: `${FILE}: line 2` },
      "log.level": { value: "warn", origin: "REGISTRY_LOG_LEVEL" },
      "storage.inline": { value: "2KiB", origin: "the command line" },
    });
  });
});

function headersOf(text?: string, environment: Environment = {}): unknown {
  return load(text, environment).settings.http.headers;
}

describe("http.headers", () => {
  test("is a table of names of the operator's choice, with one value or several", () => {
    expect(headersOf()).toEqual({});
    expect(headersOf("http: {headers: }")).toEqual({});
    expect(headersOf("http: {headers: {}}")).toEqual({});
    const text = "http:\n  headers:\n    X-A: [b, c]\n    X-B: d\n    Access-Control-Max-Age: [1728000]\n    X-C: true";
    expect(headersOf(text)).toEqual({
      "x-a": ["b", "c"],
      "x-b": ["d"],
      "access-control-max-age": ["1728000"],
      "x-c": ["true"],
    });
  });

  test("may be set one by one in the environment, with dashes or underscores, as a list or a text", () => {
    const environment = {
      "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": "['https://ui.example.com']",
      REGISTRY_HTTP_HEADERS_X_FRAME_OPTIONS: "DENY",
      REGISTRY_HTTP_HEADERS_X_STAR: "*",
      "REGISTRY_HTTP_HEADERS_X-Colon": "a: b # c",
    };
    expect(headersOf("http: {headers: {x-frame-options: [SAMEORIGIN], x-a: b}}", environment)).toEqual({
      "x-frame-options": ["DENY"],
      "x-a": ["b"],
      "access-control-allow-origin": ["https://ui.example.com"],
      "x-star": ["*"],
      "x-colon": ["a: b # c"],
    });
    const whole = { REGISTRY_HTTP_HEADERS: "{x-a: [b]}", "REGISTRY_HTTP_HEADERS_x-c": "d" };
    expect(headersOf("http: {headers: {x-z: y}}", whole)).toEqual({ "x-a": ["b"], "x-c": ["d"] });
  });

  test("that no reply can have is refused with where it comes from", () => {
    for (const text of [
      "[a]",
      "a",
      "{a b: c}",
      "{a: {b: c}}",
      "{a: [[b]]}",
      "{a: ü}",
      '{a: "b\\r\\nc: d"}',
      "{Date: x}",
    ]) {
      expect(complaint(`http: {headers: ${text}}`)).toMatch(/^\/etc\/stowage\/config\.yml: http\.headers.* expected /);
    }
    expect(complaint("", { "REGISTRY_HTTP_HEADERS_Content-Length": "1" })).toStartWith(
      "REGISTRY_HTTP_HEADERS_Content-Length: http.headers",
    );
    expect(complaint("", { "REGISTRY_HTTP_HEADERS_X-A": "[b" })).toStartWith("REGISTRY_HTTP_HEADERS_X-A: ");
    expect(complaint(`http: {headers: {a: ${"b".repeat(3000)}}}`)).toContain("at most 2048 characters");
  });
});

describe("a settings file of distribution's", () => {
  /** As its image brings it, /etc/distribution/config.yml. */
  const SHIPPED = `version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
  tag:
    concurrencylimit: 8
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
  debug:
    addr: :5001
    prometheus:
      enabled: true
      path: /metrics
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
`;

  test("starts as it was shipped, and its settings are taken", () => {
    const { settings } = load(SHIPPED);
    expect(settings.http.addr).toBe(":5000");
    expect(settings.storage.filesystem.rootdirectory).toBe("/var/lib/registry");
    expect(settings.http.debug).toEqual({
      addr: ":5001",
      prometheus: { enabled: true, path: "/metrics", repositories: 0 },
    });
  });

  test("is warned about for what it names in vain, one line each", () => {
    const { warnings } = load(SHIPPED);
    for (const path of ["storage.cache", "storage.tag", "health.storagedriver"]) {
      expect(warnings.filter((warning) => warning.startsWith(`${FILE}: ${path} `))).toHaveLength(1);
    }
    expect(warnings.join("")).not.toContain("\n");
    expect(warnings.join("")).not.toContain("version");
  });

  test("is read-only when it says so", () => {
    for (const enabled of [true, false]) {
      const text = `version: 0.1\nstorage: {maintenance: {readonly: {enabled: ${enabled}}}}`;
      expect(load(text).settings.storage.maintenance.readonly.enabled).toBe(enabled);
      const variable = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: String(enabled) };
      expect(load(undefined, variable).settings.storage.maintenance.readonly.enabled).toBe(enabled);
    }
  });

  test("of distribution gets its certificate from an authority, when all that this takes is there", () => {
    const text = "http: {tls: {letsencrypt: {cachefile: /c, email: a@b.example, hosts: [b.example]}}}";
    expect(load(`version: 0.1\n${text}`).settings.http.tls.letsencrypt).toMatchObject({ cachefile: "/c" });
    expect(complaint("http: {tls: {letsencrypt: {email: a@b.example}}}")).toMatch(
      /http\.tls\.letsencrypt\.cachefile .*expected a folder/,
    );
  });

  const protecting: readonly (readonly [text: string, path: string])[] = [
    ["auth: {silly: {realm: x, service: x}}", "auth.silly"],
    ["auth: silly", "auth.silly"],
    ["storage: {oss: {bucket: x}}", "storage.oss"],
    ["storage: {gcs: {bucket: x}}", "storage.gcs"],
    ["storage: {azure: {container: x}}", "storage.azure"],
    ["storage: {inmemory: {}}", "storage.inmemory"],
    ["storage: {inmemory: }", "storage.inmemory"],
    ["middleware: {repository: [{name: custom}]}", "middleware.repository"],
    ["proxy: {remoteurl: 'https://registry-1.docker.io'}", "proxy"],
  ];
  for (const [text, path] of protecting) {
    test(`is refused for what protects something, with what would happen without it: ${text}`, () => {
      for (const message of [complaint(text), complaint(`version: 0.1\n${text}`)]) {
        expect(message).toStartWith(`${FILE}: ${path} `);
        expect(message).toMatch(/without it \w+/);
        expect(message).not.toContain("\n");
      }
    });
  }

  const variables: readonly (readonly [variable: string, value: string, path: string])[] = [
    ["REGISTRY_AUTH", "silly", "auth.silly"],
    ["REGISTRY_AUTH_SILLY_REALM", "x", "auth.silly"],
    ["REGISTRY_STORAGE", "oss", "storage.oss"],
    ["REGISTRY_STORAGE_OSS_BUCKET", "x", "storage.oss"],
    ["REGISTRY_PROXY_REMOTEURL", "https://registry-1.docker.io", "proxy"],
  ];
  for (const [variable, value, path] of variables) {
    test(`has variables that protect something too: ${variable}`, () => {
      expect(complaint(undefined, { [variable]: value })).toStartWith(`${variable}: ${path} `);
    });
  }

  test("has variables that can be done without, and a warning is all", () => {
    const { settings, warnings } = load(undefined, {
      REGISTRY_HTTP_SECRET: "x",
      REGISTRY_STORAGE: "filesystem",
      REGISTRY_REDIS_ADDRS: "[redis:6379]",
      REGISTRY_MIDDLEWARE_STORAGE: "[{name: cloudfront}]",
    });
    expect(settings).toEqual(load().settings);
    expect(warnings).toEqual([
      expect.stringMatching(/^REGISTRY_HTTP_SECRET: http\.secret is not needed/),
      expect.stringMatching(/^REGISTRY_MIDDLEWARE_STORAGE: middleware\.storage is not needed/),
      expect.stringMatching(/^REGISTRY_REDIS_ADDRS: redis\.addrs is not needed/),
    ]);
  });

  test("has the level of the log by its old name, where the new one is not set", () => {
    expect(load("loglevel: debug").settings.log.level).toBe("debug");
    expect(load(undefined, { REGISTRY_LOGLEVEL: "error" }).settings.log.level).toBe("error");
    expect(load("loglevel: debug\nlog: {level: warn}").settings.log.level).toBe("warn");
    expect(complaint("loglevel: loud")).toStartWith(`${FILE}: log`);
  });

  test("has the version 0.1 and no other, which no variable changes", () => {
    expect(complaint("version: 0.2")).toStartWith(`${FILE}: version is 0.2, but expected 0.1`);
    const { warnings } = load("version: 0.1\nstorage: {delete: {enabled: true}}", { REGISTRY_VERSION: "0.2" });
    expect(warnings).toEqual([expect.stringMatching(/^REGISTRY_VERSION is ignored/)]);
  });

  test("may hold sections with nothing in them, and middleware that is disabled", () => {
    const empty = "version: 0.1\nmiddleware:\nredis:\nproxy:\nstorage: {delete: {enabled: true}}";
    expect(load(empty).warnings).toEqual([]);
    const disabled =
      "middleware: {registry: [{name: x, disabled: true}]}\nlog: {hooks: [{type: mail, disabled: true}]}";
    expect(load(disabled).warnings).toEqual([]);
    expect(load("log: {hooks: [{type: mail}]}").warnings).toEqual([expect.stringContaining("log.hooks is not needed")]);
  });

  test("is never told by its values, which may be secrets", () => {
    expect(load("http: {secret: s3cret}", { REGISTRY_HTTP_SECRET: "s3cret" }).warnings.join("\n")).not.toContain(
      "s3cret",
    );
    expect(complaint("storage: {s3: {secretkey: s3cret}}")).not.toContain("s3cret");
  });
});

describe("deleting", () => {
  test("is on without a settings file, and in one of our own", () => {
    for (const text of [undefined, "", "http: {addr: ':5000'}"]) {
      const { settings, warnings } = load(text);
      expect(settings.storage.delete.enabled).toBeTrue();
      expect(warnings.some(isAboutDeleting)).toBeFalse();
    }
  });

  test("stays off in a file of distribution's that says nothing of it, and this is said once", () => {
    for (const text of [
      "version: 0.1",
      "version: 0.1\nstorage: {filesystem: {}}",
      "version: 0.1\nstorage: {delete: {}}",
      "version: '0.1'\nstorage: {delete: }",
    ]) {
      const { settings, warnings } = load(text);
      expect(settings.storage.delete.enabled).toBeFalse();
      expect(warnings.filter(isAboutDeleting)).toEqual([expect.stringContaining("off")]);
    }
  });

  test("is what a file of distribution's says, in silence", () => {
    for (const enabled of [true, false]) {
      const { settings, warnings } = load(`version: 0.1\nstorage: {delete: {enabled: ${enabled}}}`);
      expect(settings.storage.delete.enabled).toBe(enabled);
      expect(warnings.some(isAboutDeleting)).toBeFalse();
    }
  });

  test("is what the environment or the command line says, whatever file there is", () => {
    for (const enabled of [true, false]) {
      const byVariable = load("version: 0.1", { REGISTRY_STORAGE_DELETE_ENABLED: `${enabled}` });
      const byFlag = load("version: 0.1", {}, { "storage.delete.enabled": enabled });
      expect(byVariable.settings.storage.delete.enabled).toBe(enabled);
      expect(byFlag.settings.storage.delete.enabled).toBe(enabled);
    }
  });

  test("is not said to be off when the environment or the command line has turned it on", () => {
    const byVariable = load("version: 0.1", { REGISTRY_STORAGE_DELETE_ENABLED: "true" });
    const byFlag = load("version: 0.1", {}, { "storage.delete.enabled": true });
    expect([byVariable, byFlag].flatMap(({ warnings }) => warnings).some(isAboutDeleting)).toBeFalse();
  });
});

describe("settings", () => {
  const words = [
    "http",
    "addr",
    "storage",
    "delete",
    "enabled",
    "filesystem",
    "inline",
    "log",
    "level",
    "version",
    "auth",
    "cache",
  ];
  const key = fc.oneof(fc.constantFrom(...words, ...SETTING_PATHS), fc.string({ maxLength: 5 }));
  const leaf = fc.oneof(
    fc.string(),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.constantFrom(":5000", "16KiB", "info"),
  );
  const { tree } = fc.letrec<{ tree: unknown; value: unknown }>((tie) => ({
    tree: fc.dictionary(key, tie("value"), { maxKeys: 4 }),
    value: fc.oneof({ maxDepth: 4 }, leaf, fc.array(leaf, { maxLength: 2 }), tie("tree")),
  }));

  test("are taken or refused in one line, whatever tree is in the file", () => {
    fc.assert(
      fc.property(tree, (value) => expectSettingsOrOneLine(() => load(stringify(value)))),
      { numRuns: 200 },
    );
  });

  test("are taken or refused in one line, whatever text is in the file", () => {
    const piece = fc.constantFrom(
      "http",
      "addr",
      ":",
      " ",
      "\n",
      "-",
      "{",
      "}",
      "[",
      "]",
      ",",
      "&a",
      "*a",
      "#",
      "'",
      '"',
      "|",
      ">",
      "!!set",
      "?",
      "1",
      "<<",
      "---",
      "%",
      "\t",
    );
    const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(text, (each) => expectSettingsOrOneLine(() => load(each))),
      { numRuns: 300 },
    );
  });

  test("are taken or refused in one line, whatever is in the environment", () => {
    const name = fc.oneof(
      fc.constantFrom(...SETTING_PATHS).map(variableOf),
      fc.stringMatching(/^REGISTRY_[A-Z_]{0,12}$/),
    );
    const environment = fc.dictionary(
      name,
      fc.oneof(fc.string(), fc.constantFrom("*a", "&a [*a]", "true", "1", ":5000")),
      { maxKeys: 4 },
    );
    fc.assert(
      fc.property(environment, (each) => expectSettingsOrOneLine(() => load(undefined, each))),
      { numRuns: 200 },
    );
  });

  test("of a file and of the environment are the same settings", () => {
    const value = fc.record({
      "http.addr": fc.nat(65_535).map((port) => `:${port}`),
      "storage.inline": fc.nat(1_000_000),
      "storage.delete.enabled": fc.boolean(),
    });
    fc.assert(
      fc.property(value, (values) => {
        const environment = Object.fromEntries(
          Object.entries(values).map(([path, each]) => [variableOf(path), String(each)]),
        );
        expect(load(undefined, environment).settings).toEqual(load(stringify(values)).settings);
        expect(load(undefined, {}, values).settings).toEqual(load(stringify(values)).settings);
      }),
    );
  });
});

function expectSettingsOrOneLine(attempt: () => LoadedSettings): void {
  try {
    const { settings, warnings } = attempt();
    expect(Object.keys(Settings.shape)).toEqual(expect.arrayContaining(Object.keys(settings)));
    for (const warning of warnings) expect(warning).not.toContain("\n");
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    expect((error as SettingsError).message).not.toContain("\n");
  }
}

function isAboutDeleting(warning: string): boolean {
  return warning.includes("storage.delete.enabled");
}

test("a variable with a plain text is what YAML reads there, or the text itself where that is no text", () => {
  const plain = fc.oneof(
    fc.stringMatching(/^[\w./][\w./:-]{0,12}$/),
    fc.constantFrom("...", "1:30", "0x1f", "null", "yes", "a:", "2001-12-14", "1e3", ".inf", "127.0.0.1:0"),
  );
  fc.assert(
    fc.property(plain, (text) => {
      const { settings } = load(undefined, { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: text });
      let read: unknown;
      try {
        read = parse(text, { logLevel: "silent" });
      } catch {
        read = undefined;
      }
      expect(settings.storage.filesystem.rootdirectory).toBe(typeof read === "string" ? read : text);
    }),
  );
});
