/** Documents and program in step: what one names, the other has. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { DESCRIPTIONS } from "../src/config/descriptions.ts";
import { SETTING_PATHS } from "../src/config/schema.ts";
import { FILE_VARIABLE, meaningOf, variableOf } from "../src/config/variables.ts";
import { ERROR_CODES } from "../src/oci/error.ts";
import { CONFIGURATION, withReference } from "../tools/docs.ts";

const ROOT = resolve(import.meta.dir, "..");

describe("docs/errors.md", () => {
  test("has a chapter for every code that a client may be told, and for no other", () => {
    const headings = headingsIn(read("docs/errors.md"), 3);
    expect(headings.toSorted()).toEqual(ERROR_CODES.toSorted());
  });
});

describe("docs/configuration.md", () => {
  test("has the reference that the schema gives: otherwise run npm run docs", () => {
    const text = read(CONFIGURATION);
    expect(withReference(text)).toBe(text);
  });

  test("describes each setting, and no other", () => {
    expect(Object.keys(DESCRIPTIONS).toSorted()).toEqual(SETTING_PATHS.toSorted());
  });

  for (const path of SETTING_PATHS) {
    test(`names ${path} and its variable`, () => {
      const text = read("docs/configuration.md");
      expect(text).toMatch(new RegExp(`(?<![\\w.])${RegExp.escape(path)}(?![\\w.]*\\w)`));
      expect(text).toMatch(new RegExp(`(?<!\\w)${RegExp.escape(variableOf(path))}(?!\\w)`));
    });
  }

  test("names no variable that means nothing", () => {
    const named = new Set(read("docs/configuration.md").match(/\bREGISTRY_[A-Z\d_]+\b/g));
    const unknown = [...named].filter((name) => name !== FILE_VARIABLE && meaningOf(name, "").kind === "unknown");
    expect(unknown).toEqual([]);
  });
});

describe("docs/proxies.md", () => {
  const all = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"];
  /** Headers that each example has to set or remove: those that the proxy does not overwrite by itself. */
  const examples: Readonly<Record<string, readonly string[]>> = {
    nginx: all,
    haproxy: all,
    caddyfile: ["-Forwarded", "-X-Forwarded-Port"],
    yaml: ["Forwarded"],
  };
  for (const [language, headers] of Object.entries(examples)) {
    test(`${language}: sets or removes each header that a client could write`, () => {
      const code = codeIn(read("docs/proxies.md"), language);
      for (const header of headers) {
        expect(code).toMatch(new RegExp(`(?<![\\w-])${RegExp.escape(header)}(?![\\w-])`));
      }
    });
  }
});

describe("a document", () => {
  const documents = ["*.md", "docs/**/*.md"].flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(ROOT)]);

  test("is there to be read", () => {
    expect(documents).toEqual(
      expect.arrayContaining(["docs/configuration.md", "docs/dependencies.md", "docs/errors.md"]),
    );
  });

  test("holds no mark of a merge conflict", () => {
    expect(documents.filter((document) => /^(?:<{7}|={7}$|>{7})/m.test(read(document)))).toEqual([]);
  });

  for (const document of documents) {
    test(`leads only to files that are there: ${document}`, () => {
      const missing = linksIn(read(document))
        .map((link) => resolve(ROOT, dirname(document), decodeURIComponent(link)))
        .filter((path) => !existsSync(path) || relative(ROOT, path).startsWith(".."));
      expect(missing.map((path) => relative(ROOT, path))).toEqual([]);
    });
  }
});

describe("a link to a heading", () => {
  const documents = ["*.md", "docs/**/*.md"].flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(ROOT)]);
  for (const document of documents) {
    test(`leads to one that exists: ${document}`, () => {
      const broken = anchorsIn(read(document)).filter(({ path, anchor }) => {
        const target = path === "" ? document : join(dirname(document), path);
        return target.endsWith(".md") && existsSync(join(ROOT, target)) && !slugsIn(read(target)).includes(anchor);
      });
      expect(broken).toEqual([]);
    });
  }

  test("is spelled as GitHub does it", () => {
    expect(slugsIn("# Let's Encrypt\n\n## `http.tls.key`\n\n### BLOB_UNKNOWN\n")).toEqual([
      "lets-encrypt",
      "httptlskey",
      "blob_unknown",
    ]);
  });
});

describe("ARCHITECTURE.md", () => {
  test("names only files and folders that exist", () => {
    const named = [...read("ARCHITECTURE.md").matchAll(/`([\w./-]+)`/g)].map(([, path = ""]) => path);
    const paths = named.filter((path) => /\/.*(?:\/|\.\w+)$|^(?:src|test|bench|docs)\//.test(path));
    expect(paths.length).toBeGreaterThan(50);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, "src", path)))).toEqual([]);
  });

  test("draws the tree of src/ as it is", () => {
    const [, tree = ""] = /^```text\nsrc\/\n([\s\S]*?)^```$/m.exec(read("ARCHITECTURE.md")) ?? [];
    const folders: string[] = [];
    const drawn = tree.split("\n").flatMap((line) => {
      const [, indent = "", name = ""] = /^( {2}| {4})([\w-]+(?:\/|\.ts)) /.exec(line) ?? [];
      if (name === "") return [];
      const path = `${indent.length === 4 ? (folders.at(-1) ?? "") : ""}${name}`;
      if (indent.length === 2) folders.push(name);
      return [path];
    });
    expect(drawn.filter((path) => !existsSync(join(ROOT, "src", path)))).toEqual([]);
    const there = readdirSync(join(ROOT, "src"), { withFileTypes: true })
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .filter((name) => !/\.(?:test|d)\.ts$/.test(name));
    expect(there.filter((name) => !drawn.includes(name))).toEqual([]);
  });
});

/** What operators of other registries look for, by the words that they know, and the document that has a heading for it. */
const TOPICS: Readonly<Record<string, readonly string[]>> = {
  "docs/operations.md": [
    "Run as a systemd service",
    "Kubernetes",
    "Signals and exit codes",
    "Health checks",
    "Metrics",
    "Logging",
    "Garbage collection",
    "Read-only mode",
    "Integrity checks",
    "Backup",
    "Restore",
    "Upgrading",
    "Full disk",
  ],
  "docs/configuration.md": [
    "Settings file",
    "Environment variables",
    "TLS",
    "Let's Encrypt",
    "Authentication",
    "Storage",
    "Garbage collection",
    "Logging",
    "Complete settings file",
  ],
  "docs/migrating.md": ["What is different", "Differences in the settings", "Not supported yet"],
  "docs/troubleshooting.md": ["The server does not start", "Push and pull", "Operation"],
  "docs/README.md": ["Tutorial", "How-to guides", "Reference", "Explanations"],
  "docs/kubernetes.md": ["kind"],
  "docs/support.md": ["Versions", "Upgrades", "Support", "Verify a release"],
  "docs/security.md": ["TLS", "Users", "Policies", "Audit"],
  "docs/glossary.md": ["Content", "Uploads", "Garbage collection", "Access"],
};

describe("an operator finds a heading", () => {
  for (const [document, topics] of Object.entries(TOPICS)) {
    test(`for each topic of ${document}`, () => {
      const headings = new Set([2, 3].flatMap((level) => headingsIn(read(document), level)));
      expect(topics.filter((topic) => !headings.has(topic))).toEqual([]);
    });
  }
});

describe("the reader of links", () => {
  test("finds links and images to files, with and without a place in them, and by reference", () => {
    const text = '[a](a.md) ![b](<b c.png> "title") [c](docs/c.md#part) [d][1]\n\n[1]: ../d.md\n';
    expect(linksIn(text)).toEqual(["a.md", "b c.png", "docs/c.md", "../d.md"]);
  });

  test("leaves alone the web, places in the same document, and code", () => {
    const text = "[a](https://example.com/a.md) [b](#b) [c](mailto:c@d.e) `[d](d.md)`\n\n```\n[e](e.md)\n```\n";
    expect(linksIn(text)).toEqual([]);
  });
});

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** The texts of all headings of a level, without the signs for code. */
function headingsIn(markdown: string, level: number): readonly string[] {
  const lines = withoutCode(markdown, { keepSpans: true }).matchAll(new RegExp(`^#{${level}} +(.+?) *$`, "gm"));
  return Array.from(lines, ([, heading = ""]) => heading.replaceAll("`", ""));
}

/** All code of a language, without its comments. */
function codeIn(markdown: string, language: string): string {
  const blocks = markdown.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, "gm"));
  return Array.from(blocks, ([, code = ""]) => code.replaceAll(/(?:^|\s)#.*$/gm, "")).join("\n");
}

/** Where the links of a document lead that lead to files: no scheme, and not only a place in the same document. */
function linksIn(markdown: string): readonly string[] {
  const text = withoutCode(markdown, { keepSpans: false });
  const inline = text.matchAll(/\]\((?:<([^>]+)>|([^)\s]+))[^)]*\)/g);
  const referenced = text.matchAll(/^\[[^\]]+\]: *(?:<([^>]+)>|(\S+))/gm);
  return [...inline, ...referenced]
    .map(([, quoted, plain]) => quoted ?? plain ?? "")
    .filter((link) => !/^[a-z][a-z0-9+.-]*:|^#/i.test(link))
    .map((link) => link.replace(/[#?].*$/, ""));
}

interface Anchor {
  /** Empty for the same document. */
  readonly path: string;
  readonly anchor: string;
}

/** The links of a document that lead to a heading. */
function anchorsIn(markdown: string): readonly Anchor[] {
  const links = withoutCode(markdown, { keepSpans: false }).matchAll(/\]\(([^)\s#:]*)#([^)\s]+)\)/g);
  return Array.from(links, ([, path = "", anchor = ""]) => ({ path, anchor }));
}

/** What headings are called in links. */
function slugsIn(markdown: string): readonly string[] {
  const headings = withoutCode(markdown, { keepSpans: true }).matchAll(/^#{1,6} +(.+?) *$/gm);
  return Array.from(headings, ([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function withoutCode(markdown: string, { keepSpans }: { readonly keepSpans: boolean }): string {
  const text = markdown.replaceAll(/^( *)(```|~~~)[\s\S]*?^\1\2[^\n]*$/gm, "");
  return keepSpans ? text : text.replaceAll(/`[^`\n]*`/g, "");
}

describe("docs/README.md", () => {
  test("leads to every other document", () => {
    const linked = linksIn(read("docs/README.md"));
    const there = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md") && name !== "README.md");
    expect(there.filter((name) => !linked.includes(name))).toEqual([]);
  });
});
