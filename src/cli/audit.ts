/** `stowage audit`: who changed what, from where, and by which rule. */
import { parseDuration } from "../lib/duration.ts";
import type { AuditRecord } from "../metadata/audit.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print, printError } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { moment, table } from "./table.ts";
import { workingIn } from "./working-in.ts";

const HELP = `stowage audit [options]: lists who changed what, the newest first

  stowage audit --repo team/app --since 7d
  stowage audit --who alice --action delete --json

Needs the setting audit.enabled. Failed logins and refused requests are in the log only.

  --who NAME            alice, robot:ci, anonymous, system:root …
  --repo REPOSITORY     changes of this repository
  --action ACTION       push, mount, delete, sign, or operate for commands
  --since TIME          a duration such as 7d, or a time such as 2026-08-31T14:00:00Z
  --limit COUNT         records (default 100)
  --json                print JSON, one object per line

${SETTINGS_HELP}
`;

const ACTIONS: readonly AuditRecord["action"][] = ["push", "mount", "delete", "sign", "operate"];

/** Rows of a table that are printed in one piece. */
const ROWS = 1000;

export async function audit(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      who: { type: "string" },
      repo: { type: "string" },
      action: { type: "string" },
      since: { type: "string" },
      limit: { type: "string", default: "100" },
      json: { type: "boolean", default: false },
    },
    maxWords: 0,
  });
  if (!line) return 0;
  const { values } = line;
  const { who, repo, action, since, limit, json } = values;
  if (action !== undefined && !ACTIONS.some((each) => each === action)) {
    throw new CommandError(`--action ${action} is none of ${ACTIONS.join(", ")}`);
  }
  if (!/^[1-9]\d{0,8}$/.test(limit)) throw new CommandError(`--limit ${limit} is no number of records, such as 100`);
  const filter = {
    who,
    action,
    repository: repo === undefined ? undefined : repositoryIn(repo),
    since: since === undefined ? undefined : timeIn(since),
  };
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  await workingIn(settings, async () => {
    let left = Number(limit);
    let rows: string[][] = [];
    const printRows = (): void => {
      print(table(["TIME", "WHO", "WHAT", "FROM", "RULE"], rows));
      rows = [];
    };
    for await (const record of registry.auditRecords(filter)) {
      if (json) print(`${JSON.stringify(described(record))}\n`);
      else if (rows.push(rowOf(record)) === ROWS) printRows();
      if (--left === 0) break;
    }
    if (!json) printRows();
  });
  if (!settings.audit.enabled) {
    printError("stowage: changes of clients are not kept in the audit table: set audit.enabled: true\n");
  }
  return 0;
}

function timeIn(text: string): number {
  const ago = parseDuration(text);
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago;
  if (Number.isFinite(time)) return time;
  throw new CommandError(`--since ${text} is no time: write a duration such as 7d, or 2026-08-31T14:00:00Z`);
}

function rowOf({ at, who, action, object, repository, digest, tags, command, address, rule }: AuditRecord): string[] {
  const name = tags && tags.length > 0 ? `:${tags.join(", :")}` : digest === undefined ? "" : `@${digest}`;
  const what =
    action === "operate" ? `stowage ${command ?? ""}` : `${action} ${object ?? ""} ${repository ?? ""}${name}`;
  return [moment(at), who, what, address ?? "", rule];
}

function described({ at, ...record }: AuditRecord): object {
  return { time: new Date(at).toISOString(), ...record };
}
