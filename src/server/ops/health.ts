/** Answers for probes. */
import type { Context } from "../context.ts";
import { json } from "../reply.ts";
import type { Reply } from "../reply.ts";

/** The process is alive. */
export function getHealth(): Reply {
  return json(200, { status: "ok" });
}

/** It could serve a request now: database and storage answer. What is wrong stands in the log. */
export async function getReady({ namespace }: Context): Promise<Reply> {
  await namespace.checkReady();
  return json(200, { status: "ready" });
}
