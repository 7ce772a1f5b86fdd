/** `stowage check`: is everything there that is recorded, and is everything recorded that is there? */
import { silentLogger } from "../observe/logger.ts";
import { failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { findingText } from "./finding-text.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { showProgress } from "./progress.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage check [CONFIG.yml] [options]: integrity check: compares the database with the files in the data folder;
the server may be running

  --deep                read and hash every blob; finds flipped bits, and takes as long as reading everything
  --repair              mark corrupt blobs as missing, so that the next push replaces them; delete unknown files
  --json                print findings as JSON, one object per line

${SETTINGS_HELP}

Exit code: 0 no findings, 1 findings, 2 the check failed.
`;

export function check(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return failingWith2(async () => {
    const line = readCommandLine(args, {
      help: HELP,
      options: {
        ...SETTINGS_OPTIONS,
        deep: { type: "boolean", default: false },
        repair: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
      maxWords: 1,
    });
    if (!line) return 0;
    const { values, positionals } = line;
    const { settings } = settingsFrom(values, environment, positionals[0]);
    await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
    const progress = showProgress("checked");
    const onStep = (done: number): void => progress.update(done);
    let findings = 0;
    for await (const finding of registry.check({ deep: values.deep, repair: values.repair, onStep })) {
      progress.end();
      findings++;
      print(values.json ? `${JSON.stringify(finding)}\n` : findingText(finding));
    }
    progress.end();
    await registry.recordRun("check");
    if (values.repair) await recordOperation(registry, "check --repair");
    if (!values.json) print(summary(findings, values.repair));
    return findings === 0 ? 0 : 1;
  });
}

function summary(findings: number, repaired: boolean): string {
  if (findings === 0) return "no findings: every blob is intact, and every file belongs to a blob or an upload\n";
  const count = findings === 1 ? "1 finding" : `${findings} findings`;
  return repaired
    ? `${count}: corrupt blobs are marked as missing until they are pushed again; unknown files are deleted\n`
    : `${count}: --repair marks corrupt blobs as missing, so that the next push replaces them\n`;
}
