/** The dashboard and the alert rules ask for metrics that a server shows, and every alert is explained. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ROOT, readDocument, tableRowsIn } from "../support/markdown.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

interface Query {
  readonly where: string;
  readonly text: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

const DASHBOARD = JSON.parse(read("deploy/grafana/dashboard.json")) as { readonly panels: readonly Panel[] };
const { groups } = parse(read("deploy/chart/files/alerts.yml")) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const RULES = groups.flatMap(({ rules }) => rules);

const QUERIES: readonly Query[] = [
  ...DASHBOARD.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ where: `the panel ${title}`, text: expr })),
  ),
  ...RULES.map(({ alert, expr }) => ({ where: `the alert ${alert}`, text: expr })),
];

/** Names of metrics in a query, with the labels that it selects. */
function metricsIn(text: string): readonly { readonly name: string; readonly labels: readonly string[] }[] {
  const found = text.matchAll(/\b((?:registry|stowage|process)_[a-z_]+)(?:\{([^}]*)\})?/g);
  return Array.from(found, ([, name = "", selector = ""]) => ({
    name,
    labels: Array.from(selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g), ([, label = ""]) => label),
  }));
}

/** Labels that a metric has by the table of docs/operations.md. */
const LABELS = new Map(
  tableRowsIn(readDocument("docs/operations.md"), "metric").map(([cell = ""]) => {
    const [, name = "", labels = ""] = /^`(\w+)(?:\{([^}]*)\})?`/.exec(cell) ?? [];
    return [name, labels.split(",")] as const;
  }),
);

describe("the dashboard and the alerts", () => {
  test("name metrics that a server shows, in the form that their type has, with labels that they have", async () => {
    const env = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" };
    await using server = await startListening({ env });
    const [, debug = ""] = await server.printed(/"debugUrl":"([^"]+)"/);
    const text = await (await fetch(`${debug}/metrics`)).text();
    const types = new Map(Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name, type]) => [name, type]));
    const wrong = QUERIES.flatMap(({ where, text: query }) =>
      metricsIn(query).flatMap(({ name, labels }) => {
        const base = types.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, "");
        const isHistogram = types.get(base) === "histogram";
        if (!types.has(base) || isHistogram !== (base !== name)) return [`${where}: ${name}`];
        const known = new Set(["instance", ...(LABELS.get(base) ?? [])]);
        return labels.filter((label) => !known.has(label)).map((label) => `${where}: ${name}{${label}}`);
      }),
    );
    expect(wrong).toEqual([]);
    expect(QUERIES.length).toBeGreaterThan(50);
  });

  test("show each metric somewhere", () => {
    const shown = QUERIES.flatMap(({ text }) => metricsIn(text).map(({ name }) => name));
    const forgotten = [...LABELS.keys()].filter((name) => !shown.some((each) => each.startsWith(name)));
    expect(forgotten.filter((name) => !ELSEWHERE.has(name))).toEqual([]);
  });

  test("are found by their text", () => {
    expect(metricsIn('rate(registry_x_total{code=~"5..",a!="b"}[5m]) / stowage_y > 0')).toEqual([
      { name: "registry_x_total", labels: ["code", "a"] },
      { name: "stowage_y", labels: [] },
    ]);
  });
});

/** One of a pair, of which the other is shown; and what happens once, at the move from distribution. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  "stowage_repository_bytes_total",
  "stowage_adoption_manifests",
  "stowage_adoption_open_repositories",
  "stowage_adoption_findings",
]);

test("every alert is in docs/monitoring.md with what to do, and every one there exists", () => {
  const named = tableRowsIn(readDocument("docs/monitoring.md"), "alert").flatMap(([cell = ""]) =>
    Array.from(cell.matchAll(/`(\w+)`/g), ([, name = ""]) => name),
  );
  expect(named.toSorted()).toEqual(RULES.map(({ alert }) => alert).toSorted());
});

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}
