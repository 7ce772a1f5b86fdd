/** Results as a table in Markdown, which a terminal shows as well. */
import { medianOf } from "./results.ts";
import type { RowResult, Unit } from "./results.ts";

const WORDS: Readonly<Record<Unit, { readonly value: string; readonly cpu: string }>> = {
  operation: { value: "/s", cpu: "µs" },
  byte: { value: "MB/s", cpu: "ms/GiB" },
  start: { value: "ms", cpu: "ms" },
};

export const TABLE_HEAD = [
  "| row | peer | throughput | lowest–highest | CPU | p50 ms | p90 ms | p99 ms | MB |",
  "|---|---|--:|--:|--:|--:|--:|--:|--:|",
].join("\n");

/** One line for each peer: medians, and the range of the throughput over the rounds. */
export function tableOf({ name, unit, peers }: RowResult): string {
  const lines = Object.entries(peers).map(([peer, samples], at) => {
    const first = `| ${at === 0 ? name : ""} | ${peer} |`;
    if (typeof samples === "string") return `${first} ${samples} | | | | | | |`;
    const { value, cpu, p50Ms, p90Ms, p99Ms, memoryMb } = medianOf(samples);
    const values = samples.map((sample) => sample.value);
    const range = `${short(Math.min(...values))}–${short(Math.max(...values))}`;
    const words = WORDS[unit];
    const latency = unit === "start" ? ["", "", ""] : [p50Ms, p90Ms, p99Ms].map(short);
    const figures = [
      `${short(value)} ${words.value}`,
      range,
      `${short(cpu)} ${words.cpu}`,
      ...latency,
      short(memoryMb),
    ];
    return `${first} ${figures.join(" | ")} |`;
  });
  return lines.join("\n");
}

/** Three digits that count. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const rounded = Number(value.toPrecision(3));
  return rounded >= 1000 ? rounded.toLocaleString("en") : String(rounded);
}
