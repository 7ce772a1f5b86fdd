/** Records in the audit what an operator changed by a command: as a request has a line there, so has a command. */
import { readFileSync } from "node:fs";
import type { Registry } from "../create-registry.ts";

/** `command` is what was done, in the words of the command line, without secrets. */
export async function recordOperation(registry: Registry, ...command: readonly string[]): Promise<void> {
  await registry.recordOperation(operator(), command.join(" "));
}

/**
 * Who runs this command, such as `system:root`: the user of the system, by name where `/etc/passwd` has one, or by number. The environment is not asked, because the
 * operator may write any name there (`USER`), and a service or a container may have none.
 */
export function operator(): string {
  const uid = String(process.getuid?.() ?? "unknown");
  return `system:${namesByNumber().get(uid) ?? uid}`;
}

function namesByNumber(): ReadonlyMap<string, string> {
  try {
    const lines = readFileSync("/etc/passwd", "utf8").split("\n");
    // Of several names of one number the first one counts (getpwuid).
    return new Map(lines.toReversed().map((line) => [line.split(":")[2] ?? "", line.split(":")[0] ?? ""]));
  } catch {
    return new Map();
  }
}
