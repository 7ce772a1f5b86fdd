/** The command line: what is there, what is not, and one line for what went wrong. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import manifest from "../../package.json";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

/** Holds no registry. */
const folder = await scratchFolder();

async function run(...words: string[]) {
  return await runProgram(folder, words);
}

describe("stowage", () => {
  for (const words of [["--version"], ["-v"], ["version"]]) {
    test(`${words[0]} prints the version and nothing else`, async () => {
      expect(await run(...words)).toEqual({ exitCode: 0, stdout: `${manifest.version}\n`, stderr: "" });
    });
  }

  for (const words of [["--help"], ["-h"], ["help"], []]) {
    test(`${words[0] ?? "without a word"} names every command`, async () => {
      const { exitCode, stdout, stderr } = await run(...words);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      for (const command of ["stowage serve", "stowage cat", "stowage --version", "docker push"]) {
        expect(stdout).toContain(command);
      }
    });
  }

  for (const command of ["serve", "cat", "gc", "check", "backup", "restore", "user", "token", "repo", "tag"]) {
    test(`${command} --help tells what it does`, async () => {
      const { exitCode, stdout, stderr } = await run(command, "--help");
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(stdout).toStartWith(`stowage ${command} `);
      expect(stdout).toContain("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY");
    });
  }

  for (const [words, said] of [
    [["srve"], "srve is not a command: did you mean serve?"],
    [["xyzzy"], "xyzzy is not a command"],
    [["constructor"], "constructor is not a command"],
    [["--nonsense"], "--nonsense is not a command"],
    [["serve", "--nonsense"], "--nonsense"],
    [["serve", "--addr"], "--addr"],
    [["serve", "a.yml", "b.yml"], "one settings file"],
    [["cat"], "one reference"],
    [["cat", "a:b", "c:d"], "one reference"],
    [["cat", "team/app"], "neither a digest nor a tag"],
    [["cat", "Team/App:latest"], "no repository's name"],
    [["cat", "team/app@sha256:1234"], "neither a digest nor a tag"],
  ] as const) {
    test(`${words.join(" ")} ends with one line that says what is wrong`, async () => {
      const { exitCode, stdout, stderr } = await run(...words);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(stderr).toContain(said);
    });
  }
});
