/** Adoption with the metadata in SQLite, and what stops it there. */
import { expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry, RegistryOptions } from "../../src/create-registry.ts";
import { pushImage } from "../../src/registry/push-image.ts";
import { adoptionSuite, newTree } from "./support/adoption-suite.ts";
import type { TreeWriter } from "./support/tree-writer.ts";

adoptionSuite("SQLite", ({ root: folder }) => Promise.resolve({ folder, adopts: true }));

const NEVER = new AbortController().signal;

function openOn({ root: folder }: TreeWriter, options: Partial<RegistryOptions> = {}): Promise<Registry> {
  return createRegistry({ storage: { folder, adopts: true }, ...options });
}

test("a GitLab registry whose database is in use is refused; a folder of distribution without `adopts` too", async () => {
  const tree = newTree();
  tree.image("app", "1", ["v1"]);
  expect(createRegistry({ storage: { folder: tree.root } })).rejects.toThrow("stowage serve");
  tree.write(join(tree.root, "docker/registry/lockfiles/database-in-use"), '{"version":1}');
  expect(openOn(tree)).rejects.toThrow("GitLab");
  expect(existsSync(join(tree.root, "registry.db"))).toBe(false);
});

test("is refused when the database went that knows what was pushed since", async () => {
  const tree = newTree();
  tree.image("app", "1", ["v1"]);
  {
    await using registry = await openOn(tree, { limits: { inlineBytes: 0 } });
    await registry.adoptInBackground(NEVER);
    await pushImage(registry.namespace, "app:new");
  }
  for (const file of ["registry.db", "registry.db-wal", "registry.db-shm"])
    rmSync(join(tree.root, file), { force: true });
  expect(openOn(tree)).rejects.toThrow("restore a backup");
  expect(existsSync(join(tree.root, "registry.db"))).toBe(false);
});
