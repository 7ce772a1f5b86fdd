/** Statements that PostgreSQL has in other words: each still stands in the sources as the translation expects it. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { REPLACED, translate } from "./translations.ts";

const FOLDER = join(import.meta.dir, "..");

/** All statements of the nouns that are written whole, in one line each. */
async function writtenStatements(): Promise<ReadonlySet<string>> {
  const written = new Set<string>();
  for await (const path of new Bun.Glob("*.ts").scan({ cwd: FOLDER, absolute: true })) {
    const source = await Bun.file(path).text();
    for (const [, text = ""] of source.matchAll(/`\s*((?:select|insert|update|delete)\b[^`]*)`/g)) {
      written.add(text.replaceAll(/\s+/g, " ").trim());
    }
  }
  return written;
}

test("every statement that is replaced as a whole stands in the sources", async () => {
  const written = await writtenStatements();
  expect([...REPLACED.keys()].filter((text) => !written.has(text))).toEqual([]);
});

test("the statements that are replaced in part are found by what they say", async () => {
  const written = [...(await writtenStatements())].map(translate);
  const counted = written.filter((text) => text.includes("coalesce(sum(counted_tags), 0)"));
  const links = written.filter((text) => text.startsWith("delete from repo_blob as l"));
  expect(counted).toHaveLength(1);
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((text) => text.includes("repo_blob."))).toEqual([]);
  expect(links.filter((text) => text.includes("b.id = l.blob"))).toHaveLength(1);
});

test("pages of one repository name it without a join, so that they are read in the order of an index", async () => {
  const written = [...(await writtenStatements())].filter(
    (text) => text.includes("from repo r join") && text.includes("order by"),
  );
  const translated = written.map(translate).filter((text) => text.includes("(select id from repo where name = $1)"));
  expect(translated.length).toBeGreaterThan(8);
  expect(translated.filter((text) => /\br\./.test(text))).toEqual([]);
});
