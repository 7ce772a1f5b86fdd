/** The command line: what is there, what is not, and one line for what went wrong. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import manifest from "../../package.json";
import { SCHEMA_VERSION } from "../../src/metadata/migrations/migrations.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

/** Holds no registry. */
const folder = await scratchFolder();

async function run(...words: string[]) {
  return await runProgram(folder, words);
}

/** Their exit code 1 means something else than failure, or has always been another one. */
const FAILING_WITH_2: ReadonlySet<string> = new Set(["gc", "garbage-collect", "check", "backup", "restore", "explain"]);

describe("stowage", () => {
  for (const words of [["--version"], ["-v"], ["version"]]) {
    test(`${words[0]} prints the version with its database schema and nothing else`, async () => {
      const stdout = `stowage ${manifest.version} (database schema ${SCHEMA_VERSION})\n`;
      expect(await run(...words)).toEqual({ exitCode: 0, stdout, stderr: "" });
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

  for (const command of [
    "serve",
    "cat",
    "gc",
    "garbage-collect",
    "check",
    "backup",
    "restore",
    "import",
    "export",
    "user",
    "token",
    "repo",
    "tag",
    "quota",
    "status",
    "config",
  ]) {
    test(`${command} --help tells what it does`, async () => {
      const { exitCode, stdout, stderr } = await run(command, "--help");
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(stdout).toStartWith(`stowage ${command} `);
      expect(stdout).toContain("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY");
    });
  }

  test("help COMMAND is COMMAND --help", async () => {
    const help = await run("gc", "--help");
    expect(await run("help", "gc")).toEqual(help);
    expect(help.stdout).toContain("--config CONFIG.yml");
  });

  for (const [words, said] of [
    [["srve"], "did you mean serve?"],
    [["xyzzy"], "xyzzy"],
    [["constructor"], "constructor"],
    [["--nonsense"], "--nonsense"],
    [[""], "empty"],
    [["hlep"], "did you mean help?"],
    [["--verison"], "did you mean --version?"],
    [["--config", "config.yml", "serve"], "behind the command"],
    [["--version", "extra"], "extra"],
    [["help", "nonsense"], "nonsense"],
    [["garbage-collect", "-x"], "-x"],
    [["garbage-collect", "-dx"], "-d"],
    [["garbage-collect", "--delete-untagged=maybe"], "maybe"],
    [["garbage-collect", "a.yml", "b.yml"], "b.yml"],
    [["ls"], "stowage repo list"],
    [["du"], "stowage status"],
    [["serve", "--nonsense"], "--nonsense"],
    [["serve", "--adr", "127.0.0.1:0"], "did you mean --addr?"],
    [["serve", "-a"], "-a"],
    [["serve", "--addr"], "--addr"],
    [["serve", "--addr", "--data", "x"], "--addr=--data"],
    [["serve", "a.yml", "b.yml"], "b.yml"],
    [["serve", "a.yml", "--config", "b.yml"], "b.yml"],
    [["gc", "--json=yes"], "--json"],
    [["gc", "-m"], "--untagged"],
    [["gc", "-d", "config.yml"], "--dry-run"],
    [["gc", "a.yml", "b.yml"], "b.yml"],
    [["check", "a.yml", "b.yml"], "b.yml"],
    [["backup", "a", "b"], "unexpected argument b"],
    [["restore", "a", "b"], "unexpected argument b"],
    [["explain", "alice", "pull", "team/app", "more"], "more"],
    [["quota"], "stowage quota list"],
    [["config"], "check, show"],
    [["config", "shw"], "did you mean show?"],
    [["config", "explain"], "http.addr"],
    [["user"], "add, passwd"],
    [["user", "ad"], "did you mean add?"],
    [["token", "create", "x", "y"], "y"],
    [["cat", "a:b", "c:d"], "c:d"],
    [["cat"], "one reference"],
    [["cat", "team/app"], "neither a tag nor a digest"],
    [["cat", "Team/App:latest"], "not a repository name"],
    [["cat", "team/app@sha256:1234"], "neither a digest nor a tag"],
  ] as const) {
    test(`${words.join(" ")} ends with one line that says what is wrong`, async () => {
      const { exitCode, stdout, stderr } = await run(...words);
      expect({ exitCode, stdout }).toEqual({ exitCode: FAILING_WITH_2.has(words[0]) ? 2 : 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(stderr).toContain(said);
    });
  }
});
