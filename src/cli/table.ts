/** Columns of text for a person. */
import { escapeControls } from "../lib/control-characters.ts";

/** The rows below each other, one line each, every column as wide as its widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows.map((cells) => cells.map(escapeControls))];
  const widths = headings.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  return lines
    .map(
      (cells) =>
        `${cells
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** A second in the time of this machine, such as `2026-08-31 14:05:09`. */
export function moment(milliseconds: number): string {
  return new Date(milliseconds).toLocaleString("sv-SE");
}

/** A day, such as `2026-08-31`. */
export function day(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 10);
}
