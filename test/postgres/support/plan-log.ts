/** What PostgreSQL did for each statement, as its extension auto_explain logs it: the plans with what they read. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { PostgresServer } from "./postgres-server.ts";

/** Settings of a server that logs plans, also of the statements of triggers and functions. */
export const LOGS_PLANS: Readonly<Record<string, string>> = {
  session_preload_libraries: "'auto_explain'",
  "auto_explain.log_min_duration": "0",
  "auto_explain.log_analyze": "on",
  "auto_explain.log_buffers": "on",
  "auto_explain.log_timing": "off",
  "auto_explain.log_nested_statements": "on",
  "auto_explain.log_format": "json",
  log_line_prefix: "'@@'",
  log_min_messages: "log",
};

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
  readonly Plans?: readonly PlanNode[];
}

/** A statement that ran, at its most expensive. */
export interface StatementCost {
  readonly text: string;
  /** Pages of 8 KiB that it looked at, the statements of its triggers included. */
  readonly pages: number;
  /** Tables of which it looked at every row, and how many those were. */
  readonly scans: readonly string[];
}

/** The log of a server. */
export class PlanLog {
  readonly #server: PostgresServer;
  #from = 0;

  constructor(server: PostgresServer) {
    this.#server = server;
  }

  async #text(): Promise<string> {
    return await readFile(join(this.#server.folder, "log"), "utf8");
  }

  /** What was logged so far does not count. */
  async begin(): Promise<void> {
    this.#from = (await this.#text()).length;
  }

  /** Each statement since then once, the most expensive first. */
  async costs(): Promise<readonly StatementCost[]> {
    const costs = new Map<string, StatementCost>();
    for (const entry of (await this.#text()).slice(this.#from).split("@@")) {
      const json = /^LOG: +duration: .* plan:\n([^]*)$/.exec(entry)?.[1];
      if (json === undefined) continue;
      const { "Query Text": query, Plan: plan } = JSON.parse(json) as { "Query Text": string; Plan: PlanNode };
      const text = query.trim().replaceAll(/\s+/g, " ");
      const pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
      if (pages > (costs.get(text)?.pages ?? -1)) costs.set(text, { text, pages, scans: scansIn(plan) });
    }
    return [...costs.values()].toSorted((a, b) => b.pages - a.pages);
  }
}

function scansIn(node: PlanNode): readonly string[] {
  const below = (node.Plans ?? []).flatMap(scansIn);
  if (node["Node Type"] !== "Seq Scan") return below;
  const rows = (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"];
  return [`${node["Relation Name"]}: ${rows} rows`, ...below];
}
