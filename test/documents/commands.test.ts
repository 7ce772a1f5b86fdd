/** Every command that a document quotes is one that the program, or npm here, knows, with these options and words. */
import { describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json";
import { CommandError } from "../../src/cli/command-error.ts";
import { DOCUMENTS, ROOT, codeBlocksIn, codeSpansIn, readDocument } from "../support/markdown.ts";
import { scratchFolder } from "../support/scratch.ts";

const scratch = await scratchFolder();
const SETTINGS_FILE = join(scratch, "config.yml");
writeFileSync(SETTINGS_FILE, "");

/** What stands in capitals, or for a file that is not here, and what a user would write there. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  "CONFIG.yml": SETTINGS_FILE,
  "config.yml": SETTINGS_FILE,
  "/etc/stowage/config.yml": SETTINGS_FILE,
  "/etc/docker/registry/config.yml": SETTINGS_FILE,
  FOLDER: "/var/backups/stowage-1",
  NAME: "alice",
  USER: "alice",
  ACTION: "push",
  REPOSITORY: "team/app",
  "REPOSITORY:TAG": "team/app:v1",
  "REPO:TAG": "team/app:v1",
  "NAME:TAG": "team/app:v1",
  REPO: "team/app",
  ID: "0123456789abcdef",
  "REPOSITORY@DIGEST": "team/app@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
};

interface Quoted {
  readonly document: string;
  readonly command: string;
}

/** Commands that begin with one of `programs`, each once. */
function quotedCommands(...programs: readonly string[]): readonly Quoted[] {
  const found = new Map<string, Quoted>();
  for (const document of DOCUMENTS) {
    const markdown = readDocument(document);
    const lines = codeBlocksIn(markdown)
      .filter(({ language }) => language === "sh" || language === "console")
      .flatMap(({ language, text }) =>
        text
          .replaceAll("\\\n", " ")
          .split("\n")
          .filter((line) => language === "sh" || line.startsWith("$ ")),
      );
    for (const text of [...lines, ...codeSpansIn(markdown)]) {
      const command = text
        .replace(/^\$ /, "")
        .replace(/^(?:[A-Z_]+=\S+ )+/, "")
        .replace(/\s+#.*$|\s[|>&].*$/, "")
        .trim();
      if (programs.some((program) => command.startsWith(`${program} `))) {
        found.set(command, { document, command });
      }
    }
  }
  return [...found.values()];
}

/** The words of a command line as a shell takes them apart; brackets of what may be left out are taken away. */
function wordsOf(command: string): readonly string[] {
  return (command.replaceAll(/[[\]…]/g, "").match(/'[^']*'|"[^"]*"|\S+/g) ?? [])
    .map((word) => word.replaceAll(/^['"]|['"]$/g, ""))
    .map((word) => PLACEHOLDERS[word] ?? word);
}

type Command = (args: readonly string[], environment: Readonly<Record<string, string>>) => Promise<number>;

/** The function of a command such as `garbage-collect`: `garbageCollect` in `garbage-collect.ts`; undefined when there is none. */
async function commandOf(name: string): Promise<Command | undefined> {
  const path = join(ROOT, "src", "cli", `${name}.ts`);
  if (!existsSync(path)) return undefined;
  const module = (await import(path)) as Readonly<Record<string, Command>>;
  return module[name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
}

describe("a command of the program", () => {
  const quoted = quotedCommands("bin/stowage", "stowage");

  test("is quoted in the documents", () => {
    expect(quoted.length).toBeGreaterThan(20);
  });

  for (const { document, command } of quoted) {
    test(`is one that there is, with its options and words: ${command} (${document})`, async () => {
      const [, name = "", ...args] = wordsOf(command);
      const run = await commandOf(name);
      expect(run).toBeFunction();
      if (!run || args.length === 0 || args.includes("--help") || command.includes("config schema")) return;
      if (name === "migrate") {
        // The settings of both registries are in files, which are not here.
        await expect(run(args, {})).rejects.toThrow(/the settings file .* cannot be read|there is no registry in/);
        return;
      }
      // The settings are read when the command line is understood, and before anything is done: they stop it here.
      const ended = run([...args, "--log-level", "nonsense"], {});
      await expect(ended).rejects.toBeInstanceOf(CommandError);
      await expect(ended).rejects.toThrow(/^--log-level: log\.level is "nonsense"/);
    });
  }
});

describe("a command of npm, or a file that Bun runs,", () => {
  for (const { document, command } of quotedCommands("npm run", "npm start --", "npm test --")) {
    test(`is a script of package.json: ${command} (${document})`, () => {
      const [, word = "", script = ""] = wordsOf(command);
      expect(Object.keys(manifest.scripts)).toContain(word === "run" ? script : word);
    });
  }

  for (const { document, command } of quotedCommands("tools/bun")) {
    test(`is there: ${command} (${document})`, () => {
      const files = wordsOf(command).filter((word) => /^(?:tools|bench|src|test)\//.test(word));
      expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
    });
  }
});
