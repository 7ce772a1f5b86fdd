/** What values of settings look like, whatever setting they belong to. */
import { z } from "./zod.ts";
import { parseDuration } from "../lib/duration.ts";

const UNITS: Readonly<Record<string, number>> = { "": 1, b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 };

const EXPECTED_BYTES = 'expected a number of bytes such as 16384 or "16KiB"';

/** A number of bytes, or a text such as `16KiB`. */
export const bytes = z.union([z.number(), z.string()], { error: EXPECTED_BYTES }).transform((value, context) => {
  const match = /^(\d+)\s*([a-z]*)$/i.exec(String(value).trim());
  const unit = match && UNITS[(match[2] ?? "").toLowerCase()];
  const size = match && unit !== undefined && unit !== null ? Number(match[1]) * unit : NaN;
  if (Number.isSafeInteger(size)) return size;
  context.addIssue({ code: "custom", message: EXPECTED_BYTES });
  return z.NEVER;
});

const EXPECTED_DURATION = 'expected a duration such as "90s", "1h30m" or "7d"';

/** A text such as `1h30m`, or 0. */
export const duration = z.union([z.literal(0), z.string()], { error: EXPECTED_DURATION }).transform(toMilliseconds);

const DAY_MS = 86_400_000;

/** How often something is done again. Timers know no more than 24 days. */
export const interval = duration.pipe(
  z
    .number()
    .min(1000, "expected at least 1s")
    .max(24 * DAY_MS, "expected at most 24d"),
);

/** In distribution's own settings a number is one of nanoseconds. */
export const distributionDuration = z
  .union([z.int().min(0), z.string()], { error: EXPECTED_DURATION })
  .transform((value, context) =>
    typeof value === "number" ? Math.round(value / 1e6) : toMilliseconds(value, context),
  );

function toMilliseconds(value: string | 0, context: z.core.$RefinementCtx): number {
  const milliseconds = parseDuration(String(value));
  if (milliseconds !== undefined) return milliseconds;
  context.addIssue({ code: "custom", message: EXPECTED_DURATION });
  return z.NEVER;
}

/** The word in lower case, as distribution takes it. */
export const lowerCase = (value: unknown): unknown => (typeof value === "string" ? value.toLowerCase() : value);
