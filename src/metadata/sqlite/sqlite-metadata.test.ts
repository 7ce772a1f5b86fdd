/** The metadata store on a SQLite file: the suite that every engine passes. */
import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Metadata } from "../metadata.ts";
import { metadataSuite, sharingSuite } from "../testing/metadata-suite.ts";
import { sqliteOfNode } from "./binding.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-sqlite-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let files = 0;

metadataSuite("SQLite", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`));
  return { store: new Metadata(engine, clock), engine };
});

sharingSuite("SQLite, alone", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`), { alone: true });
  return { store: new Metadata(engine, clock), engine };
});

metadataSuite("SQLite as Node brings it", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`), { openSqlite: sqliteOfNode });
  return { store: new Metadata(engine, clock), engine };
});
