/** The metadata store on a SQLite file: the suite that every engine passes. */
import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqlMetadataStore } from "../sql-metadata-store.ts";
import { metadataStoreSuite } from "../testing/metadata-store-suite.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-sqlite-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let files = 0;

metadataStoreSuite("SQLite", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`));
  return { store: new SqlMetadataStore(engine, clock), engine };
});

metadataStoreSuite("SQLite, alone", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`), { alone: true });
  return { store: new SqlMetadataStore(engine, clock), engine };
});
