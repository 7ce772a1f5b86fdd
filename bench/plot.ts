/** Results as a picture: bars for each row and peer, throughput on the left and the server's CPU on the right. */
import { PEERS } from "./peers/peer.ts";
import type { PeerName } from "./peers/peer.ts";
import { medianOf } from "./results.ts";
import type { Results, RowResult, Sample } from "./results.ts";
import { short } from "./table.ts";

const COLOURS: Readonly<Record<PeerName, string>> = {
  stowage: "#2563eb",
  distribution: "#d97706",
  olareg: "#059669",
  nginx: "#6b7280",
  bun: "#d1d5db",
};

const WIDTH = 1000;
const BAR_HEIGHT = 11;
const GAP = 12;
const TOP = 56;
const NAMES_WIDTH = 300;
const LABEL_WIDTH = 52;
const PANEL_WIDTH = (WIDTH - NAMES_WIDTH) / 2;

const PANELS = [
  { x: NAMES_WIDTH, title: "per second: longer is better", figure: "value" },
  { x: NAMES_WIDTH + PANEL_WIDTH, title: "server CPU: shorter is better", figure: "cpu" },
] as const satisfies readonly { readonly x: number; readonly title: string; readonly figure: keyof Sample }[];

/** An SVG. Each row has its own scale: the longest bar is its highest value. Starts are left to the table. */
export function plotOf({ rows }: Results): string {
  const parts: string[] = [];
  const shown = PEERS.filter((peer) => rows.some(({ peers }) => typeof peers[peer] === "object"));
  shown.forEach((peer, at) => {
    parts.push(`<rect x="${16 + at * 130}" y="12" width="12" height="12" fill="${COLOURS[peer]}"/>`);
    parts.push(`<text x="${34 + at * 130}" y="22">${peer}</text>`);
  });
  for (const { x, title } of PANELS) parts.push(`<text x="${x}" y="44" class="title">${title}</text>`);

  let y = TOP;
  for (const row of rows.filter(({ unit }) => unit !== "start")) {
    const medians = mediansOf(row);
    const height = medians.length * BAR_HEIGHT;
    const middle = y + height / 2 + 4;
    parts.push(`<text x="${NAMES_WIDTH - 10}" y="${middle}" text-anchor="end">${Bun.escapeHTML(row.name)}</text>`);
    for (const { x, figure } of PANELS) {
      const highest = Math.max(...medians.map(([, sample]) => sample[figure]));
      medians.forEach(([peer, sample], at) => {
        const length = Math.max(1, (sample[figure] / highest) * (PANEL_WIDTH - LABEL_WIDTH - 16));
        const top = y + at * BAR_HEIGHT;
        parts.push(
          `<rect x="${x}" y="${top}" width="${length.toFixed(1)}" height="${BAR_HEIGHT - 1}" fill="${COLOURS[peer]}"/>`,
          `<text x="${(x + length + 4).toFixed(1)}" y="${top + 9}" class="value">${short(sample[figure])}</text>`,
        );
      });
    }
    y += height + GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="12">
<style>.value { font-size: 9px } .title { font-weight: bold }</style>
<rect width="${WIDTH}" height="${y}" fill="#fff"/>
${parts.join("\n")}
</svg>
`;
}

function mediansOf({ peers }: RowResult): readonly (readonly [PeerName, Sample])[] {
  return PEERS.flatMap((peer) => {
    const samples = peers[peer];
    return typeof samples === "object" ? [[peer, medianOf(samples)] as const] : [];
  });
}
