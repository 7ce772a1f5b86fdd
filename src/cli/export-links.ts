/** `stowage export-links`: writes distribution's links, so that it serves everything again. */
import { folderPath } from "../lib/folder-path.ts";
import { formatSize } from "../lib/size.ts";
import { silentLogger } from "../observe/logger.ts";
import { failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { showProgress } from "./progress.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage export-links [options]: writes the links of distribution (registry:2, registry:3) into the data folder or bucket,
so that it serves everything again, also what was pushed to Stowage

Stop the server first: what is pushed later is not exported. Blobs are hard-linked into the tree docker/registry/v2 of the data folder
(copied in a bucket), manifests and inline blobs are written as files, and links of what was deleted are removed. What adoption reported as
damaged stays as it was. When the command is interrupted, repeat it: it goes on with what is missing.

  --dry-run             say what would be written and removed, and do neither
  --json                print a JSON object

${SETTINGS_HELP}

Exit code: 0 complete, 1 complete except for blobs that are corrupt, 2 failed.
`;

export function exportLinks(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return failingWith2(() => run(args, environment));
}

async function run(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    maxWords: 0,
  });
  if (!line) return 0;
  const { values } = line;
  const { settings } = settingsFrom(values, environment);
  const folder = folderPath(settings.storage.filesystem.rootdirectory);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  const progress = showProgress("links and files examined:");
  const isDryRun = values["dry-run"];
  const report = await registry.exportLinks({ isDryRun, onStep: (done) => progress.update(done) });
  progress.end();
  if (!isDryRun) await recordOperation(registry, "export-links", folder);
  const { repositories, links, files, bytes, removed, corrupt } = report;
  if (values.json) print(`${JSON.stringify(report)}\n`);
  else {
    const would = isDryRun ? "would be " : "";
    const { s3 } = settings.storage;
    const place = s3 ? `the bucket ${s3.bucket}` : `${folder}/docker/registry/v2`;
    print(
      `${count(repositories)} repositories: ${count(links)} links ${would}written, ${count(files)} files (${formatSize(bytes)}) ` +
        `${would}added to ${place}, ${count(removed)} links of deleted content ${would}removed.\n`,
    );
    for (const digest of corrupt) print(`${digest} is corrupt, and not in the tree: push it again\n`);
  }
  return corrupt.length > 0 ? 1 : 0;
}

function count(many: number): string {
  return many.toLocaleString("en");
}
