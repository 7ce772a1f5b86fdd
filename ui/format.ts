/** How figures, times and digests are written. */

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Returns bytes as people read them, such as `82.4 MiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  do {
    value /= 1024;
    unit += 1;
  } while (value >= 999.95 && unit < UNITS.length - 1);
  return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function exactBytes(bytes: number): string {
  return `${count(bytes)} bytes`;
}

/** Returns a number with its thousands parted. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** From which age on, in seconds, each unit is used. */
const AGES = [
  [365.25 * 86_400, "y"],
  [30.44 * 86_400, "mo"],
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
] as const;

/** Returns how long ago a time (RFC 3339) was, such as `3 h ago`. */
export function ageText(time: string, now: number): string {
  const seconds = (now - Date.parse(time)) / 1000;
  for (const [size, unit] of AGES) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return "just now";
}

/** Returns a time in the reader's own zone. */
export function exactTime(time: string): string {
  return new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "long" });
}

/** Returns the beginning of a digest, by which people tell digests apart. */
export function shortDigest(digest: string): string {
  const [algorithm = "", hex = ""] = digest.split(":");
  return `${algorithm}:${hex.slice(0, 8)}…`;
}

/** Returns `1 tag`, `2 tags`. */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}
