/** From the start of the program to its first answer. */
import { tagName } from "../contents.ts";
import type { StartRow } from "./row.ts";

export const starts: readonly StartRow[] = [
  { kind: "start", name: "start, empty", needs: [], path: "/v2/" },
  {
    kind: "start",
    name: "start and a manifest, 100,000 tags",
    needs: ["many"],
    path: `/v2/bench/many/manifests/${tagName(99_999)}`,
  },
];
