/** Records in the audit what an operator changed by a command: as a request has a line there, so has a command. */
import { userInfo } from "node:os";
import type { Registry } from "../create-registry.ts";

/** `command` is what was done, in the words of the command line, without secrets. */
export async function recordOperation(registry: Registry, ...command: readonly string[]): Promise<void> {
  await registry.recordOperation(`system:${operator()}`, command.join(" "));
}

/** The user of the system, by name, or by number where it has none (in a container). */
function operator(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown");
  }
}
