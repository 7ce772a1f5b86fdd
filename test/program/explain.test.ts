/** `stowage explain`: whether a principal may do something, and which rule decides. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import { createRegistry } from "../../src/create-registry.ts";
import { pushImage } from "../../src/registry/push-image.ts";
import { digestOf } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import type { Ended } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const folder = await scratchFolder();
const data = join(folder, "data");
const config = join(folder, "config.yml");

const SETTINGS = `
auth:
  users: {enabled: true}
  oidc:
    - issuer: https://ci.example.com
      audience: registry
      jwks: ${join(folder, "keys.json")}
      rules: [{claims: {repository: octo/app}, repositories: ["team/*"], actions: [pull, push]}]
protectedtags: [{repositories: ["team/**"], tags: ["v*"]}]
policies:
  - {who: [everyone], repositories: ["public/*"], actions: [pull]}
  - {who: ["group:dev"], repositories: ["team/**"], actions: [pull, push]}
`;

function stowage(...words: readonly string[]): Promise<Ended> {
  return runProgram(data, words, {}, "a long password");
}

beforeAll(async () => {
  await writeFile(config, SETTINGS);
  await writeFile(
    join(folder, "keys.json"),
    JSON.stringify({ keys: [await exportJWK((await generateKeyPair("ES256")).publicKey)] }),
  );
  {
    await using registry = await createRegistry({ storage: { folder: data } });
    await pushImage(registry.namespace, "team/app:v1,latest");
    await pushImage(registry.namespace, "team/other:v1");
  }
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
    ["alice push team/app", 0, "yes: policies.1 "],
    ["alice delete team/app", 1, "no: "],
    ["anonymous pull public/base", 0, "yes: policies.0 "],
    ["anonymous pull team/app", 1, "no: "],
    ["root admin team/app", 0, "yes: "],
    ["alice push team/app:v2", 0, "yes: policies.1 "],
    ["alice push team/app:latest", 0, "yes: policies.1 "],
    ["alice pull team/app:v1", 0, "yes: policies.1 "],
    ["root delete team/app:v1", 1, "no: protectedtags.0: "],
    ["job push team/app", 0, "yes: auth.oidc.0.rules.0"],
    ["job push other/app", 1, "no: auth.oidc"],
    ["robot:ci push team/app", 0, "yes: "],
    ["robot:ci delete team/app", 1, "no: "],
  ] as const) {
    test(`answers ${question}: ${exitCode === 0 ? "yes" : "no"}, and why`, async () => {
      const ended = await stowage("explain", ...question.split(" "), "--config", config);
      expect(ended).toMatchObject({ exitCode, stderr: "" });
      expect(ended.stdout).toStartWith(answer);
      expect(ended.stdout).toMatch(/^(?:yes|no): [^\n]+\n$/);
    });
  }

  test("says when a quota is full, where the rules allow a push", async () => {
    const quotas = JSON.stringify([{ prefix: "team/app", bytes: 1 }]);
    {
      await using registry = await createRegistry({
        storage: { folder: data },
        quotas: [{ prefix: "team/app", bytes: 1 }],
      });
      await pushImage(registry.namespace, "elsewhere/app:1");
      while (!(await registry.quotaUsage("team/app"))) await Bun.sleep(1);
    }
    const words = ["explain", "alice", "push", "team/app:v2", "--config", config];
    const { exitCode, stdout } = await runProgram(data, words, { REGISTRY_QUOTAS: quotas });
    expect([exitCode, stdout]).toEqual([1, expect.stringMatching(/^no: quotas\.0: .*team\/app/)]);
  });

  test("says that every client may do everything without authentication", async () => {
    const { exitCode, stdout } = await stowage("explain", "anonymous", "delete", "any/thing");
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^yes: /)]);
  });

  for (const [what, words, said] of [
    ["an unknown user name", ["bob", "pull", "team/app"], "there is no user bob"],
    ["an action that there is not", ["alice", "fly", "team/app"], "fly is not an action"],
    ["a repository that cannot be", ["alice", "pull", "Team"], "Team is not a repository name"],
    ["a repository that cannot be, with a tag", ["alice", "pull", "Team:v1"], "Team is not a repository name"],
    ["a tag that cannot be", ["alice", "pull", "team/app:"], "team/app: has no tag"],
    ["a digest", ["alice", "pull", `team/app@${digestOf("x")}`], "team/app@sha256 is not a repository name"],
    ["too few words", ["alice", "pull"], "explain takes a name, an action and a repository"],
  ] as const) {
    test(`has no answer for ${what}, and ends with 2`, async () => {
      const ended = await stowage("explain", ...words, "--config", config);
      expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
      expect(ended.stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(ended.stderr).toContain(said);
    });
  }
});
