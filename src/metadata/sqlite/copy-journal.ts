/** What a migration has done, beside its target: when it is interrupted, the next run goes on. */
import { digestBytes, digestOfBytes } from "../digest-bytes.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Row, Value } from "../sql.ts";
import { Connection } from "./connection.ts";

const SCHEMA = `
  create table if not exists migration (
    only_row integer primary key check (only_row = 1),
    source text not null,
    target text not null,
    copy blob not null
  ) strict;
  create table if not exists copied (
    digest blob primary key,
    storage_key text not null,
    fingerprint text not null
  ) strict, without rowid`;

/** Between which registries it goes, and the id that the target gets. */
export interface Migration {
  readonly source: string;
  readonly target: string;
  /** The id of the store in the target. */
  readonly copy: Uint8Array;
}

export interface JournaledBlob {
  readonly digest: Digest;
  readonly storageKey: string;
  readonly fingerprint: string;
}

export class CopyJournal implements Disposable {
  readonly #connection: Connection;

  /** Opens the journal at `path`, which is made when it is not there. */
  constructor(path: string) {
    // Bytes are removed once their entry is, also after a power loss.
    this.#connection = Connection.open(path, ["journal_mode = wal", "synchronous = full"]);
    this.#connection.exec(SCHEMA);
  }

  /** Undefined when it has just been made. */
  get migration(): Migration | undefined {
    const [row] = this.#run("select source, target, copy from migration");
    return row && { source: String(row["source"]), target: String(row["target"]), copy: row["copy"] as Uint8Array };
  }

  begin({ source, target, copy }: Migration): void {
    this.#run("insert into migration (only_row, source, target, copy) values (1, $1, $2, $3)", source, target, copy);
  }

  add(blobs: readonly JournaledBlob[]): void {
    this.#connection.exec("begin");
    for (const { digest, storageKey, fingerprint } of blobs) {
      this.#run(
        "insert or replace into copied (digest, storage_key, fingerprint) values ($1, $2, $3)",
        digestBytes(digest),
        storageKey,
        fingerprint,
      );
    }
    this.#connection.exec("commit");
  }

  /** Removes what was copied under these keys; durable when it returns. */
  forget(keys: readonly string[]): void {
    this.#run("delete from copied where storage_key in (select value from json_each($1))", JSON.stringify(keys));
  }

  /** Those that were copied. */
  find(digests: readonly Digest[]): ReadonlyMap<Digest, JournaledBlob> {
    const found = new Map<Digest, JournaledBlob>();
    for (const digest of digests) {
      const [row] = this.#run(
        "select digest, storage_key, fingerprint from copied where digest = $1",
        digestBytes(digest),
      );
      if (!row) continue;
      const blob = {
        digest: digestOfBytes(row["digest"] as Uint8Array),
        storageKey: String(row["storage_key"]),
        fingerprint: String(row["fingerprint"]),
      };
      found.set(blob.digest, blob);
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }

  #run(text: string, ...values: readonly Value[]): readonly Row[] {
    return this.#connection.run({ text, values });
  }
}
