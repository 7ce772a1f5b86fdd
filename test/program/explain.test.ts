/** `stowage explain`: whether somebody may do something, and which rule decides. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDataFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import type { Ended } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const folder = await scratchFolder();
const data = join(folder, "data");
const config = join(folder, "config.yml");

const SETTINGS = `
auth: {users: {enabled: true}}
policies:
  - {who: [everyone], repositories: ["public/*"], actions: [pull]}
  - {who: ["group:dev"], repositories: ["team/**"], actions: [pull, push]}
`;

function stowage(...words: readonly string[]): Promise<Ended> {
  return runProgram(data, words, {}, "a long password");
}

beforeAll(async () => {
  await writeFile(config, SETTINGS);
  await makeDataFolder(data);
  for (const words of [
    ["user", "add", "alice", "--group", "dev", "--password-stdin"],
    ["user", "add", "root", "--admin", "--password-stdin"],
    ["token", "create", "--for", "ci", "--repo", "team/*", "--actions", "pull,push"],
  ]) {
    const { exitCode, stderr } = await stowage(...words, "--config", config);
    if (exitCode !== 0) throw new Error(stderr);
  }
});

describe("stowage explain", () => {
  for (const [question, exitCode, answer] of [
    ["alice push team/app", 0, "yes: allowed by policies.1 (group:dev: pull, push on team/**)"],
    ["alice delete team/app", 1, "no: refused by the policies, none of which allows it"],
    ["anonymous pull public/base", 0, "yes: allowed by policies.0 (everyone: pull on public/*)"],
    ["anonymous pull team/app", 1, "no: refused by the policies, none of which allows it"],
    ["root admin team/app", 0, "yes: allowed by the group admin, which may do everything"],
    ["robot:ci push team/app", 0, "yes: allowed by what robot:ci was made for"],
    ["robot:ci delete team/app", 1, "no: refused by the bound of robot:ci, which does not reach so far"],
  ] as const) {
    test(`answers ${question}: ${exitCode === 0 ? "yes" : "no"}, and why`, async () => {
      const ended = await stowage("explain", ...question.split(" "), "--config", config);
      expect(ended).toEqual({ exitCode, stdout: `${answer}\n`, stderr: "" });
    });
  }

  test("says that everybody may do everything where nobody is asked", async () => {
    const { exitCode, stdout } = await stowage("explain", "anonymous", "delete", "any/thing");
    expect([exitCode, stdout]).toEqual([
      0,
      "yes: allowed by the absence of authentication: everybody may do everything\n",
    ]);
  });

  for (const [what, words, said] of [
    ["a name that nobody has", ["bob", "pull", "team/app"], "nobody is called bob here"],
    ["an action that there is not", ["alice", "fly", "team/app"], "explain takes a name, an action and a repository"],
    ["a repository that cannot be", ["alice", "pull", "Team"], "explain takes a name, an action and a repository"],
    ["too few words", ["alice"], "explain takes a name, an action and a repository"],
  ] as const) {
    test(`has no answer for ${what}, and ends with 2`, async () => {
      const ended = await stowage("explain", ...words, "--config", config);
      expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
      expect(ended.stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(ended.stderr).toContain(said);
    });
  }
});
