/** `stowage backup` beside a running server, and `stowage restore` of what it made. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { PROGRAM, startRegistry } from "../support/registry.ts";

setDefaultTimeout(60_000);

async function stowage(...words: readonly string[]): Promise<number> {
  const child = Bun.spawn([PROGRAM, ...words], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  return await child.exited;
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
