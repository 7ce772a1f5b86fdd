/** `stowage backup` beside a running server, and `stowage restore` of what it made. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, readdir, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { queryFolder } from "../support/data-folder.ts";
import { PROGRAM, startRegistry } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const root = await scratchFolder();

async function stowage(...words: readonly string[]): Promise<number> {
  return (await run(tmpdir(), ...words)).exitCode;
}

async function run(cwd: string, ...words: readonly string[]) {
  const child = Bun.spawn([PROGRAM, ...words], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { exitCode: await child.exited, stdout, stderr };
}

/** The one file of a blob in a data folder or backup. */
async function fileOf(folder: string, digest: string): Promise<string> {
  const hex = digest.replace("sha256:", "");
  const parent = join(folder, "blobs", "sha256", hex.slice(0, 2));
  const name = (await readdir(parent)).find((each) => each.startsWith(hex));
  return join(parent, name!);
}

/** Names, modes, times and digests of everything below a folder. */
async function stateOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const states = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    const { mode, mtimeMs } = await stat(path);
    const digest = entry.isFile() ? digestOf(await readFile(path)) : "a folder";
    return `${relative(folder, path)} ${mode} ${mtimeMs} ${digest}`;
  });
  return (await Promise.all(states)).toSorted();
}

test.each([[], ["--copy"]])("a backup made while serving is restored whole (%p)", async (...how) => {
  const folder = await mkdtemp(join(tmpdir(), "stowage-backup-"));
  const [kept, restored] = [join(folder, "kept"), join(folder, "restored")];
  await using original = await startRegistry();
  const image = await pushImage(original.url, "team/app", "v1");
  const layer = bytesOf("large", 100_000);
  const digest = await pushBlob(original.url, "team/app", layer);

  expect(await stowage("backup", kept, ...how, "--data", original.dataDir)).toBe(0);
  expect((await stat(kept)).mode & 0o777).toBe(0o700);
  expect((await stat(join(kept, "registry.db"))).mode & 0o777).toBe(0o600);
  expect(await stowage("backup", kept, "--data", original.dataDir)).toBe(2); // never over another one

  await pushImage(original.url, "team/app", "later", 2);
  expect(await stowage("restore", kept, ...how, "--data", restored)).toBe(0);
  expect(await stowage("check", "--deep", "--data", restored)).toBe(0);
  await using copy = await startRegistry({ dataDir: restored });
  expect(await (await fetch(`${copy.url}/v2/team/app/manifests/v1`)).text()).toBe(image.body);
  expect(await (await fetch(`${copy.url}/v2/team/app/blobs/${digest}`)).bytes()).toEqual(layer);
  expect((await fetch(`${copy.url}/v2/team/app/manifests/later`)).status).toBe(404);
  expect(await stowage("restore", kept, "--data", restored)).toBe(2); // never over a registry
  await rm(folder, { recursive: true });
});

test("a backup goes on behind blobs whose files are gone, too short or marked, names them and what needs them, and ends with 1", async () => {
  const scratch = await freshFolder();
  await using original = await startRegistry();
  const layers = await Promise.all(
    ["gone", "short", "marked", "whole"].map((seed) => pushBlob(original.url, "team/app", bytesOf(seed, 100_000))),
  );
  const [gone, short, marked, whole] = layers as [string, string, string, string];
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: layers.map((digest) => ({ mediaType: "application/octet-stream", digest, size: 100_000 })),
  };
  const pushed = await fetch(`${original.url}/v2/team/app/manifests/v1`, {
    method: "PUT",
    headers: { "content-type": manifest.mediaType },
    body: JSON.stringify(manifest),
  });
  expect(pushed.status).toBe(201);
  await rm(await fileOf(original.dataDir, gone));
  await truncate(await fileOf(original.dataDir, short), 99_999);
  queryFolder(original.dataDir, "update blob set state = 'damaged' where digest = ?", marked);

  const kept = join(scratch, "kept");
  const backup = await run(scratch, "backup", kept, "--copy", "--data", original.dataDir);
  expect(backup.exitCode).toBe(1);
  expect(backup.stdout).toMatch(new RegExp(`^missing +${gone} `, "m"));
  expect(backup.stdout).toMatch(new RegExp(`^wrong size +${short} `, "m"));
  expect(backup.stdout).toMatch(new RegExp(`^marked damaged +${marked} `, "m"));
  expect(backup.stdout).toContain("team/app:v1");
  expect(backup.stdout).toContain("stowage check --repair");

  const restored = join(scratch, "restored");
  expect((await run(scratch, "restore", kept, "--data", restored)).exitCode).toBe(1);
  await using copy = await startRegistry({ dataDir: restored });
  const statuses = layers.map(async (digest) => (await fetch(`${copy.url}/v2/team/app/blobs/${digest}`)).status);
  expect(await Promise.all(statuses)).toEqual([404, 404, 404, 200]);
  expect(whole).toBe(digestOf(bytesOf("whole", 100_000)));
});

test("a restore leaves the backup as it is, however the folders are named", async () => {
  const scratch = await freshFolder();
  await using original = await startRegistry();
  await pushImage(original.url, "team/app", "v1");
  const digest = await pushBlob(original.url, "team/app", bytesOf("large", 100_000));
  expect((await run(scratch, "backup", "./a/../kept with space/", "--data", original.dataDir)).exitCode).toBe(0);
  const kept = join(scratch, "kept with space");
  const before = await stateOf(kept);
  expect(before.map((each) => each.split(" ")[0])).toContain("registry.db");
  expect(before.join("\n")).not.toMatch(/registry\.db[-.]/);

  expect((await run(scratch, "restore", "kept with space//", "--data", "./restored/")).exitCode).toBe(0);
  expect(await stateOf(kept)).toEqual(before);
  await using copy = await startRegistry({ dataDir: join(scratch, "restored") });
  expect((await fetch(`${copy.url}/v2/team/app/blobs/${digest}`)).status).toBe(200);
});

test("a backup that was held up for too long fails, and is none", async () => {
  const scratch = await freshFolder();
  await using original = await startRegistry();
  for (let seed = 0; seed < 40; seed++) await pushBlob(original.url, "team/app", bytesOf(seed, 20_000));
  const kept = join(scratch, "kept");
  const backup = run(scratch, "backup", kept, "--copy", "--data", original.dataDir);
  // Its lease ended meanwhile, as when the machine slept, and a server may have unlinked files.
  const taken = "update lease set until = 1 where name = 'backup' returning name";
  while (queryFolder(original.dataDir, taken).length === 0) await Bun.sleep(1);
  const { exitCode, stderr } = await backup;
  expect(exitCode).toBe(2);
  expect(stderr).toContain("Make another backup");
  expect(await readdir(kept)).not.toContain("registry.db");
  expect((await run(scratch, "restore", kept, "--data", join(scratch, "restored"))).exitCode).toBe(2);
});

test("what is no backup is not restored, and a backup is not made into the registry itself", async () => {
  const scratch = await freshFolder();
  await using original = await startRegistry();
  await pushImage(original.url, "team/app", "v1");
  const restored = join(scratch, "restored");
  for (const folder of [original.dataDir, scratch, join(scratch, "absent")]) {
    expect((await run(scratch, "restore", folder, "--data", restored)).exitCode).toBe(2);
  }
  const inside = join(original.dataDir, "blobs", "backup");
  expect((await run(scratch, "backup", inside, "--data", original.dataDir)).exitCode).toBe(2);
  expect(await readdir(scratch)).toEqual([]);
});

async function freshFolder(): Promise<string> {
  return await mkdtemp(join(root, "test-"));
}
