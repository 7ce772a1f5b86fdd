/** Settings in the documents: files that are taken as they stand, and what is said of distribution's. */
import { describe, expect, test } from "bun:test";
import { UNBUILT_PATHS, unbuiltSetting } from "../../src/config/distribution.ts";
import { loadSettings } from "../../src/config/sources.ts";
import type { LoadedSettings } from "../../src/config/sources.ts";
import { DOCUMENTS, codeBlocksIn, codeSpansIn, readDocument } from "../support/markdown.ts";

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
    /stop the start, because([\s\S]*?)The message says[\s\S]*?are not needed,([\s\S]*?)\n\n/.exec(chapter) ?? [];

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
