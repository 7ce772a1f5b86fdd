/** Answers for probes. */
import { OciError } from "../../oci/error.ts";
import type { Context } from "../context.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";

/** The process is alive. */
export function getHealth(): Representation {
  return jsonDocument({ status: "ok" });
}

/** Readiness: database and storage respond, audit lines are not dropped, and the checks of the settings pass. The cause of a failure is in the log. */
export async function getReady({ namespace, options }: Context): Promise<Representation> {
  if (options.auditFails?.() ?? false) {
    const message = "lines of the audit are lost, because standard output does not take them: see to whoever reads it";
    throw new OciError("UNAVAILABLE", { message });
  }
  const reason = options.notReady?.();
  if (reason !== undefined) throw new OciError("UNAVAILABLE", { message: reason });
  await namespace.checkReady();
  return jsonDocument({ status: "ready" });
}
