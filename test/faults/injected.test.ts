/**
 * One call of the drivers goes wrong, each in turn: a full disk, an I/O error, a disk that has become read-only, too many
 * open files. The client is told so cleanly, nothing that was acknowledged is harmed, and everything works again.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { leaveToSleeper, queryFolder } from "../support/data-folder.ts";
import { everyPoint } from "./support/every-point.ts";
import { folderInMemory } from "./support/folder-in-memory.ts";
import { READS } from "./support/watched-drivers.ts";
import type { Call, Watcher } from "./support/watched-drivers.ts";
import { openWatchedRegistry } from "./support/watched-registry.ts";
import type { WatchedRegistryOptions } from "./support/watched-registry.ts";
import { Workload } from "./support/workload.ts";
import type { Refusal, WorkloadOptions } from "./support/workload.ts";

setDefaultTimeout(300_000);

const HOUR_MS = 3_600_000;
const WEEK_MS = 168 * HOUR_MS;

interface Fault {
  readonly name: string;
  /** What a file says, and what SQLite makes of it. */
  readonly codes: readonly [file: string, database: string];
  /** Whether the work was done all the same, as when the sync behind it fails. */
  readonly isDone?: boolean;
  /** Whether what only looks at files can meet it too. */
  readonly hitsReads?: boolean;
  readonly settings?: Pick<WatchedRegistryOptions, "inlineBytes">;
  readonly refusal: { readonly status: number; readonly code: string; readonly advice: RegExp };
}

const FULL = { status: 507, code: "DENIED", advice: /free space, then push again/ };
const TROUBLED = { status: 503, code: "UNAVAILABLE", advice: /try again/ };
const IO_ERROR = { codes: ["EIO", "SQLITE_IOERR"], refusal: TROUBLED } as const;

const FILES_ONLY = { inlineBytes: 0 };

const FAULTS: readonly Fault[] = [
  { name: "an I/O error", ...IO_ERROR, hitsReads: true },
  { name: "an I/O error, when every blob is a file", ...IO_ERROR, hitsReads: true, settings: FILES_ONLY },
  { name: "an I/O error behind the work, when every blob is a file", ...IO_ERROR, isDone: true, settings: FILES_ONLY },
  { name: "a full disk", codes: ["ENOSPC", "SQLITE_FULL"], refusal: FULL },
  { name: "a read-only disk", codes: ["EROFS", "SQLITE_READONLY"], refusal: TROUBLED },
  { name: "too many open files", codes: ["EMFILE", "SQLITE_CANTOPEN"], refusal: TROUBLED },
  { name: "a folder of another user", codes: ["EACCES", "SQLITE_CANTOPEN"], refusal: TROUBLED },
];

/** Calls that change something, of which each must have failed. */
const CHANGES: readonly Call[] = [
  "database.write",
  "part.append",
  "part.checkpoint",
  "part.commit",
  "part.dispose",
  "store.begin",
  "store.checkRoom",
  "store.delete",
  "store.resume",
  "store.takeOver",
];

describe("a fault of any one call", () => {
  test.each(FAULTS)("$name", async (fault) => {
    const hit = await everyPoint((at) => survive(fault, at));
    expect(hit).toEqual(expect.arrayContaining(fault.hitsReads ? [...CHANGES, ...READS] : CHANGES));
  });
});

/** Lets the `at`-th call fail, and looks whether all is well. Gives the call; undefined when there are fewer. */
async function survive(fault: Fault, at: number): Promise<Call | undefined> {
  await using place = await folderInMemory();
  await using sleepers = new AsyncDisposableStack();
  const folder = place.path;
  const broken = breaking(fault, at, folder);
  await using registry = await openWatchedRegistry(folder, { ...fault.settings, watch: broken.watch });
  const workload = new Workload();
  const options: WorkloadOptions = {
    url: registry.url,
    abandon: async (id: string) => void sleepers.use(await leaveToSleeper(folder, id)),
    async aside() {
      await expectFaultOrDone(fault, registry.collect());
      await broken.paused(() => workload.collected(options));
      await expectFaultOrDone(fault, registry.findings());
    },
  };
  const refusals = await workload.run(options);
  for (const refusal of refusals) expectClean(refusal, fault, folder);
  expect(refusals.length).toBeLessThanOrEqual(1);
  const failed = broken.call();
  broken.mend();

  expect(await workload.finish(options)).toEqual([]);
  expect(await workload.run(options)).toEqual([]);
  expect(await workload.finish(options)).toEqual([]);
  expect((await registry.findings()).map((finding) => JSON.stringify(finding))).toEqual([]);

  expect(await workload.deleteAll(options)).toEqual([]);
  registry.later(WEEK_MS + HOUR_MS);
  await registry.collect();
  expect(await registry.files()).toEqual([]);
  for (const table of ["blob", "repo_blob", "manifest", "tag", "upload", "trash"]) {
    expect({ table, rows: queryFolder(folder, `select * from ${table}`) }).toEqual({ table, rows: [] });
  }
  return failed;
}

/** Lets the `at`-th call fail, once. */
function breaking(fault: Fault, at: number, folder: string) {
  let left = at;
  let isPaused = false;
  let hit: Call | undefined;
  const watch: Watcher = async (call, make) => {
    if (isPaused || (READS.has(call) && !fault.hitsReads) || --left !== 0) return await make();
    hit = call;
    if (happens(fault, call)) await make();
    const code = fault.codes[call.startsWith("database") ? 1 : 0];
    throw Object.assign(new Error(`${code}: in ${folder}/somewhere`), { code });
  };
  return {
    watch,
    call: () => hit,
    mend: () => void (left = 0),
    async paused(work: () => Promise<void>): Promise<void> {
      isPaused = true;
      await work();
      isPaused = false;
    },
  };
}

/** Whether a call that fails is carried out all the same. */
function happens({ isDone = false }: Fault, call: Call): boolean {
  if (call === "part.dispose") return true; // a file that cannot be closed is closed then
  // What opens gives nothing to close when it fails, and SQLite shows no connection what it could not commit.
  return isDone && call !== "store.begin" && call !== "store.resume" && call !== "database.write";
}

function expectClean({ request, reply }: Refusal, { refusal }: Fault, folder: string): void {
  if (!reply) {
    expect(request).toMatch(/^GET .*\/blobs\//); // several ranges, of which some had been sent
    return;
  }
  expect(`${request}: ${reply.status} ${reply.text}`).toStartWith(
    request.startsWith("HEAD")
      ? `${request}: ${refusal.status} `
      : `${request}: ${refusal.status} {"errors":[{"code":"${refusal.code}"`,
  );
  if (!request.startsWith("HEAD")) expect(reply.text).toMatch(refusal.advice);
  expect(reply.text).not.toContain(folder);
  expect(reply.headers.get("content-type")).toBe("application/json");
  expect(reply.headers.has("retry-after")).toBe(refusal.status === 503);
}

async function expectFaultOrDone({ codes }: Fault, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    expect(codes).toContain((error as { code: string }).code);
  }
}
