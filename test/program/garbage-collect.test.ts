/** `stowage garbage-collect`, and the other ways in which containers of distribution's image are started. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { PROGRAM, startRegistry } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

/** A settings file of distribution for a data folder. */
async function settingsFor(dataDir: string): Promise<string> {
  const path = join(await scratchFolder(), "config.yml");
  await writeFile(
    path,
    `version: 0.1\nstorage:\n  cache: {blobdescriptor: inmemory}\n  filesystem: {rootdirectory: ${dataDir}}\n`,
  );
  return path;
}

function run(...words: readonly string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([PROGRAM, ...words]);
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

test("distribution's options do beside the server what those of stowage gc do", async () => {
  await using registry = await startRegistry();
  const settings = await settingsFor(registry.dataDir);
  const digest = await pushBlob(registry.url, "team/app", bytesOf("unreferenced", 100_000));
  const isThere = async () => (await fetch(`${registry.url}/v2/team/app/blobs/${digest}`, { method: "HEAD" })).ok;

  for (const words of [["-dm"], ["-d=true", "-m=false"], ["--dry-run"]]) {
    const { exitCode, stdout } = run("garbage-collect", ...words, "--grace", "0", settings);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringContaining("1  blobs would be deleted") });
  }
  // A blob that was pushed a moment ago may be part of a push that is not over yet.
  expect(run("garbage-collect", "-m", settings)).toMatchObject({ stdout: expect.stringContaining("0  blobs deleted") });
  expect(run("garbage-collect", "-q", settings)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(await isThere()).toBe(true);
  expect(run("garbage-collect", "--delete-untagged=false", "--quiet", "--grace=0", settings).exitCode).toBe(0);
  expect(await isThere()).toBe(false);
});

test("a folder without a registry is refused", async () => {
  const { exitCode, stderr } = run("garbage-collect", "-q", await settingsFor(await scratchFolder()));
  expect(exitCode).toBe(2);
  expect(stderr).not.toBe("");
});

test("registry serve CONFIG.yml serves, by a link of that name and as words of a container", async () => {
  const link = join(await scratchFolder(), "registry");
  await symlink(PROGRAM, link);
  for (const start of [
    { program: link, before: ["serve"] },
    { program: PROGRAM, before: ["registry", "serve"] },
    { program: PROGRAM, before: [] },
  ]) {
    const dataDir = await scratchFolder();
    const words = [...start.before, await settingsFor(dataDir)];
    await using server = await startListening({ program: start.program, words, dataDir });
    await pushImage(server.url, "team/app", "v1");
    expect((await fetch(`${server.url}/v2/team/app/manifests/v1`)).status).toBe(200);
  }
});
