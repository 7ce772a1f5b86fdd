/** `stowage status`: how much there is, and what waits. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Registry } from "../create-registry.ts";
import { collect } from "../lib/collect.ts";
import { escapeControls } from "../lib/control-characters.ts";
import { systemClock } from "../lib/clock.ts";
import { folderPath } from "../lib/folder-path.ts";
import { formatSize } from "../lib/size.ts";
import { MOST_COUNTED } from "../metadata/collection.ts";
import type { Backlog } from "../metadata/collection.ts";
import type { AdoptionProgress } from "../metadata/adoption.ts";
import type { Job } from "../metadata/jobs.ts";
import type { Overview } from "../metadata/overview.ts";
import { silentLogger } from "../observe/logger.ts";
import { VERSION } from "../version.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { moment } from "./table.ts";

const HELP = `stowage status [options]: sizes, garbage collection backlog, last backup, scrub and check

  --adoption            list what was found damaged in the adopted tree of distribution, one finding per line
  --json                print a JSON object

${SETTINGS_HELP}
`;

export async function status(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      json: { type: "boolean", default: false },
      adoption: { type: "boolean", default: false },
    },
    maxWords: 0,
  });
  if (!line) return 0;
  const { settings } = settingsFrom(line.values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  if (line.values.adoption) {
    await printFindings(registry, line.values.json);
    return 0;
  }
  const folder = folderPath(settings.storage.filesystem.rootdirectory);
  const databaseBytes = databaseBytesIn(folder);
  const [overview, backlog] = [await registry.overview(), await registry.backlog()];
  const jobs = await collect(registry.jobs());
  const adoption = await registry.adoption();
  const state: State = { version: VERSION, folder, databaseBytes, ...overview, backlog, jobs, adoption };
  print(line.values.json ? `${JSON.stringify(inJson(state))}\n` : asText(state));
  return 0;
}

interface State extends Overview {
  readonly version: string;
  readonly folder: string;
  /** With its log, which holds what was committed last. */
  readonly databaseBytes: number;
  readonly backlog: Backlog;
  /** Those that are not done. */
  readonly jobs: readonly Job[];
  /** Undefined when no tree of distribution was adopted. */
  readonly adoption: AdoptionProgress | undefined;
}

async function printFindings(registry: Registry, asJson: boolean): Promise<void> {
  for await (const finding of registry.adoptionFindings()) {
    const { kind, repository, subject, detail } = finding;
    const place = [repository, subject].filter((part) => part !== "").join(" ");
    print(asJson ? `${JSON.stringify(finding)}\n` : `${escapeControls(`${kind}: ${place}: ${detail}`)}\n`);
  }
}

function databaseBytesIn(folder: string): number {
  const sizes = ["registry.db", "registry.db-wal"].map(
    (name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0,
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function asText(state: State): string {
  const { backlog, lastRuns } = state;
  return rows([
    ["Version", state.version],
    ["Data folder", state.folder],
    ["Database", formatSize(state.databaseBytes)],
    [
      "Content",
      `${formatSize(state.bytes)} in ${count(state.blobs, "blob")} and ${count(state.manifests, "manifest")}`,
    ],
    ["Repositories", count(state.repositories)],
    ["Tags", count(state.tags)],
    ["Uploads", `${count(state.uploads)} unfinished`],
    ["Garbage", waiting(backlog.entries, "to be examined", backlog.nextReviewAt)],
    ["Trash", waiting(backlog.files, "to be deleted", backlog.nextUnlinkAt)],
    ...(state.countingQuotas.length > 0
      ? [["Quotas", `${state.countingQuotas.join(", ")}: being counted`] as const]
      : []),
    ["Jobs", jobsText(state.jobs)],
    ...(state.adoption ? [["Adoption", adoptionText(state.adoption)] as const] : []),
    ["Last backup", ran(lastRuns.backup, "stowage backup FOLDER")],
    ["Last scrub", ran(lastRuns.scrub, "the server reads every blob over days; setting scrub")],
    ["Last check", ran(lastRuns.check, "stowage check --deep")],
    ["Last gc by hand", ran(lastRuns.gc, "the server collects garbage in the background")],
  ]);
}

/** Of a few jobs each, and how many others there are. */
function jobsText(jobs: readonly Job[]): string {
  if (jobs.length === 0) return "none";
  const named = jobs
    .slice(0, MAX_JOBS)
    .map(({ kind, subject, done }) => `${kind} ${subject} (${count(done, "row")} done)`);
  const more = jobs.length > MAX_JOBS ? `, and ${count(jobs.length - MAX_JOBS)} more` : "";
  return `${named.join(", ")}${more} (by the server, or stowage gc)`;
}

const MAX_JOBS = 3;

/** How far the tree of distribution is indexed. */
function adoptionText({ phase, doneAt, openRepositories, manifests, tags, findings }: AdoptionProgress): string {
  const done = `${count(manifests, "manifest")} and ${count(tags, "tag")} of distribution's tree`;
  const damaged = findings === 0 ? "nothing damaged" : `${count(findings)} damaged (stowage status --adoption)`;
  if (phase === "done") return `${done}, done ${moment(doneAt ?? 0)}, ${damaged}`;
  const left = {
    names: "looking for repositories",
    repositories: `${openRepositories.toLocaleString("en")} repositories to be indexed`,
    blobs: "looking for unreferenced blobs",
    tags: "checking every tag",
  }[phase];
  return `${done} so far, ${left}, ${damaged} (by the server)`;
}

function ran(at: number | undefined, hint: string): string {
  return at === undefined ? `never (${hint})` : moment(at);
}

function waiting(many: number, what: string, nextAt: number | undefined): string {
  if (nextAt === undefined) return "empty";
  const when = nextAt <= systemClock.now() ? "now" : `the first at ${moment(nextAt)}`;
  const orMore = many < MOST_COUNTED ? "" : " or more";
  return `${count(many)}${orMore} ${what}, ${when} (by the server, or stowage gc)`;
}

function count(many: number, noun?: string): string {
  const text = many.toLocaleString("en");
  return noun === undefined ? text : `${text} ${noun}${many === 1 ? "" : "s"}`;
}

function rows(pairs: readonly (readonly [name: string, value: string])[]): string {
  return pairs.map(([name, value]) => `${`${name}:`.padEnd(17)}${value}\n`).join("");
}

/** With times as other programs read them. */
function inJson({
  backlog: { nextReviewAt, nextUnlinkAt, ...waits },
  lastRuns,
  jobs,
  adoption,
  ...state
}: State): object {
  const runs = Object.entries(lastRuns).map(([job, at]) => [job, isoTime(at)]);
  const backlog = { ...waits, nextReviewAt: isoTime(nextReviewAt), nextUnlinkAt: isoTime(nextUnlinkAt) };
  const open = jobs.map(({ kind, subject, done, begunAt }) => ({ kind, subject, done, begunAt: isoTime(begunAt) }));
  const adopted = adoption && {
    ...adoption,
    begunAt: isoTime(adoption.begunAt),
    doneAt: isoTime(adoption.doneAt),
  };
  return {
    ...state,
    backlog,
    jobs: open,
    lastRuns: Object.fromEntries(runs),
    ...(adopted ? { adoption: adopted } : {}),
  };
}

function isoTime(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString();
}
