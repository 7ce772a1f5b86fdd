/** A trace: what clients asked a registry for, and when. As a file it is NDJSON, a line for each operation. */

/**
 * What a client does. An upload is POST, PATCH and PUT of a blob, each when the one before was answered; everything else is
 * one request.
 */
export const OPS = [
  "ping",
  "token",
  "head-manifest",
  "get-manifest",
  "head-blob",
  "get-blob",
  "upload",
  "mount",
  "put-manifest",
  "tags",
  "referrers",
] as const;

export type Op = (typeof OPS)[number];

export interface TraceLine {
  /** Since the trace began. Lines stand in the order of their times. */
  readonly t_ms: number;
  readonly client: string;
  readonly op: Op;
  /** Empty where the operation is about no repository. */
  readonly repo: string;
  /**
   * For manifests a tag, or `@` and a tag: what the tag points at, asked for by its digest. For blobs a name of their
   * content, which is the same in every repository. Otherwise empty.
   */
  readonly ref: string;
  /** Bytes of a blob; 0 where that is not known, and for everything else. */
  readonly size: number;
}

export function requestsIn(lines: readonly { readonly op: Op }[]): number {
  return lines.reduce((sum, { op }) => sum + requestsOf(op), 0);
}

export function requestsOf(op: Op): number {
  return op === "upload" ? 3 : 1;
}

export function printTrace(lines: readonly TraceLine[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Throws for what is no trace, with the number of the line. */
export function parseTrace(text: string): readonly TraceLine[] {
  return text
    .split("\n")
    .filter((each) => each !== "")
    .map((each, at) => {
      const line = JSON.parse(each) as TraceLine;
      if (!OPS.includes(line.op) || !(line.t_ms >= 0) || !(line.size >= 0)) {
        throw new Error(`line ${at + 1} of the trace is not understood: ${each}`);
      }
      return line;
    });
}
