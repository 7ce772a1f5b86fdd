/** Numbers of bytes as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Such as `1.5 GiB`. */
export function formatSize(bytes: number): string {
  let [size, unit] = [bytes, 0];
  // What would be rounded up to 1024.0 belongs to the next unit.
  while (size >= 1023.95 && unit < UNITS.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`;
}
