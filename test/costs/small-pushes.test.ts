/** What small pushes cost when many clients push at once: statements, and pages of the database's log. Nothing is timed. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { seed } from "../stalls/support/seeder.ts";
import { descriptorOf, imageManifest, OCI_CONFIG, OCI_LAYER } from "../support/content.ts";
import { RegistryHere } from "./support/registry-here.ts";
import { StatementLog } from "./support/statement-log.ts";

setDefaultTimeout(60_000);

const WRITERS = 16;
const IMAGES = 6;

/**
 * Of an image of three blobs and its manifest, with the begin and the commit of its transactions. Both depend on how many pushes
 * share a commit.
 */
const MOST_STATEMENTS = 25;
const MOST_PAGES = 12;

/** A page takes so much in the log, and the log has a head (https://www.sqlite.org/walformat.html). */
const FRAME_BYTES = 4096 + 24;
const HEAD_BYTES = 32;

let registry: RegistryHere;

beforeAll(async () => {
  registry = await RegistryHere.open();
  // So many that the index of digests has more pages than a group of pushes.
  await seed(registry.dataDir, (seeder) => seeder.images({ prefix: "seeded", repositories: 1000, layers: 2 }));
});
afterAll(() => registry[Symbol.asyncDispose]());

function pagesInLog(): number {
  return Math.max(0, statSync(join(registry.dataDir, "registry.db-wal")).size - HEAD_BYTES) / FRAME_BYTES;
}

async function push(repository: string, name: string): Promise<void> {
  const config = JSON.stringify({ name, repository, filling: "c".repeat(600) });
  const layers = [0, 1].map((at) => `${repository} ${name} ${at} ${"l".repeat(300)}`);
  for (const blob of [config, ...layers]) await registry.pushBlob(repository, blob);
  const described = layers.map((layer) => descriptorOf(OCI_LAYER, layer));
  await registry.send(
    "PUT",
    `${repository}/manifests/${name}`,
    imageManifest(descriptorOf(OCI_CONFIG, config), described),
  );
}

async function pushAll(count: number, prefix: string): Promise<void> {
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let at = 0; at < count; at++) await push(`pushed/${writer}`, `${prefix}${at}`);
  });
  await Promise.all(writers);
}

test("16 clients that push small images into repositories of their own", async () => {
  await pushAll(1, "first");
  using log = new StatementLog();
  const before = pagesInLog();
  const texts = await log.during(() => pushAll(IMAGES, "image"));
  const images = WRITERS * IMAGES;
  const statements = texts.filter((text) => !text.startsWith("pragma")).length / images;
  const pages = (pagesInLog() - before) / images;
  expect(statements).toBeLessThanOrEqual(MOST_STATEMENTS);
  expect(pages).toBeLessThanOrEqual(MOST_PAGES);
  expect(Math.min(statements, pages)).toBeGreaterThan(2); // else nothing was counted
});
