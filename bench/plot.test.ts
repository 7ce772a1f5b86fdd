import { expect, test } from "bun:test";
import { plotOf } from "./plot.ts";
import type { Results, Sample } from "./results.ts";
import { short, tableOf } from "./table.ts";

const sampleOf = (value: number): Sample => ({ value, p50Ms: 1, p90Ms: 2, p99Ms: 3, cpu: 1e6 / value, memoryMb: 50 });

const ROW = {
  name: "mount <of> a blob",
  unit: "operation",
  peers: { stowage: [sampleOf(3000), sampleOf(1000), sampleOf(2000)], nginx: "static files only" },
} as const;

test("the table shows medians, what they lie between, and why a peer is left out", () => {
  const [stowage, nginx] = tableOf(ROW).split("\n");
  expect(stowage).toContain("| mount <of> a blob | stowage | 2,000 /s | 1,000–3,000 | 500 µs |");
  expect(nginx).toStartWith("|  | nginx | static files only |");
});

test("the picture is well-formed, with a bar in each half for every peer that was measured", () => {
  const results: Results = { date: "", commit: "", machine: "", rounds: 3, seconds: 1, peers: [], rows: [ROW] };
  const svg = plotOf(results);
  expect(svg).toContain(">mount &lt;of&gt; a blob<");
  expect(svg.match(/<rect [^>]*height="10"/g)).toHaveLength(2);
  expect(svg.match(/<(rect|text|svg|style)\b/g)).toHaveLength(svg.match(/<\/(text|svg|style)>|\/>/g)?.length ?? 0);
});

test("numbers are cut to three digits", () => {
  expect([0.123456, 12.345, 1234.5, 123_456].map(short)).toEqual(["0.123", "12.3", "1,230", "123,000"]);
});
