/** What the seeder leaves is what pushes of the same content leave, so that tests on seeded folders are about the product. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../../src/create-registry.ts";
import { RegistryHere } from "../../costs/support/registry-here.ts";
import { queryFolder } from "../../support/data-folder.ts";
import { scratchFolder } from "../../support/scratch.ts";
import { seededArtifact, seededImage } from "./content.ts";
import type { SeededManifest } from "./content.ts";
import { seed } from "./seeder.ts";

setDefaultTimeout(60_000);

const TYPE = "application/vnd.example.sbom";

/** Columns that follow from the time of a push, or from the order of pushes. */
const ANY_VALUE = /^(?:id|repo|blob|manifest|parent|number|since|until|.*_at)$/;

/** Every row of the folder but those that belong to processes, without what differs from push to push. */
function rowsOf(dataDir: string): Readonly<Record<string, readonly string[]>> {
  const tables = queryFolder(
    dataDir,
    "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'",
  );
  const names = tables
    .map(({ name }) => String(name))
    .filter((name) => !/^(?:holder|lease|last_run|change)$/.test(name));
  const entries = names.map((name): [string, readonly string[]] => {
    const rows = queryFolder(dataDir, `select * from ${name}`);
    const texts = rows.map((row) =>
      JSON.stringify(
        Object.entries(row).map(([column, value]) => [
          column,
          ANY_VALUE.test(column) && value !== null ? "any" : value,
        ]),
        (_key, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value),
      ),
    );
    return [name, texts.toSorted()];
  });
  return Object.fromEntries(entries);
}

async function push(
  registry: RegistryHere,
  repository: string,
  manifest: SeededManifest,
  references: readonly string[],
) {
  for (const { text } of manifest.blobs) await registry.pushBlob(repository, text);
  for (const reference of references) await registry.send("PUT", `${repository}/manifests/${reference}`, manifest.text);
}

function imageOf(repository: string, tag: string): SeededManifest {
  return seededImage(`${repository}:${tag}`, tag === "v0" ? 3 : 1);
}

test("a seeded folder has the rows that pushes leave behind when collection has looked at them", async () => {
  const seeded = await scratchFolder();
  await seed(seeded, (seeder) => {
    seeder.images({ prefix: "many", repositories: 2, images: 2, tags: 2, layers: 3 });
    seeder.tags("many/0000000", "v0-0", 3);
    seeder.referrers({ repository: "many/0000000", tag: "v0-0", count: 2, artifactType: TYPE, annotationBytes: 10 });
  });

  await using registry = await RegistryHere.open();
  const image = imageOf("many/0000000", "v0");
  const subject = { digest: image.digest, size: image.text.length };
  for (const repository of ["many/0000000", "many/0000001"]) {
    for (const tag of ["v0", "v1"])
      await push(registry, repository, imageOf(repository, tag), [`${tag}-0`, `${tag}-1`]);
  }
  for (const tag of ["t0000000", "t0000001", "t0000002"]) await push(registry, "many/0000000", image, [tag]);
  for (const number of [0, 1]) {
    const artifact = seededArtifact(number, { subject, artifactType: TYPE, annotationBytes: 10 });
    await push(registry, "many/0000000", artifact, [artifact.digest]);
  }
  // All that stands in the queue is held.
  for (const table of ["repo_blob", "manifest"])
    queryFolder(registry.dataDir, `update ${table} set review_after = null`);
  expect(rowsOf(seeded)).toEqual(rowsOf(registry.dataDir));
});

test("a seeded folder is whole: what is referenced stays, and what is not is collected", async () => {
  const folder = await scratchFolder();
  await seed(folder, (seeder) => {
    seeder.images({ prefix: "many", repositories: 10, images: 3, tags: 3 });
    seeder.tags("many/0000003", "v0-0", 1000);
    seeder.referrers({ repository: "many/0000003", tag: "v0-0", count: 50 });
    seeder.blobs({ repository: "many/0000004", count: 20 });
    seeder.history("many/0000005", "v2-1", 100);
  });

  await using registry = await createRegistry({ storage: { folder } });
  expect(await Array.fromAsync(registry.check({ deep: true, repair: false }))).toEqual([]);
  expect(await registry.collect()).toMatchObject({ manifests: 0, links: 20, blobs: 20 });
  expect(await Array.fromAsync(registry.check({ deep: true, repair: false }))).toEqual([]);
  expect(queryFolder(folder, "select * from pragma_foreign_key_check")).toEqual([]);
  expect(queryFolder(folder, "select count(*) as n from tag_history where name = 'v2-1'")).toEqual([{ n: 100 }]);
  expect(queryFolder(folder, "select sum(tags) as tags from repo")).toEqual([{ tags: 10 * 9 + 1000 }]);
});
