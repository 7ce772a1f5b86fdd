/** What the project's documents quote. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

/** Those for operators and contributors, as paths in the project. The history in CHANGELOG.md is not among them. */
export const DOCUMENTS: readonly string[] = ["*.md", "docs/**/*.md"]
  .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(ROOT)])
  .filter((path) => path !== "CHANGELOG.md")
  .toSorted();

export function readDocument(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

export interface CodeBlock {
  /** Behind the backticks that open it; empty when nothing stands there. */
  readonly language: string;
  /** Without the indentation of the block. */
  readonly text: string;
  /** Of the document, counted from 1: where the block opens. */
  readonly line: number;
}

export function codeBlocksIn(markdown: string): readonly CodeBlock[] {
  return Array.from(
    markdown.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm),
    ({ index, 1: indentation = "", 2: language = "", 3: text = "" }) => ({
      language,
      text: text.replaceAll(new RegExp(`^${indentation}`, "gm"), ""),
      line: markdown.slice(0, index).split("\n").length,
    }),
  );
}

/** The texts between single backticks outside of code blocks; one that goes over a line end is in one line. */
export function codeSpansIn(markdown: string): readonly string[] {
  const text = markdown.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "");
  return Array.from(text.matchAll(/`([^`]+)`/g), ([, span = ""]) => span.replaceAll(/\s*\n\s*/g, " "));
}

/** The cells of every row of the tables whose first heading is `heading`. */
export function tableRowsIn(markdown: string, heading: string): readonly (readonly string[])[] {
  const rows: (readonly string[])[] = [];
  let isInside = false;
  for (const line of markdown.split("\n")) {
    const cells = line.startsWith("|")
      ? line
          .split("|")
          .slice(1, -1)
          .map((cell) => cell.trim())
      : undefined;
    if (!cells) isInside = false;
    else if (cells[0] === heading) isInside = true;
    else if (isInside && !/^:?-+:?$/.test(cells[0] ?? "")) rows.push(cells);
  }
  return rows;
}
