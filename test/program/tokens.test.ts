/** `stowage token`: what robots log in with, beside a running server. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { basic } from "../auth/support/guarded-registry.ts";
import { runProgram } from "../support/program.ts";
import type { Ended } from "../support/program.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const USERS = { REGISTRY_AUTH_USERS_ENABLED: "true" };

let server: Listening;
beforeAll(async () => {
  server = await startListening({ env: USERS });
});
afterAll(() => server[Symbol.asyncDispose]());

function token(...words: string[]): Promise<Ended> {
  return runProgram(server.dataDir, ["token", ...words], USERS);
}

async function created(...words: string[]): Promise<{ readonly id: string; readonly token: string }> {
  const { stdout } = await token("create", "--json", ...words);
  return JSON.parse(stdout) as { id: string; token: string };
}

async function begin(repository: string, robot: string, secret: string): Promise<number> {
  const reply = await fetch(`${server.url}/v2/${repository}/blobs/uploads/`, {
    method: "POST",
    headers: basic(robot, secret),
  });
  return reply.status;
}

describe("stowage token", () => {
  test("makes a token that is shown alone, and lets a robot do what it was made for, and nothing else", async () => {
    const { exitCode, stdout, stderr } = await token(
      "create",
      "--for",
      "ci",
      "--repo",
      "team/*",
      "--actions",
      "pull,push",
    );
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^stw_[0-9a-f]{12}_[\w-]{43}\n$/);
    expect(stderr).toMatch(
      /^ci may pull, push team\/\* until \d{4}-\d\d-\d\d\. [^\n]+\nstowage: the registry in [^\n]+\n$/,
    );
    expect(stderr).not.toContain(stdout.trim());
    expect(await begin("team/app", "ci", stdout.trim())).toBe(202);
    expect(await begin("other/app", "ci", stdout.trim())).toBe(403);
    expect(await begin("team/app", "other", stdout.trim())).toBe(401);
    const deleted = await fetch(`${server.url}/v2/team/app/manifests/latest`, {
      method: "DELETE",
      headers: basic("ci", stdout.trim()),
    });
    expect(deleted.status).toBe(403);
  });

  test("lists tokens, for people and for programs, and never a secret", async () => {
    const { id, token: secret } = await created(
      "--for",
      "lister",
      "--repo",
      "a",
      "--repo",
      "b/**",
      "--expires",
      "never",
    );
    const { stdout } = await token("list");
    expect(stdout).toMatch(/^ID +ROBOT +MAY +MADE +LASTS\n/);
    expect(stdout).toMatch(new RegExp(`^${id} +lister +pull a; pull b/\\*\\* +\\S+ +for ever$`, "m"));
    const listed = await token("list", "--json", "--for", "lister");
    expect(JSON.parse(listed.stdout)).toEqual([
      {
        id,
        robot: "lister",
        grants: [
          { repositories: "a", actions: ["pull"] },
          { repositories: "b/**", actions: ["pull"] },
        ],
        createdAt: expect.stringMatching(/Z$/),
        expiresAt: null,
      },
    ]);
    for (const text of [stdout, listed.stdout]) expect(text).not.toContain(secret.slice(-43));
  });

  test("revokes one token at once, and the robot's others stay", async () => {
    const wishes = ["--for", "mover", "--repo", "team/**", "--actions", "push,pull"];
    const [old, fresh] = [await created(...wishes), await created(...wishes)];
    expect(await begin("team/app", "mover", old.token)).toBe(202);
    expect(await token("revoke", old.id)).toEqual({
      exitCode: 0,
      stdout: "1 token was revoked\n",
      stderr: expect.any(String),
    });
    expect(await begin("team/app", "mover", old.token)).toBe(401);
    expect(await begin("team/app", "mover", fresh.token)).toBe(202);
  });

  test("revokes all tokens of a robot", async () => {
    const secrets = [await created("--for", "gone", "--repo", "**"), await created("--for", "gone", "--repo", "**")];
    expect((await token("revoke", "--for", "gone")).stdout).toBe("2 tokens were revoked\n");
    for (const secret of secrets) expect(await begin("team/app", "gone", secret.token)).toBe(401);
    expect((await token("list", "--for", "gone")).stdout).toContain("there are no tokens");
  });

  for (const [words, said] of [
    [[], "token takes one of create, list, revoke"],
    [["create"], "--for and --repo are required"],
    [["create", "ci"], "did you mean --for ci"],
    [["create", "--for", "ci"], "--for and --repo are required"],
    [["create", "--for", "c i", "--repo", "x"], "not a valid robot name"],
    [["create", "--for", "ci", "--repo", "Team/App"], "not a repository pattern"],
    [["create", "--for", "ci", "--repo", "x", "--actions", "pull,write"], "write is not one of pull, push, delete"],
    [["create", "--for", "ci", "--repo", "x", "--actions", ""], "not one of pull, push, delete"],
    [["create", "--for", "ci", "--repo", "x", "--actions", "admin"], "not one of pull, push, delete"],
    [["create", "--for", "ci", "--repo", "x", "--expires", "soon"], "12h, 90d or never"],
    [["create", "--for", "ci", "--repo", "x", "--expires", "0"], "12h, 90d or never"],
    [["revoke"], "the id of one token"],
    [["revoke", "x", "--for", "ci"], "the id of one token"],
    [["revoke", "000000000000"], "there is no token 000000000000"],
    [["revoke", "--for", "nobody"], "there is no token of nobody"],
  ] as const) {
    test(`${words.join(" ")} ends with one line that says what is wrong`, async () => {
      const { exitCode, stdout, stderr } = await token(...words);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(stderr).toContain(said);
    });
  }
});
