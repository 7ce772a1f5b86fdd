/** `stowage repo` and `stowage tag`: an administrator beside a running server. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { existsSync } from "node:fs";
import { pushImage } from "../support/client.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let server: Listening;
beforeAll(async () => {
  server = await startListening();
});
afterAll(() => server[Symbol.asyncDispose]());

async function status(path: string): Promise<number> {
  return (await fetch(`${server.url}/v2/${path}`)).status;
}

describe("stowage repo", () => {
  test("lists the names of repositories, one a line, in order", async () => {
    for (const name of ["list/b", "list/a", "list"]) await pushImage(server.url, name, "latest");
    const { exitCode, stdout, stderr } = await runProgram(server.dataDir, ["repo", "list"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout.split("\n").filter((name) => name.startsWith("list"))).toEqual(["list", "list/a", "list/b"]);
  });

  test("deletes every tag and manifest of one repository, and of no other", async () => {
    for (const seed of [1, 2, 3]) await pushImage(server.url, "gone/app", `v${seed}`, seed);
    const { digest } = await pushImage(server.url, "gone/app", undefined, 4);
    await pushImage(server.url, "gone/app2", "v1", 1);
    expect(await runProgram(server.dataDir, ["repo", "delete", "gone/app", "--yes"])).toEqual({
      exitCode: 0,
      stdout: "gone/app was deleted: 4 manifests\n",
      stderr: "",
    });
    for (const reference of ["v1", "v3", digest]) expect(await status(`gone/app/manifests/${reference}`)).toBe(404);
    expect((await runProgram(server.dataDir, ["repo", "list"])).stdout).not.toMatch(/^gone\/app$/m);
    expect(await status("gone/app2/manifests/v1")).toBe(200);
  });

  test("deletes nothing where there is nobody to ask, and no yes", async () => {
    await pushImage(server.url, "kept/app", "v1");
    const { exitCode, stderr } = await runProgram(server.dataDir, ["repo", "delete", "kept/app"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("--yes");
    expect(await status("kept/app/manifests/v1")).toBe(200);
  });
});

describe("stowage tag", () => {
  test("deletes tags, and the images stay", async () => {
    const { digest } = await pushImage(server.url, "tagged/app", "v1");
    await pushImage(server.url, "tagged/app", "v2");
    await pushImage(server.url, "tagged/app", "v3");
    expect((await runProgram(server.dataDir, ["tag", "delete", "tagged/app:v1", "tagged/app:v2"])).stdout).toBe(
      "tagged/app:v1 was deleted\ntagged/app:v2 was deleted\n",
    );
    const answers = ["v1", "v2", "v3", digest].map((reference) => status(`tagged/app/manifests/${reference}`));
    expect(await Promise.all(answers)).toEqual([404, 404, 200, 200]);
  });
});

describe("what is wrong", () => {
  for (const [words, said] of [
    [["repo"], "repo takes list, or delete and one name"],
    [["repo", "delete"], "repo takes list, or delete and one name"],
    [["repo", "list", "x"], "repo takes list, or delete and one name"],
    [["repo", "delete", "a", "b"], "repo takes list, or delete and one name"],
    [["repo", "delete", "Team/App"], "no repository's name"],
    [["repo", "delete", "team/none", "--yes"], "there is no repository team/none"],
    [["tag"], "tag takes delete"],
    [["tag", "list", "x"], "tag takes delete"],
    [["tag", "delete"], "tag takes delete"],
    [["tag", "delete", "team/app"], "names no tag"],
    [["tag", "delete", "Team/App:v1"], "no repository's name"],
    [["tag", "delete", "team/none:v1"], "there is no team/none:v1"],
  ] as const) {
    test(`is told in one line: ${words.join(" ")}`, async () => {
      const { exitCode, stdout, stderr } = await runProgram(server.dataDir, words);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(stderr).toContain(said);
    });
  }

  test("makes no data folder where there is none", async () => {
    const dataDir = join(scratch, "nowhere");
    for (const words of [
      ["repo", "list"],
      ["tag", "delete", "a:b"],
      ["user", "list"],
      ["token", "revoke", "--for", "ci"],
    ]) {
      expect((await runProgram(dataDir, words)).exitCode).toBe(1);
    }
    expect(existsSync(dataDir)).toBe(false);
  });
});
