/** `stowage gc`: collection by hand, beside a running server. */
import type { Registry } from "../create-registry.ts";
import { systemClock } from "../lib/clock.ts";
import { parseDuration } from "../lib/duration.ts";
import { formatSize } from "../lib/size.ts";
import { MOST_COUNTED } from "../metadata/collection.ts";
import type { Backlog, Collectable } from "../metadata/collection.ts";
import type { CollectionRules } from "../metadata/database.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { finishJobs } from "./finish-jobs.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { showProgress } from "./progress.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage gc [CONFIG.yml] [options]: garbage collection: deletes unreferenced blobs, expired uploads
and, with --untagged, untagged manifests; the server may be running

  --dry-run             list what would be deleted, and delete nothing
  --grace DURATION      delete blobs whose last reference, and whose lease, ended longer ago than this:
                        10s, 1h, 0 (settings gc.grace and gc.lease, 1h each)
  --untagged            also delete untagged manifests (setting gc.untagged)
  --json                print a JSON object instead of a table
  --quiet               print nothing but errors

${SETTINGS_HELP}

Exit code: 0 done, 2 failed.
`;

/** The options of distribution's `garbage-collect`. */
const ELSEWHERE = {
  "-d": "--dry-run",
  "-m": "--untagged",
  "--delete-untagged": "--untagged",
  "-q": "--quiet",
} as const;

/** What is printed of the result. */
type Output = "a table" | "JSON" | "nothing";

/** Rows of the table that a person gets to see. */
const MAX_ROWS = 1000;
/** Characters of a dry run that are printed at once. */
const PRINTED_AT_ONCE = 65_536;

export function gc(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return failingWith2(async () => {
    const line = readCommandLine(args, {
      help: HELP,
      options: {
        ...SETTINGS_OPTIONS,
        "dry-run": { type: "boolean", default: false },
        grace: { type: "string" },
        untagged: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        quiet: { type: "boolean", default: false },
      },
      maxWords: 1,
      elsewhere: ELSEWHERE,
    });
    if (!line) return 0;
    const { values, positionals } = line;
    const { settings } = settingsFrom(values, environment, positionals[0]);
    const rules = { ...graceOf(values.grace), ...(values.untagged ? { untagged: true } : {}) };
    await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
    if (!values["dry-run"]) await finishJobs(registry, { isQuiet: values.quiet }); // what they remove may free more
    const act = values["dry-run"] ? preview : collect;
    const report = await act(registry, rules, values.quiet ? "nothing" : values.json ? "JSON" : "a table");
    if (values.quiet) return 0;
    const waiting = await registry.backlog();
    const end = values["dry-run"] ? "]," : "{"; // the items of a dry run are printed already
    if (values.json) print(`${end}${JSON.stringify({ ...report, waiting }).slice(1)}\n`);
    else print(waitingText(waiting, { now: systemClock.now(), graceMs: rules.graceMs, isDryRun: values["dry-run"] }));
    return 0;
  });
}

/** `--grace` sets both the lease and the grace. */
function graceOf(text: string | undefined): Partial<CollectionRules> {
  if (text === undefined) return {};
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined) throw new CommandError(`--grace ${text} is not a duration: write 10s, 1h or 0`);
  return { leaseMs: milliseconds, graceMs: milliseconds };
}

async function collect(registry: Registry, rules: Partial<CollectionRules>, output: Output): Promise<object> {
  const progress = { looking: showProgress("examined"), unlinking: showProgress("deleted") };
  const report = await registry.collect(rules, {
    onStep: ({ work, done, total }) => progress[work].update(done, total),
  });
  progress.unlinking.end();
  await registry.recordRun("gc");
  await recordOperation(registry, "gc");
  const shown = { dryRun: false, ...report };
  if (output !== "a table") return shown;
  const { manifests, links, blobs, bytes, uploads, files } = report;
  print(
    row("manifests deleted", manifests) +
      row("blobs unlinked from a repository", links) +
      row("blobs deleted", blobs, formatSize(bytes)) +
      row("uploads expired", uploads) +
      row("files deleted", files),
  );
  return shown;
}

/** Prints as it finds: what would go may be more than fits into memory. */
async function preview(registry: Registry, rules: Partial<CollectionRules>, output: Output): Promise<object> {
  const asJson = output === "JSON";
  const counts = { manifests: 0, links: 0, blobs: 0, bytes: 0 };
  const progress = showProgress("found");
  let found = 0;
  let text = asJson ? '{"items":[' : "";
  for await (const item of registry.collectable(rules)) {
    found++;
    if (item.kind === "manifest") counts.manifests++;
    else if (item.kind === "link") counts.links++;
    else {
      counts.blobs++;
      counts.bytes += item.size;
    }
    if (output === "nothing") continue;
    if (asJson) text += `${found > 1 ? "," : ""}${JSON.stringify(item)}`;
    else if (found <= MAX_ROWS) text += itemText(item);
    else progress.update(found);
    if (text.length < PRINTED_AT_ONCE) continue;
    print(text);
    text = "";
  }
  progress.end();
  print(text);
  const shown = { dryRun: true, ...counts };
  if (output !== "a table") return shown;
  if (found > MAX_ROWS) print(`… and ${found - MAX_ROWS} more (--json lists all)\n`);
  print(
    row("manifests would be deleted", counts.manifests) +
      row("blobs would be unlinked from a repository", counts.links) +
      row("blobs would be deleted", counts.blobs, formatSize(counts.bytes)),
  );
  return shown;
}

function itemText({ kind, digest, size, repository }: Collectable): string {
  return `${kind.padEnd(9)} ${digest.slice(0, 25)}…  ${formatSize(size).padStart(10)}  ${repository ?? ""}\n`;
}

/** What is left, until when, and how to collect it now; empty when nothing is left. */
function waitingText(
  { entries, nextReviewAt, files, nextUnlinkAt, isHeldByBackup }: Backlog,
  {
    now,
    graceMs,
    isDryRun,
  }: { readonly now: number; readonly graceMs?: number | undefined; readonly isDryRun: boolean },
): string {
  if (nextReviewAt === undefined && nextUnlinkAt === undefined) return "";
  // Without any grace nothing waits for it: a dry run has listed everything that would go.
  if (isDryRun && graceMs === 0) return isHeldByBackup ? "" : row("files would be deleted at once", files);
  const review = nextReviewAt === undefined ? "" : `, the first ${timeText(nextReviewAt, now)}`;
  const backup = ", until the running backup ends";
  const unlink =
    nextUnlinkAt === undefined ? "" : isHeldByBackup ? backup : `, the first ${timeText(nextUnlinkAt, now)}`;
  return (
    row(`${orMore(entries)}manifests and blobs wait for garbage collection${review}`, entries) +
    row(`${orMore(files)}files wait for deletion${unlink}`, files) +
    (graceMs === 0 ? "" : "--grace 0 skips the waiting times gc.lease and gc.grace\n")
  );
}

function orMore(counted: number): string {
  return counted < MOST_COUNTED ? "" : "or more ";
}

function timeText(at: number, now: number): string {
  return at <= now ? "in the next round" : `from ${new Date(at).toISOString()} on`;
}

function row(what: string, count: number, size = ""): string {
  return `${count.toLocaleString("en").padStart(9)}  ${what}${size && ` (${size})`}\n`;
}
