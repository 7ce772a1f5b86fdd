/** The examples of TypeScript in the documents, as programs that run. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "./registry.ts";

export interface Example {
  readonly page: string;
  readonly code: string;
  /** What its printed lines, joined by commas, match: the comments behind `console.log` say it. */
  readonly printed: RegExp;
}

/**
 * Returns the examples of pages in the project: a block that imports what it uses begins one, and the blocks behind it that
 * import nothing go on with it.
 */
export async function examplesOf(...pages: readonly string[]): Promise<readonly Example[]> {
  const examples: Example[] = [];
  for (const page of pages) {
    const text = await readFile(join(ROOT, page), "utf8");
    const programs: string[] = [];
    for (const [, block = ""] of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
      if (block.includes('from "stowage"')) programs.push(block);
      else programs.push(`${programs.pop() ?? ""}${block}`);
    }
    for (const code of programs) examples.push({ page, code, printed: printedBy(code) });
  }
  return examples;
}

/** `…` stands for anything; where nothing is said, anything may be printed. */
function printedBy(code: string): RegExp {
  const said = Array.from(code.matchAll(/console\.log\(.*\);?(?: \/\/ (.*))?$/gm), ([, comment = "…"]) => comment);
  const parts = said.map((comment) =>
    comment
      .split("…")
      .map((part) => RegExp.escape(part))
      .join(".*"),
  );
  return new RegExp(`^${parts.join(", ")}$`);
}
