/** Answers for probes. */
import { OciError } from "../../oci/error.ts";
import type { Readiness } from "../../registry/readiness.ts";
import type { Context } from "../context.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";

/** The process is alive. */
export function getHealth(): Representation {
  return jsonDocument({ status: "ok" });
}

const WHY: Readonly<Record<Exclude<Readiness, "ready">, string>> = {
  draining: "the server drains: it serves requests, and is to be sent no new ones",
  "not ready": "the database or the storage does not respond: the log of the registry has the cause",
};

/**
 * Readiness: database and storage respond, the server does not drain, audit lines are not dropped, and the checks of the settings
 * pass.
 */
export async function getReady({ options }: Context): Promise<Representation> {
  if (options.auditFails?.() ?? false) {
    const message =
      "lines of the audit are lost, because standard output does not take them: check the process that reads it";
    throw new OciError("UNAVAILABLE", { message });
  }
  const reason = options.notReady?.();
  if (reason !== undefined) throw new OciError("UNAVAILABLE", { message: reason });
  const readiness = await options.readiness.ask();
  if (readiness !== "ready") throw new OciError("UNAVAILABLE", { message: WHY[readiness] });
  return jsonDocument({ status: "ready" });
}
