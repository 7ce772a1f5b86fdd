/** Settings of a server: where they come from, and what a wrong one ends with. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let files = 0;

async function fileWith(text: string): Promise<string> {
  const path = join(scratch, `config-${files++}.yml`);
  await writeFile(path, text);
  return path;
}

describe("a setting that cannot be", () => {
  for (const [what, text, said] of [
    ["an unknown key", "http: {adr: '127.0.0.1:0'}", ["http.adr is not a setting", "did you mean http.addr?"]],
    ["an unknown group", "storrage: {inline: 0}", ["storrage.inline", "did you mean storage.inline?"]],
    ["a wrong value", "storage: {delete: {enabled: perhaps}}", ["storage.delete.enabled", "perhaps", "for example"]],
    ["a wrong size", "storage: {inline: 16 quarts}", ["storage.inline", "16 quarts", "16KiB"]],
    ["a wrong address", "http: {addr: nowhere}", ["http.addr", "nowhere", "127.0.0.1:5000"]],
    ["a value where a group should be", "http: 5000", ["http"]],
    ["broken YAML", "http: {addr: [", ["line 1", "a section with settings"]],
    ["a list", "- http", ["a section with settings"]],
    ["a setting that protects and is not built", "auth: {silly: {realm: x}}", ["auth.silly is not supported yet"]],
  ] as const) {
    test(`in the file stops the start with one line (${what})`, async () => {
      const path = await fileWith(text);
      const { exitCode, stdout, stderr } = await runProgram(scratch, ["serve", path]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      for (const words of [path, ...said]) expect(stderr).toContain(words);
    });
  }

  for (const [name, value, said] of [
    ["REGISTRY_HTTP_ADDR", "nowhere", "127.0.0.1:5000"],
    ["REGISTRY_STORAGE_DELETE_ENABLED", "perhaps", "storage.delete.enabled: true"],
    ["REGISTRY_LOG_LEVEL", "loud", "log.level: info"],
    ["REGISTRY_VALIDATION_MANIFESTS_SPARSE", "2", "validation.manifests.sparse: false"],
    ["REGISTRY_AUTH", "htpasswd", "auth.htpasswd.path"],
    ["REGISTRY_STORAGE", "oss", "images would be stored in a local folder instead"],
  ] as const) {
    test(`in the environment stops the start with one line (${name})`, async () => {
      const { exitCode, stdout, stderr } = await runProgram(scratch, ["serve"], { [name]: value });
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      for (const words of [name, said]) expect(stderr).toContain(words);
    });
  }

  test("on the command line stops the start with one line", async () => {
    const { exitCode, stderr } = await runProgram(scratch, ["serve", "--delete", "perhaps"]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^stowage: --delete: storage\.delete\.enabled is "perhaps", but [^\n]+\n$/);
  });

  test("that is a port is told with --addr", async () => {
    for (const words of [
      ["--addr", "5000"],
      ["--addr", ":99999"],
      ["--addr="],
      ["5000"],
      [":5000"],
      ["localhost:5000"],
    ]) {
      const { exitCode, stderr } = await runProgram(scratch, ["serve", ...words]);
      expect([words, exitCode]).toEqual([words, 1]);
      expect(stderr).toMatch(/^stowage: [^\n]+--addr \S*:\d+[^\n]*\n$/);
    }
  });

  test("is looked for in a file that must be there", async () => {
    const missing = join(scratch, "missing.yml");
    for (const [words, env, said] of [
      [["serve", missing], {}, "missing.yml cannot be read: it does not exist"],
      [["serve"], { REGISTRY_CONFIGURATION_PATH: missing }, "missing.yml cannot be read: it does not exist"],
      [["serve"], { REGISTRY_CONFIGURATION_PATH: "" }, '"" cannot be read: it does not exist'],
      [["serve", scratch], {}, "cannot be read: it is a folder"],
    ] as const) {
      const { exitCode, stderr } = await runProgram(scratch, words, env);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^stowage: the settings file [^\n]+\n$/);
      expect(stderr).toContain(said);
    }
  });
});

describe("a variable that is no setting", () => {
  test("warns with the nearest name, and the server starts", async () => {
    await using server = await startListening({
      env: { REGISTRY_HTTP_ADR: "x", REGISTRY_PORT: "tcp://10.0.0.1:5000", REGISTRY_HTTP_SECRET: "x" },
    });
    await server.printed(/REGISTRY_HTTP_ADR is not a setting and is ignored: did you mean REGISTRY_HTTP_ADDR\?/);
    await server.printed(/REGISTRY_PORT: ignored, because Kubernetes sets these variables/);
    await server.printed(/REGISTRY_HTTP_SECRET: http\.secret is not needed/);
    expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
    expect(server.errors()).toBe("");
  });
});

describe("a variable that is Kubernetes' or podman's", () => {
  test("does not stop the server, whatever the service is called", async () => {
    await using server = await startListening({
      env: {
        REGISTRY_PROXY_SERVICE_HOST: "10.0.0.1",
        REGISTRY_STORAGE_S3_PORT: "tcp://10.0.0.1:5000",
        REGISTRY_PORT_5000_TCP_ADDR: "10.0.0.1",
        REGISTRY_AUTH_FILE: "/run/containers/auth.json",
      },
    });
    await server.printed(/REGISTRY_PROXY_SERVICE_HOST, REGISTRY_STORAGE_S3_PORT: ignored, because Kubernetes/);
    await server.printed(/REGISTRY_AUTH_FILE is a variable of podman/);
    expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
    expect(server.errors()).toBe("");
  });
});

describe("where settings come from", () => {
  test("the environment wins over the file, and the command line over both", async () => {
    const folders = ["file", "environment", "command-line"].map((name) => join(scratch, name));
    const path = await fileWith(`storage: {filesystem: {rootdirectory: ${folders[0]}}, inline: 1KiB}\n`);
    const env = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folders[1]! };
    await using first = await startListening({ words: ["serve", path], env });
    expect(first.output()).toContain(`"dataFolder":"${folders[1]}"`);
    await using second = await startListening({ words: ["serve", path, "--data", folders[2]!], env });
    expect(second.output()).toContain(`"dataFolder":"${folders[2]}"`);
  });

  test("the file may be named by the environment", async () => {
    const path = await fileWith("storage: {delete: {enabled: false}}\n");
    await using server = await startListening({ env: { REGISTRY_CONFIGURATION_PATH: path } });
    expect((await fetch(`${server.url}/v2/team/app/manifests/latest`, { method: "DELETE" })).status).toBe(405);
  });

  test("a file of distribution keeps deletes off unless it allows them, and says so", async () => {
    const off = await fileWith("version: 0.1\nlog: {fields: {service: registry}}\nhttp: {headers: {X: [y]}}\n");
    await using quiet = await startListening({ words: ["serve", off] });
    await quiet.printed(/deleting is off, as in distribution/);
    expect((await fetch(`${quiet.url}/v2/team/app/manifests/latest`, { method: "DELETE" })).status).toBe(405);
    const on = await fileWith("version: 0.1\nstorage: {delete: {enabled: true}}\n");
    await using other = await startListening({ words: ["serve", on] });
    expect((await fetch(`${other.url}/v2/team/app/manifests/latest`, { method: "DELETE" })).status).toBe(404);
  });

  test("the level of the log is heeded", async () => {
    await using server = await startListening({ env: { REGISTRY_LOG_LEVEL: "error" } });
    await fetch(`${server.url}/v2/`);
    expect(await server.stop()).toBe(0);
    expect(server.output()).not.toContain('"http.request.method"');
  });
});
