/** Settings in the documents: files that are taken as they stand, and defaults that are those of the program. */
import { describe, expect, test } from "bun:test";
import { UNBUILT_PATHS, unbuiltSetting } from "../../src/config/distribution.ts";
import { SETTING_PATHS } from "../../src/config/schema.ts";
import type { Settings } from "../../src/config/schema.ts";
import { OPTIONS, loadSettings } from "../../src/config/sources.ts";
import type { LoadedSettings } from "../../src/config/sources.ts";
import { DOCUMENTS, codeBlocksIn, codeSpansIn, readDocument, tableRowsIn } from "../support/markdown.ts";

/** Of other programs. */
const FOREIGN = /^# (?:static$|dynamic$|GitHub: |Kubernetes$)/m;

function load(text: string): LoadedSettings {
  return loadSettings({ file: { path: "config.yml", text }, environment: {}, flags: {} });
}

describe("a settings file in the documents", () => {
  const files = DOCUMENTS.flatMap((document) =>
    codeBlocksIn(readDocument(document))
      .filter(({ language, text }) => language === "yaml" && !FOREIGN.test(text))
      .map(({ text, line }) => ({ document, text, line })),
  );

  test("is there", () => {
    expect(files.length).toBeGreaterThan(5);
  });

  for (const { document, text, line } of files) {
    test(`is taken as it stands, without a warning: ${document}:${line}`, () => {
      expect(load(text).warnings).toEqual([]);
    });
  }
});

describe("a setting of distribution's", () => {
  const chapter = readDocument("docs/configuration.md").split("## Files of distribution")[1] ?? "";
  const [, protecting = "", ignored = ""] =
    /stop the start, because([\s\S]*?)The message says[\s\S]*?are ignored,([\s\S]*?)\n\n/.exec(chapter) ?? [];

  test("that is said to stop the start does, and no other", () => {
    const named = codeSpansIn(protecting);
    expect(named.map((path) => unbuiltSetting(path)?.kind)).toEqual(named.map(() => "protects"));
    const known = UNBUILT_PATHS.filter((path) => unbuiltSetting(path)?.kind === "protects" && path !== "auth.none");
    expect(named.toSorted()).toEqual(known.toSorted());
  });

  test("that is said to be ignored is", () => {
    const named = codeSpansIn(ignored);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((path) => unbuiltSetting(path)?.kind !== "ignored")).toEqual([]);
  });
});

describe("the table of all settings", () => {
  const rows = new Map(
    tableRowsIn(readDocument("docs/configuration.md"), "setting").map(
      ([setting = "", , option = "", byDefault = ""]) => [
        setting.replaceAll("`", ""),
        { option: option.replaceAll("`", ""), byDefault },
      ],
    ),
  );

  for (const path of SETTING_PATHS) {
    test(`has the option and the default of ${path}`, () => {
      const row = rows.get(path);
      expect(row?.option).toBe(OPTIONS[path] ?? "");
      const [, text] = /^`([^`]*)`/.exec(row?.byDefault ?? "") ?? [];
      const beside = BESIDE.filter(([section]) => path.startsWith(section)).map(([, settings]) => settings);
      const actual = valueAt(load(beside.join("")).settings, path);
      if (text === undefined || WITHOUT_A_VALUE.has(path)) {
        expect([undefined, "", DIRECTORY, ...beside.map(() => actual)]).toContain(actual as string | undefined);
      } else if (actual === undefined) expect(text).toBe("false"); // absent means the same
      else expect(valueAt(load(`${beside.join("")}${path}: ${text}\n`).settings, path)).toEqual(actual);
    });
  }
});

/** What the other settings of a section mean nothing without. */
const BESIDE = [
  ["http.tls.letsencrypt.", "http.tls.letsencrypt: {cachefile: /c, email: a@b.example, hosts: [b.example]}\n"],
  ["auth.htpasswd.", "auth.htpasswd: {path: /htpasswd}\n"],
  ["auth.token.", "auth.token: {realm: 'https://a.example', service: r, issuer: a, jwks: /keys.json}\n"],
] as const;

/** Their defaults depend on the machine, or on where the output goes; or the default is their absence. */
const WITHOUT_A_VALUE: ReadonlySet<string> = new Set(["workers", "log.formatter", "auth.token.refresh"]);

const DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory";

/** Undefined when a section on the way is not there. */
function valueAt(settings: Settings, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((value, key) => (value as Readonly<Record<string, unknown>> | undefined)?.[key], settings);
}
