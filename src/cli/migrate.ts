/** `stowage migrate`: copies a whole registry to another database, to another store, or both. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Settings } from "../config/schema.ts";
import { SettingsError, loadSettings } from "../config/sources.ts";
import type { Registry } from "../create-registry.ts";
import { folderPath } from "../lib/folder-path.ts";
import { pause } from "../lib/pause.ts";
import { formatSize } from "../lib/size.ts";
import { postgresAddress } from "../lib/postgres-address.ts";
import { DATABASE, UNFINISHED_COPY } from "../metadata/database-file.ts";
import type { SqlEngine } from "../metadata/sql.ts";
import { OciError } from "../oci/error.ts";
import { openBlobs } from "../open-drivers.ts";
import type { TransferProblem } from "../registry/copying/blob-transfer.ts";
import type { HeldLease } from "../registry/gc/lease.ts";
import { STORE_ID_SECRET } from "../registry/store-identity.ts";
import type { BlobStore, StorageKey } from "../storage/blob-store.ts";
import type { StoreIdentity } from "../storage/store-identity.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { copyBlobsOf } from "./copied-blobs.ts";
import { showCopyProgress } from "./copy-progress.ts";
import { databaseOf, explained, storageOf } from "./open-registry.ts";
import { print, printError } from "./print.ts";
import { recordOperation } from "./record-operation.ts";
import { openSource } from "./registry-source.ts";
import type { RegistrySource } from "./registry-source.ts";
import { s3OptionsOf } from "./s3-storage.ts";
import { readSettings } from "./settings-options.ts";

const HELP = `stowage migrate --from CONFIG.yml|FOLDER --to CONFIG.yml|FOLDER [options]: copies a registry to another database or store

  stowage migrate --from old.yml --to new.yml                   as the settings files say: files or S3, SQLite or PostgreSQL
  stowage migrate --from /var/lib/registry --to new.yml         a folder stands for files and SQLite in it

1. Run it while the source serves, pulls and pushes: it copies all blobs, and verifies each by its digest.
2. Set storage.maintenance.readonly.enabled: true in the settings of the source and reload its servers (SIGHUP).
3. Run the command again: it copies what was pushed meanwhile, and then the database, compares every row, and finishes. When the
   source has changed all the same, it says so and does not finish.
4. Start the servers with the settings of the target, and end those of the source.

The source is only read. The target must be empty, and no server may run on it. An interrupted migration goes on when the
command is run again; until it is done, its state lies in the folder storage.filesystem.rootdirectory of the target.
Everything is copied but unfinished uploads, which clients begin again. Variables such as REGISTRY_HTTP_ADDR are not read,
because they would mean both registries.

  --from CONFIG.yml|FOLDER  the registry that is copied
  --to CONFIG.yml|FOLDER    the registry that it becomes
  --json                    print progress and result as JSON, one object in a line

Exit code: 0 complete, 1 complete except for blobs that are missing or corrupt in the source, 2 failed, 3 the blobs are
copied, and the source has to be read-only to finish.
`;

/** What the blobs are there for already, and the source still takes pushes. */
const NOT_FINISHED = 3;

/** In the data folder of the target. */
const STATE = "migration";
const JOURNAL = "journal.db";

/** The lease of a process that died ends after a minute. */
const LEASE_TRIES = 70;
const LEASE_TRY_MS = 1000;

/** How long a statement may take that writes or reads many rows. */
const STATEMENT_MS = 600_000;

export function migrate(args: readonly string[]): Promise<number> {
  return failingWith2(async () => {
    const line = readCommandLine(args, {
      help: HELP,
      options: { from: { type: "string" }, to: { type: "string" }, json: { type: "boolean", default: false } },
      maxWords: 0,
    });
    if (!line) return 0;
    const { from, to, json } = line.values;
    if (from === undefined || to === undefined) {
      throw new CommandError(
        "migrate takes --from and --to: stowage migrate --from old.yml --to new.yml, each a settings file or a data folder",
      );
    }
    const ends = { from: endOf("--from", from), to: endOf("--to", to) };
    refuseSame(ends.from, ends.to);
    await using source = await openSource(ends.from);
    await using target = await openTarget(ends.to);
    return await new MigrationRun(ends, source, target, json).run();
  });
}

/** The settings of one of both registries. */
function endOf(option: string, value: string): Settings {
  const isFile = /\.ya?ml$/i.test(value) || (existsSync(value) && statSync(value).isFile());
  try {
    const { settings } = isFile
      ? loadSettings({ file: { path: value, text: readSettings(value) }, environment: {}, flags: {} })
      : loadSettings({ environment: {}, flags: { "storage.filesystem.rootdirectory": value } });
    return settings;
  } catch (error) {
    if (error instanceof SettingsError) throw new CommandError(`${option}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Where the facts are, for people and to compare. */
function databaseName({ database, storage }: Settings): string {
  if (database.url === undefined) return `SQLite in ${realFolder(storage.filesystem.rootdirectory)}`;
  const { host, port, database: name } = postgresAddress(database.url, process.env, database.passwordfile);
  return `PostgreSQL on ${host}:${port}/${name}`;
}

/** Where the bytes are. */
function storeName(settings: Settings): string {
  const s3 = s3OptionsOf(settings);
  if (!s3) return `files in ${realFolder(settings.storage.filesystem.rootdirectory)}`;
  return `the bucket ${s3.bucket}${s3.prefix ? `/${s3.prefix}` : ""} at ${s3.endpoint ?? s3.region}`;
}

function realFolder(given: string): string {
  const folder = folderPath(given);
  return existsSync(folder) ? realpathSync(folder) : folder;
}

function refuseSame(from: Settings, to: Settings): void {
  const [one, other] = [databaseName(from), databaseName(to)];
  if (one === other) throw new CommandError(`--from and --to mean the same database, ${one}: name another target`);
  if (storeName(from) === storeName(to) && !to.storage.s3) {
    throw new CommandError(
      `--from and --to mean the same files, in ${to.storage.filesystem.rootdirectory}: give the target another folder; on the same ` +
        "file system the files become hard links, which take no time and no space",
    );
  }
}

interface Target extends AsyncDisposable {
  readonly store: BlobStore;
  /** Undefined where the store is in one folder with its database. */
  readonly identity: StoreIdentity | undefined;
  /** The data folder of the settings. */
  readonly folder: string;
  readonly hasFolder: boolean;
  /** Undefined when the database is SQLite, in the folder. */
  readonly postgres: SqlEngine | undefined;
}

async function openTarget(settings: Settings): Promise<Target> {
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

interface Ends {
  readonly from: Settings;
  readonly to: Settings;
}

class MigrationRun {
  readonly #ends: Ends;
  readonly #source: RegistrySource;
  readonly #target: Target;
  readonly #json: boolean;
  readonly #state: string;

  constructor(ends: Ends, source: RegistrySource, target: Target, json: boolean) {
    this.#ends = ends;
    this.#source = source;
    this.#target = target;
    this.#json = json;
    this.#state = join(target.folder, STATE);
  }

  async run(): Promise<number> {
    const { from, to } = this.#ends;
    const { registry } = this.#source;
    const copyId = await this.#begin();
    await using held = await holdUnlinking(registry);
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
      source: this.#source.drivers.blobs,
      target: isSameStore ? undefined : store,
      copy: copyId.toString("hex"),
      link: isSameStore ? undefined : await linkOf(from, to),
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
    if (!from.storage.maintenance.readonly.enabled) {
      return await this.#unfinished(what, "the source is not read-only");
    }
    if (!(await isUnchanged()))
      return await this.#unfinished(what, "the source has changed since its database was copied");
    if (!(await this.#finish(database, copyId, isUnchanged, (done) => progress.step("database", done)))) {
      return await this.#unfinished(what, "the source has changed while its database was written to the target");
    }
    await recordOperation(registry, "migrate", `to ${databaseName(to)} and ${storeName(to)}`).catch(() => undefined);
    await rm(this.#state, { recursive: true, force: true });
    progress.end();
    this.#print(
      { result: "complete", ...what },
      () =>
        `${databaseName(to)} and ${storeName(to)} hold ${blobs} blobs (${formatSize(bytes)}), and the database, whose rows ` +
        "were compared. Start the servers with these settings, and end those of the source, which stays as it is.\n" +
        (problems === 0
          ? ""
          : `${problems} blobs are missing in it, as in the source: a push of the images that need them puts that right.\n`),
    );
    return problems === 0 ? 0 : 1;
  }

  /** Finds the migration that goes on, or begins one in an empty target. Returns the id that the target gets. */
  async #begin(): Promise<Buffer> {
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
    const id = copy.toString("hex");
    await this.#refuseUsedTarget(found === undefined, isSameStore ? undefined : id);
    if (!found) journal.begin({ ...names, copy });
    if (!isSameStore) await identity?.write(id);
    return copy;
  }

  /** Throws `CommandError` when the target holds something that this migration did not write. */
  async #refuseUsedTarget(isNew: boolean, id: string | undefined): Promise<void> {
    const { folder, hasFolder, identity, postgres } = this.#target;
    const again = "give an empty target, or, to go on with a migration, the same --from and --to as before";
    if (hasFolder) {
      const ours = new Set([STATE, "uploads", "blobs", ...(isNew ? [] : [UNFINISHED_COPY, "store-id"])]);
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
      file.setSecret(STORE_ID_SECRET, id);
      file.checkPages();
      if (postgres) {
        const { emptyPostgres, loadIntoPostgres } = await import("../metadata/postgres/database-copy.ts");
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

/** Waits for the lease of a run that was killed, or of a backup. */
async function holdUnlinking(registry: Registry): Promise<HeldLease> {
  for (let tries = 0; ; tries++) {
    try {
      return await registry.holdUnlinking();
    } catch (error) {
      if (!(error instanceof OciError) || error.code !== "UNAVAILABLE" || tries === LEASE_TRIES) throw error;
      if (tries === 0) {
        printError(
          "stowage: waiting for another backup or migration of the source, or for the lease of one that was interrupted\n",
        );
      }
      await pause(LEASE_TRY_MS);
    }
  }
}

/** Hard links, where both stores are files. */
async function linkOf(
  from: Settings,
  to: Settings,
): Promise<((key: StorageKey, size: number) => Promise<TransferProblem | undefined>) | undefined> {
  if (from.storage.s3 || to.storage.s3) return undefined;
  const { FilesystemBlobStore } = await import("../storage/filesystem/filesystem-blob-store.ts");
  const source = FilesystemBlobStore.reading(folderPath(from.storage.filesystem.rootdirectory));
  const target = await FilesystemBlobStore.open(folderPath(to.storage.filesystem.rootdirectory));
  return (key, size) => source.putInto(target, key, { size, copy: false });
}
