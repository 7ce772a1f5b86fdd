/** `stowage gc`: what it removes, and what it says of the rest. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { pushBlob } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { PROGRAM, startRegistry } from "../support/registry.ts";

setDefaultTimeout(60_000);

const HOUR_MS = 3_600_000;

async function gc(...words: readonly string[]): Promise<string> {
  const child = Bun.spawn([PROGRAM, "gc", ...words], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text;
}

test("gc that finds nothing due says what waits and until when; --grace 0 takes it", async () => {
  await using registry = await startRegistry();
  const before = Date.now();
  await pushBlob(registry.url, "team/app", bytesOf("large", 100_000));
  const folder = ["--data", registry.dataDir];
  for (const dryRun of [[], ["--dry-run"]]) {
    const { waiting, ...report } = JSON.parse(await gc(...folder, ...dryRun, "--json")) as Record<string, unknown>;
    expect(report).toMatchObject({ dryRun: dryRun.length > 0, links: 0, blobs: 0 });
    expect(waiting).toEqual({ entries: 1, nextReviewAt: expect.any(Number), files: 0, isHeldByBackup: false });
    const { nextReviewAt } = waiting as { nextReviewAt: number };
    expect(nextReviewAt).toBeGreaterThanOrEqual(before + HOUR_MS);
    const text = await gc(...folder, ...dryRun);
    expect(text).toContain("1  manifests and blobs wait for garbage collection, the first from 2");
    expect(text).toContain("--grace 0");
  }
  const preview = await gc(...folder, "--dry-run", "--grace", "0");
  expect(preview).toContain("1  blobs would be deleted");
  expect(preview).not.toMatch(/wait|--grace/);
  expect(await gc(...folder, "--grace", "0")).not.toContain("wait");
  expect(JSON.parse(await gc(...folder, "--json"))).toMatchObject({ waiting: { entries: 0, files: 0 } });
});
