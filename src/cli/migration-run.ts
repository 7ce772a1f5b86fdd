/** Copies a whole registry into an empty database and store, in as many runs as it takes. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Settings } from "../config/schema.ts";
import { folderPath } from "../lib/folder-path.ts";
import { postgresAddress } from "../lib/postgres-address.ts";
import { formatSize } from "../lib/size.ts";
import { DATABASE, UNFINISHED_COPY } from "../metadata/database-file.ts";
import type { SqlEngine } from "../metadata/sql.ts";
import { openBlobs } from "../open-drivers.ts";
import type { TransferProblem } from "../registry/copying/blob-transfer.ts";
import { STORE_ID_SECRET } from "../registry/store-identity.ts";
import type { BlobStore, StorageKey } from "../storage/blob-store.ts";
import { TREE } from "../storage/distribution-tree.ts";
import type { StoreIdentity } from "../storage/store-identity.ts";
import { CommandError } from "./command-error.ts";
import { copyBlobsOf } from "./copied-blobs.ts";
import { showCopyProgress } from "./copy-progress.ts";
import { databaseOf, explained, storageOf } from "./open-registry.ts";
import { print } from "./print.ts";
import type { RegistrySource } from "./registry-source.ts";
import { s3OptionsOf } from "./s3-storage.ts";

/** What the blobs are there for already, and the source still takes pushes. */
const NOT_FINISHED = 3;

/** In the data folder of the target. */
const STATE = "migration";
const JOURNAL = "journal.db";

/** Holds the blobs of an adopted source, which keep their keys. */
const [TREE_FOLDER = ""] = TREE.split("/");

/** How long a statement may take that writes or reads many rows. */
const STATEMENT_MS = 600_000;

/** Where the facts are, for people and to compare. */
export function databaseName({ database, storage }: Settings): string {
  if (database.url === undefined) return `SQLite in ${realFolder(storage.filesystem.rootdirectory)}`;
  const { host, port, database: name } = postgresAddress(database.url, process.env, database.passwordfile);
  return `PostgreSQL on ${host}:${port}/${name}`;
}

/** Where the bytes are. */
export function storeName(settings: Settings): string {
  const s3 = s3OptionsOf(settings);
  if (!s3) return `files in ${realFolder(settings.storage.filesystem.rootdirectory)}`;
  return `the bucket ${s3.bucket}${s3.prefix ? `/${s3.prefix}` : ""} at ${s3.endpoint ?? s3.region}`;
}

function realFolder(given: string): string {
  const folder = folderPath(given);
  return existsSync(folder) ? realpathSync(folder) : folder;
}

export interface Target extends AsyncDisposable {
  readonly store: BlobStore;
  /** Undefined where the store is in one folder with its database. */
  readonly identity: StoreIdentity | undefined;
  /** The data folder of the settings. */
  readonly folder: string;
  readonly hasFolder: boolean;
  /** Undefined when the database is SQLite, in the folder. */
  readonly postgres: SqlEngine | undefined;
}

/** Opens where a registry is to be; a folder that is not there is made. */
export async function openTarget(settings: Settings): Promise<Target> {
  const folder = folderPath(settings.storage.filesystem.rootdirectory);
  const isPostgres = settings.database.url !== undefined;
  await using closing = new AsyncDisposableStack();
  mkdirSync(join(folder, STATE), { recursive: true, mode: 0o700 });
  const { blobs: store, identity } = await openBlobs(storageOf(settings, { mustExist: false, adopts: false })).catch(
    explained,
  );
  closing.defer(() => store.close());
  let postgres: SqlEngine | undefined;
  const database = databaseOf(settings);
  if (database) {
    const { openPostgres } = await import("../metadata/postgres/open-postgres.ts");
    postgres = await openPostgres({ ...database, timeoutMs: STATEMENT_MS }).catch(explained);
    const engine = postgres;
    closing.defer(() => engine.close());
  }
  const opened = closing.move();
  return {
    store,
    identity: isPostgres || settings.storage.s3 ? identity : undefined,
    folder,
    hasFolder: !isPostgres || !settings.storage.s3,
    postgres,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

export interface Ends {
  readonly from: Settings;
  readonly to: Settings;
}

export interface RunOptions {
  /** Whether progress and result are printed as JSON. */
  readonly json?: boolean;
  /** Whether bytes are copied where a hard link would do. */
  readonly copies?: boolean;
}

/** One run, which goes on where the one before ended. */
export class MigrationRun {
  readonly #ends: Ends;
  readonly #source: RegistrySource;
  readonly #target: Target;
  readonly #json: boolean;
  readonly #copies: boolean;
  readonly #state: string;

  constructor(ends: Ends, source: RegistrySource, target: Target, { json = false, copies = false }: RunOptions = {}) {
    this.#ends = ends;
    this.#source = source;
    this.#target = target;
    this.#json = json;
    this.#copies = copies;
    this.#state = join(target.folder, STATE);
  }

  async run(): Promise<number> {
    const { from, to } = this.#ends;
    const { copyId, isFinished } = await this.#begin();
    if (isFinished) return await this.#clear(copyId);
    await using held = await this.#source.holdUnlinking();
    const progress = showCopyProgress({ json: this.#json });
    const database = await this.#emptyCopy();
    const isUnchanged = await this.#source.takeSnapshot(database, {
      signal: held.lost,
      onStep: (done) => progress.step("database", done),
    });
    progress.end();
    const isSameStore = storeName(from) === storeName(to);
    const { store } = this.#target;
    const { blobs, bytes, problems } = await copyBlobsOf({
      database,
      source: this.#source.blobs,
      target: isSameStore ? undefined : store,
      copy: copyId.toString("hex"),
      link: isSameStore ? undefined : await linkOf(from, to, this.#copies),
      journal: join(this.#state, JOURNAL),
      signal: held.lost,
      progress,
      report: (lines) => void (this.#json ? process.stderr.write(lines) : print(lines)),
    });
    if (!(await held.confirm())) {
      throw new CommandError(
        "the servers of the source did not wait for this copy, because it gave no sign of life for too long: run it again",
      );
    }
    const what = { blobs, bytes, missing: problems };
    if (!this.#source.isReadOnly) {
      return await this.#unfinished(what, "the source is not read-only");
    }
    if (!(await isUnchanged()))
      return await this.#unfinished(what, "the source has changed since its database was copied");
    if (!(await this.#finish(database, copyId, isUnchanged, (done) => progress.step("database", done)))) {
      return await this.#unfinished(what, "the source has changed while its database was written to the target");
    }
    await this.#source.recordMigration(`to ${databaseName(to)} and ${storeName(to)}`);
    await rm(this.#state, { recursive: true, force: true });
    progress.end();
    this.#print(
      { result: "complete", ...what },
      () =>
        `${databaseName(to)} and ${storeName(to)} hold ${blobs} blobs (${formatSize(bytes)}), and the database, whose rows ` +
        `were compared. ${this.#next}\n` +
        (problems === 0
          ? ""
          : `${problems} blobs are missing in it, as in the source: a push of the images that need them puts that right.\n`),
    );
    return problems === 0 ? 0 : 1;
  }

  /** Ends a migration whose last run was killed when everything was written. */
  async #clear(id: Buffer): Promise<number> {
    await this.#target.identity?.write(id.toString("hex"));
    await rm(this.#state, { recursive: true, force: true });
    this.#print({ result: "complete" }, () => `The run before had copied everything. ${this.#next}\n`);
    return 0;
  }

  /** Whether the target has its database. */
  async #isFinished(id: Buffer): Promise<boolean> {
    const { postgres, folder } = this.#target;
    if (postgres) {
      const { hasSecret } = await import("../metadata/postgres/database-copy.ts");
      return await hasSecret(postgres, STORE_ID_SECRET, id);
    }
    const database = join(folder, DATABASE);
    if (!existsSync(database)) return false;
    const { hasSecret } = await import("../metadata/sqlite/snapshot.ts");
    return hasSecret(database, STORE_ID_SECRET, id);
  }

  /** Takes the rows out of the target of which the run before did not learn whether the source had changed meanwhile. */
  async #removeUnconfirmed(id: Buffer): Promise<void> {
    const { postgres } = this.#target;
    if (!postgres) return;
    const { emptyPostgres, hasSecret } = await import("../metadata/postgres/database-copy.ts");
    if (await hasSecret(postgres, STORE_ID_SECRET, unconfirmedId(id))) await emptyPostgres(postgres);
  }

  /** Finds the migration that goes on, or begins one in an empty target. Returns the id that the target gets. */
  async #begin(): Promise<{ readonly copyId: Buffer; readonly isFinished: boolean }> {
    const { CopyJournal } = await import("../metadata/sqlite/copy-journal.ts");
    const { from, to } = this.#ends;
    const names = { source: `${databaseName(from)}, ${storeName(from)}`, target: storeName(to) };
    const { identity } = this.#target;
    const isSameStore = storeName(from) === storeName(to);
    using journal = new CopyJournal(join(this.#state, JOURNAL));
    const found = journal.migration;
    if (found && (found.source !== names.source || found.target !== names.target)) {
      throw new CommandError(
        `${this.#state} belongs to a migration from ${found.source} to ${found.target}: finish that one, or empty its target and delete ${this.#state}`,
      );
    }
    const copy = found ? Buffer.from(found.copy) : randomBytes(32);
    if (found && (await this.#isFinished(copy))) return { copyId: copy, isFinished: true };
    if (found) await this.#removeUnconfirmed(copy);
    const id = copy.toString("hex");
    await this.#refuseUsedTarget(found === undefined, isSameStore ? undefined : id);
    if (!found) journal.begin({ ...names, copy });
    if (!isSameStore) await identity?.write(id);
    return { copyId: copy, isFinished: false };
  }

  /** Throws `CommandError` when the target holds something that this migration did not write. */
  async #refuseUsedTarget(isNew: boolean, id: string | undefined): Promise<void> {
    const { folder, hasFolder, identity, postgres } = this.#target;
    const again = "give an empty target, or, to go on with a migration, the same source and target as before";
    if (hasFolder) {
      const ours = new Set([STATE, "uploads", "blobs", ...(isNew ? [] : [UNFINISHED_COPY, "store-id", TREE_FOLDER])]);
      const other = readdirSync(folder).find((name) => !ours.has(name) && !name.startsWith(UNFINISHED_COPY));
      if (other !== undefined)
        throw new CommandError(`the target folder ${folder} is not empty, it holds ${other}: ${again}`);
    }
    if (id !== undefined && identity) {
      const there = await identity.read().catch(explained);
      if (there === undefined ? isNew && (await identity.hasBlobs()) : there !== id) {
        throw new CommandError(`the ${identity.place} of the target belongs to a registry already: ${again}`);
      }
    } else if (isNew && id !== undefined) {
      for await (const { key } of this.#target.store.list()) {
        throw new CommandError(`the target folder ${folder} is not empty, it holds ${key}: ${again}`);
      }
    }
    if (!postgres) return;
    const { isUsed } = await import("../metadata/postgres/database-copy.ts");
    if (!(await isUsed(postgres))) return;
    throw new CommandError(`the database of the target holds a registry already: ${again}`);
  }

  /** The path for a copy of the database, where none is. */
  async #emptyCopy(): Promise<string> {
    const path = join(this.#target.postgres ? this.#state : this.#target.folder, UNFINISHED_COPY);
    for (const suffix of ["", "-wal", "-shm", "-journal"]) await rm(`${path}${suffix}`, { force: true });
    return path;
  }

  /** Makes the copy the database of the target. False when the source changed meanwhile: then the target has no database. */
  async #finish(
    database: string,
    id: Buffer,
    isUnchanged: () => Promise<boolean>,
    onStep: (done: string) => void,
  ): Promise<boolean> {
    const { postgres, folder, identity } = this.#target;
    const { CopyFile } = await import("../metadata/sqlite/copy-file.ts");
    {
      using file = CopyFile.open(database);
      file.setSecret(STORE_ID_SECRET, postgres ? unconfirmedId(id) : id);
      file.checkPages();
      if (postgres) {
        const { emptyPostgres, loadIntoPostgres, setSecret } = await import("../metadata/postgres/database-copy.ts");
        const onRows = (table: string, rows: number): void => onStep(`${table}: ${rows.toLocaleString("en")} rows`);
        if (!(await loadIntoPostgres(postgres, file, { onRows }))) {
          throw new CommandError(
            "the database of the target was filled by another program meanwhile: give an empty one",
          );
        }
        if (!(await isUnchanged())) {
          await emptyPostgres(postgres);
          return false;
        }
        await setSecret(postgres, STORE_ID_SECRET, id);
      }
    }
    if (!postgres) {
      if (!(await isUnchanged())) return false;
      const { finishCopy } = await import("../metadata/sqlite/snapshot.ts");
      await finishCopy(database, join(folder, DATABASE));
    }
    await identity?.write(id.toString("hex"));
    return true;
  }

  /** What a person does when all is copied. */
  get #next(): string {
    if (storeName(this.#ends.from) !== storeName(this.#ends.to)) return this.#source.next;
    return (
      "End the servers of the source first, because they go on collecting garbage in the bucket that both have; then start the " +
      "servers with these settings."
    );
  }

  async #unfinished(what: object, why: string): Promise<number> {
    await this.#emptyCopy();
    this.#print(
      { result: "not finished", why, ...what },
      () =>
        `The blobs are copied and verified, and the migration is not finished, because ${why}: pushes would be lost. Set ` +
        "storage.maintenance.readonly.enabled: true in the settings of the source, reload its servers (SIGHUP), and run this command " +
        "again: it copies what was pushed meanwhile, and finishes.\n",
    );
    return NOT_FINISHED;
  }

  #print(record: object, text: () => string): void {
    print(this.#json ? `${JSON.stringify(record)}\n` : text());
  }
}

/** The id of a target whose rows are written, until it is known that the source did not change meanwhile: it fits no store. */
function unconfirmedId(id: Buffer): Buffer {
  return createHash("sha256").update("unconfirmed ").update(id).digest();
}

/** Hard links, where both stores are files. */
async function linkOf(
  from: Settings,
  to: Settings,
  copy: boolean,
): Promise<((key: StorageKey, size: number) => Promise<TransferProblem | undefined>) | undefined> {
  if (from.storage.s3 || to.storage.s3) return undefined;
  const { FilesystemBlobStore } = await import("../storage/filesystem/filesystem-blob-store.ts");
  const source = FilesystemBlobStore.reading(folderPath(from.storage.filesystem.rootdirectory));
  const target = await FilesystemBlobStore.open(folderPath(to.storage.filesystem.rootdirectory));
  return (key, size) => source.putInto(target, key, { size, copy });
}
