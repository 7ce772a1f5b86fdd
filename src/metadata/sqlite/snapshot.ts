/** A copy of a database as it was at one moment, made while others write to it. */
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Connection } from "./connection.ts";
import { DATABASE, makeFileLikeFolder } from "./data-folder.ts";

/** What of a copied database makes no sense elsewhere: bytes that were arriving, work under way. */
const FORGET = [`delete from upload`, `delete from trash`, `delete from lease`];

/** Copies the database of a data folder into `target`, a folder without one; durable when it resolves. */
export async function snapshotDatabase(folder: string, target: string): Promise<void> {
  const copy = join(target, DATABASE);
  makeFileLikeFolder(copy); // SQLite fills an empty file and leaves its mode
  const source = Connection.open(join(folder, DATABASE), ["busy_timeout = 5000"]);
  try {
    source.run({ text: "vacuum into $1", values: [copy] });
  } finally {
    source.close();
  }
  const made = Connection.open(copy, ["journal_mode = delete", "synchronous = full", "foreign_keys = on"]);
  try {
    for (const statement of FORGET) made.exec(statement);
  } finally {
    made.close();
  }
  for (const path of [copy, dirname(copy)]) {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
