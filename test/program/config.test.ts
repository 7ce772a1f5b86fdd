/** `stowage config`: what an operator learns of the settings before the server starts with them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const FILE = join(scratch, "config.yml");

async function run(text: string, words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  await writeFile(FILE, text);
  return await runProgram(scratch, ["config", ...words], env);
}

describe("config check", () => {
  test("names every problem with its line, and ends with 1", async () => {
    const { exitCode, stdout, stderr } = await run("http:\n  adr: x\nstorage: {inline: lots}\n", ["check", FILE]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr.split("\n")).toEqual([
      expect.stringMatching(/^stowage: .*config\.yml: line 2: http\.adr .*did you mean http\.addr\?/),
      expect.stringMatching(/^stowage: .*config\.yml: line 3: storage\.inline is "lots"/),
      "",
    ]);
  });

  test("finds what only a start would: a regular expression, a file that is not there", async () => {
    const pattern = await run("validation.manifests.urls.allow: ['(']\n", ["check", FILE]);
    expect([pattern.exitCode, pattern.stderr]).toEqual([
      1,
      expect.stringContaining("validation.manifests.urls.allow.0"),
    ]);
    const keys = "{realm: https://a.example, service: a, issuer: a, jwks: /nowhere/keys.json}";
    const token = await run(`auth.token: ${keys}\n`, ["check", FILE]);
    expect([token.exitCode, token.stderr]).toEqual([1, expect.stringContaining("/nowhere/keys.json")]);
  });

  test("prints the warnings of valid settings, and ends with 0", async () => {
    const { exitCode, stdout, stderr } = await run("redis: {db: 1}\nlog: {level: warn}\n", ["check", "--config", FILE]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^warning: .*config\.yml: line 1: redis is not needed/);
    expect(stdout).toMatch(/^the settings are valid: \d+ of \d+ are set$/m);
  });
});

describe("config show", () => {
  test("has the value in force of each setting that is set, and where it comes from", async () => {
    const { stdout } = await run("http: {addr: ':1'}\nlog: {level: debug}\n", ["show", FILE, "--json"], {
      REGISTRY_LOG_LEVEL: "warn",
    });
    expect(JSON.parse(stdout)).toMatchObject({
      "http.addr": { value: ":1", origin: `${FILE}: line 1` },
      "log.level": { value: "warn", origin: "REGISTRY_LOG_LEVEL" },
    });
    const all = await run("", ["show", FILE, "--all"]);
    expect(all.stdout).toMatch(/^storage\.inline +16KiB +default$/m);
  });
});

describe("config explain", () => {
  test("says what a setting does, its value and where that comes from, by its path or its variable", async () => {
    for (const word of ["storage.inline", "REGISTRY_STORAGE_INLINE"]) {
      const { stdout } = await run("storage: {inline: 1KiB}\n", ["explain", word, "--config", FILE]);
      expect(stdout).toMatch(/^storage\.inline\n\n +Blobs up to this size/);
      expect(stdout).toContain(`value     1KiB (${FILE}: line 1)`);
      expect(stdout).toContain("default   16KiB");
    }
  });

  test("lists a section, says what becomes of a setting of distribution, and knows what was meant", async () => {
    expect((await run("", ["explain", "gc"])).stdout).toMatch(/^gc\.untagged +Whether untagged/m);
    expect((await run("", ["explain", "redis"])).stdout).toContain("not needed by Stowage");
    expect((await run("", ["explain", "storage.gcs"])).stdout).toContain("stops the start");
    const { exitCode, stderr } = await run("", ["explain", "http.adr"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("did you mean http.addr?")]);
  });
});

test("config schema prints a JSON schema, whatever the settings are", async () => {
  const { exitCode, stdout } = await run("", ["schema"], { REGISTRY_LOG_LEVEL: "loud" });
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ properties: { http: { properties: { addr: { type: "string" } } } } });
});
