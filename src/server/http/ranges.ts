/** Parses `Range` and `Content-Range`. */
import type { ByteRange } from "../../lib/byte-range.ts";
import { LIMITS } from "./limits.ts";

export type RangeRequest =
  /** No range, or one that may be ignored: the whole is sent. */
  | { readonly kind: "whole" }
  | { readonly kind: "unsatisfiable" }
  | { readonly kind: "ranges"; readonly ranges: readonly [ByteRange, ...ByteRange[]] };

const WHOLE: RangeRequest = { kind: "whole" };

/**
 * Parses a `Range` header for `size` bytes (RFC 9110, 14.2). One range that cannot be satisfied, or that ends before it
 * begins, is unsatisfiable; a list with a part like that, another unit or a malformed header is ignored, as a server may.
 * Ignored too for an empty blob: clients that ask for all of it with `bytes=0-` get it.
 */
export function parseRange(header: string | null, size: number): RangeRequest {
  if (header === null || size === 0 || !/^bytes=/i.test(header)) return WHOLE;
  const parts = header.slice("bytes=".length).split(",");
  if (parts.length > LIMITS.maxRanges) return WHOLE;
  const ranges: ByteRange[] = [];
  let total = 0;
  for (const part of parts) {
    const range = parsePart(part.trim(), size);
    if (range === undefined) return WHOLE;
    if (range === "unsatisfiable") return parts.length === 1 ? { kind: "unsatisfiable" } : WHOLE;
    ranges.push(range);
    total += range.end - range.start + 1;
  }
  const [first, ...others] = ranges;
  // Many overlapping ranges are a mistake or an attack (RFC 9110, 17.15): the full response costs less.
  if (!first || (others.length > 0 && total > 2 * size)) return WHOLE;
  return { kind: "ranges", ranges: [first, ...others] };
}

function parsePart(part: string, size: number): ByteRange | "unsatisfiable" | undefined {
  const match = /^(\d*)-(\d*)$/.exec(part);
  if (!match || part === "-") return undefined;
  const [, from = "", to = ""] = match;
  if (from === "") {
    const count = Number(to);
    return count === 0 ? "unsatisfiable" : { start: Math.max(0, size - count), end: size - 1 };
  }
  const start = Number(from);
  const end = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  return start >= size || end < start ? "unsatisfiable" : { start, end };
}

/** Where a chunk belongs. Both ends are counted in, as in every range. */
export interface ChunkRange {
  readonly start: number;
  readonly length: number;
}

/**
 * A `Content-Range` header of an upload, `0-499` (distribution-spec, "Pushing a blob in chunks": "MUST match the regular
 * expression ^[0-9]+-[0-9]+$"); the form of RFC 9110, `bytes 0-499/1000`, is understood too. Undefined when it is
 * malformed, ends before it begins, or ends beyond 2^53-1, where no blob has a byte.
 */
export function parseContentRange(header: string): ChunkRange | undefined {
  const match = /^(?:bytes )?(\d+)-(\d+)(?:\/(?:(\d+)|\*))?$/i.exec(header.trim());
  if (!match) return undefined;
  const [start, end, size] = [Number(match[1]), Number(match[2]), Number(match[3] ?? Infinity)];
  // "A Content-Range … is invalid if … last-pos … less than first-pos, or … complete-length … less than or equal to
  // last-pos" (RFC 9110, 14.4).
  return end < start || size <= end || !Number.isSafeInteger(end) ? undefined : { start, length: end - start + 1 };
}
