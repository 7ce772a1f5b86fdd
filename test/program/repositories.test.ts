/** `stowage repo`, `stowage tag` and `stowage status`: an administrator beside a running server. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { existsSync } from "node:fs";
import manifest from "../../package.json";
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
  test("lists repositories with their tags and sizes, or their names alone, in order", async () => {
    for (const name of ["list/b", "list/a", "list"]) await pushImage(server.url, name, "latest");
    const image = await pushImage(server.url, "list", "v2", 2);
    const quiet = await runProgram(server.dataDir, ["repo", "list", "--quiet"]);
    expect(quiet).toMatchObject({ exitCode: 0, stderr: `stowage: the registry in ${server.dataDir}\n` });
    const names = quiet.stdout.split("\n").filter((name) => name.startsWith("list"));
    expect(names).toEqual(["list", "list/a", "list/b"]);
    const { stdout } = await runProgram(server.dataDir, ["repo", "list", "--json"]);
    const listed = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; bytes: number });
    const sizes = [image.config, ...image.layers].reduce((sum, { size }) => sum + size, image.body.length);
    expect(listed.find(({ name }) => name === "list")).toMatchObject({ tags: 2, manifests: 2, bytes: 2 * sizes });
    const table = await runProgram(server.dataDir, ["repo", "list"]);
    expect(table.stdout).toMatch(/^REPOSITORY +TAGS +MANIFESTS +SIZE +LAST PUSH$/m);
    expect(table.stdout).toMatch(/^list +2 +2 +\d+(?:\.\d)? K?i?B +\d{4}-/m);
  });

  test("deletes every tag and manifest of one repository, and of no other", async () => {
    for (const seed of [1, 2, 3]) await pushImage(server.url, "gone/app", `v${seed}`, seed);
    const { digest } = await pushImage(server.url, "gone/app", undefined, 4);
    await pushImage(server.url, "gone/app2", "v1", 1);
    expect(await runProgram(server.dataDir, ["repo", "delete", "gone/app", "--yes"])).toEqual({
      exitCode: 0,
      stdout: expect.stringMatching(/^gone\/app .*4 manifests\n$/),
      stderr: `stowage: the registry in ${server.dataDir}\n`,
    });
    for (const reference of ["v1", "v3", digest]) expect(await status(`gone/app/manifests/${reference}`)).toBe(404);
    expect((await runProgram(server.dataDir, ["repo", "list", "--quiet"])).stdout).not.toMatch(/^gone\/app$/m);
    expect(await status("gone/app2/manifests/v1")).toBe(200);
  });

  test("deletes nothing without a terminal and without --yes", async () => {
    await pushImage(server.url, "kept/app", "v1");
    const { exitCode, stderr } = await runProgram(server.dataDir, ["repo", "delete", "kept/app"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("--yes");
    expect(await status("kept/app/manifests/v1")).toBe(200);
  });
});

describe("stowage tag", () => {
  test("lists the tags of a repository with what they point at", async () => {
    const { digest } = await pushImage(server.url, "listed/app", "v1");
    await pushImage(server.url, "listed/app", "v2", 2);
    const { stdout } = await runProgram(server.dataDir, ["tag", "list", "listed/app"]);
    expect(stdout).toMatch(/^TAG +DIGEST +CHANGED$/m);
    expect(stdout.split("\n").find((line) => line.startsWith("v1"))).toContain(digest);
    const json = await runProgram(server.dataDir, ["tag", "list", "listed/app", "--json"]);
    const lines = json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(lines).toEqual([expect.objectContaining({ name: "v1", digest }), expect.objectContaining({ name: "v2" })]);
  });

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

describe("stowage status", () => {
  test("says how much there is, what waits and until when, and what was last done", async () => {
    await pushImage(server.url, "status/app", "v1", "status");
    await runProgram(server.dataDir, ["repo", "delete", "status/app", "--yes"]);
    const read = async () => {
      const { exitCode, stdout } = await runProgram(server.dataDir, ["status", "--json"]);
      expect(exitCode).toBe(0);
      return JSON.parse(stdout) as Record<string, unknown> & {
        readonly backlog: { readonly entries: number; readonly nextReviewAt: string };
        readonly lastRuns: object;
      };
    };
    const before = await read();
    expect(before).toMatchObject({ version: manifest.version, folder: server.dataDir, uploads: 0, lastRuns: {} });
    expect(before.backlog.entries).toBeGreaterThan(0);
    expect(Date.parse(before.backlog.nextReviewAt)).toBeGreaterThan(Date.now());
    expect((await runProgram(server.dataDir, ["check"])).exitCode).toBe(0);
    expect((await read()).lastRuns).toEqual({ check: expect.any(String) });
    const { stdout } = await runProgram(server.dataDir, ["status"]);
    for (const line of [
      /^Version: +\d/m,
      /^Garbage: +\d+ to be examined/m,
      /^Last backup: +never/m,
      /^Last check: +\d/m,
    ]) {
      expect(stdout).toMatch(line);
    }
  });
});

describe("what is wrong", () => {
  for (const [words, said] of [
    [["repo"], "list, delete"],
    [["repo", "lst"], "did you mean list?"],
    [["repo", "delete"], "one name"],
    [["repo", "list", "x"], "stowage tag list"],
    [["repo", "delete", "a", "b"], "unexpected argument b"],
    [["repo", "delete", "Team/App"], "not a repository name"],
    [["repo", "delete", "team/none", "--yes"], "there is no repository team/none"],
    [["tag"], "list, delete"],
    [["tag", "list"], "one repository"],
    [["tag", "list", "a", "b"], "one repository"],
    [["tag", "delete"], "one or more tags"],
    [["tag", "delete", "team/app"], "has no tag"],
    [["tag", "delete", `team/app@sha256:${"a".repeat(64)}`], "by its digest, not a tag"],
    [["tag", "delete", "Team/App:v1"], "not a repository name"],
    [["tag", "delete", "team/none:v1"], "there is no tag team/none:v1"],
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
      ["tag", "list", "a"],
      ["status"],
      ["user", "list"],
      ["user", "add", "alice", "--password-stdin"],
      ["token", "create", "--for", "ci", "--repo", "team/**"],
      ["token", "revoke", "--for", "ci"],
    ]) {
      expect((await runProgram(dataDir, words)).exitCode).toBe(1);
    }
    expect(existsSync(dataDir)).toBe(false);
  });
});
