/**
 * Writes the generated parts of the documents: `npm run docs`. Of docs/configuration.md these are the table of all settings and
 * the first paragraph of each setting's chapter; what stands behind that paragraph is written by hand.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DESCRIPTIONS } from "../src/config/descriptions.ts";
import { SETTING_PATHS, defaultOf } from "../src/config/schema.ts";
import { OPTIONS } from "../src/config/sources.ts";
import { variableOf } from "../src/config/variables.ts";

const ROOT = resolve(import.meta.dir, "..");

export const CONFIGURATION = "docs/configuration.md";

/** Characters of a line, as far as words allow it. */
const WIDTH = 130;

/** Returns docs/configuration.md with its generated parts made anew. Throws when a setting has no chapter, or no description. */
export function withReference(markdown: string): string {
  const [before, table, after] = cut(markdown, /(?<=^## All settings\n\n)[\s\S]*?(?=\n\n## )/m);
  if (table === undefined) throw new Error(`${CONFIGURATION} has no chapter "All settings"`);
  let text = `${before}${tableOfSettings()}${after}`;
  for (const path of SETTING_PATHS) {
    const description = DESCRIPTIONS[path];
    if (description === undefined) throw new Error(`${path} has no description in src/config/descriptions.ts`);
    const [above, paragraph, below] = cut(
      text,
      new RegExp(`(?<=^### ${RegExp.escape(path)}\\n\\n)[\\s\\S]*?(?=\\n\\n|\\n$)`, "m"),
    );
    if (paragraph === undefined) throw new Error(`${CONFIGURATION} has no chapter "### ${path}" with a paragraph`);
    text = `${above}${wrapped(description)}${below}`;
  }
  return text;
}

/** In the order of the descriptions, which is that of the chapters. */
function tableOfSettings(): string {
  const rows = Object.keys(DESCRIPTIONS).map((path) => {
    const option = OPTIONS[path];
    return `| \`${path}\` | \`${variableOf(path)}\` | ${option === undefined ? "" : `\`${option}\` `}| ${defaultText(path)} |`;
  });
  return ["| setting | variable | option | default |", "|---|---|---|---|", ...rows].join("\n");
}

function defaultText(path: string): string {
  const value = defaultOf(path);
  if (value === undefined) return "none";
  return value === "" ? "empty" : `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}

/** The text before a match, the match, and the text behind it. */
function cut(text: string, pattern: RegExp): readonly [before: string, found: string | undefined, after: string] {
  const match = pattern.exec(text);
  if (!match) return [text, undefined, ""];
  return [text.slice(0, match.index), match[0], text.slice(match.index + match[0].length)];
}

function wrapped(paragraph: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of paragraph.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}

if (import.meta.main) {
  const path = join(ROOT, CONFIGURATION);
  await writeFile(path, withReference(await readFile(path, "utf8")));
}
