/** `stowage quota`: lists quotas and their usage. */
import { formatSize } from "../lib/size.ts";
import type { Amounts, QuotaUsage } from "../metadata/quota-counting.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { table } from "./table.ts";
import { workingIn } from "./working-in.ts";

const HELP = `stowage quota list [options]: lists quotas and their usage

Quotas are configured by the setting quotas. Deleted bytes count until garbage collection removes them: see stowage gc
and stowage status.

  --json                print JSON, one object per line

${SETTINGS_HELP}
`;

const NOT_BEGUN = "not counted yet";

export async function quota(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const options = { ...SETTINGS_OPTIONS, json: { type: "boolean", default: false } } as const;
  const line = readCommandLine(args, { help: HELP, options, maxWords: 1 });
  if (!line) return 0;
  const { values, positionals } = line;
  if (positionals[0] !== "list") throw new CommandError("quota takes list: stowage quota list");
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  return await workingIn(settings, async () => {
    if (settings.quotas.length === 0) {
      print(values.json ? "" : "no quotas are configured: see quotas in docs/configuration.md\n");
      return 0;
    }
    const rows: string[][] = [];
    let isCounting = false;
    for (const { prefix, ...limits } of settings.quotas) {
      const used = await registry.quotaUsage(prefix);
      isCounting ||= used?.isCounted === false;
      if (values.json) print(`${JSON.stringify({ prefix, limits, ...inJson(used) })}\n`);
      rows.push([
        prefix,
        share(used, "bytes", limits.bytes, formatSize),
        share(used, "tags", limits.tags, String),
        share(used, "repositories", limits.repositories, String),
      ]);
    }
    if (values.json) return 0;
    print(table(["BELOW", "BYTES", "TAGS", "REPOSITORIES"], rows));
    if (isCounting) print(`\n${COUNTING}\n`);
    return 0;
  });
}

const COUNTING =
  "New quotas are being counted by the server. Until they are, pushes may add at most 5 % of a limit, and wait beyond that.";

function inJson(usage: QuotaUsage | undefined): object {
  if (!usage) return { used: null, counted: false };
  const { isCounted, ...used } = usage;
  return { used, counted: isCounted };
}

/** Such as `1.5 GiB of 10.0 GiB (15%)`. */
function share(
  usage: QuotaUsage | undefined,
  what: keyof Amounts,
  limit: number | undefined,
  format: (amount: number) => string,
): string {
  if (usage === undefined) return limit === undefined ? NOT_BEGUN : `${NOT_BEGUN}, of ${format(limit)}`;
  const used = `${usage.isCounted ? "" : "at least "}${format(usage[what])}`;
  if (limit === undefined) return used;
  return `${used} of ${format(limit)}${limit > 0 ? ` (${Math.round((usage[what] / limit) * 100)}%)` : ""}`;
}
