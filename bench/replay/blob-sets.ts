/** Finds out which blobs a manifest names: a trace does not say. */
import type { TraceLine } from "./trace.ts";

/** What a client asks for in a repository so soon after a manifest, or pushes so soon before one, belongs to it. */
const WITHIN_MS = 60_000;

/** Docker goes no further. */
const MOST_BLOBS = 127;

/**
 * For lines that get or put a manifest the blobs that belong to it: those which the client then got, or has just pushed,
 * mounted or asked about.
 */
export function blobSetsOf(lines: readonly TraceLine[]): ReadonlyMap<TraceLine, ReadonlySet<string>> {
  const sets = new Map<TraceLine, Set<string>>();
  const pulls = new Map<string, TraceLine>();
  const pushes = new Map<string, TraceLine[]>();
  for (const line of lines) {
    const key = `${line.client} ${line.repo}`;
    switch (line.op) {
      case "get-manifest":
        pulls.set(key, line);
        sets.set(line, new Set());
        break;
      case "get-blob": {
        const manifest = pulls.get(key);
        const set = manifest && line.t_ms - manifest.t_ms <= WITHIN_MS ? sets.get(manifest) : undefined;
        if (set && set.size < MOST_BLOBS) set.add(line.ref);
        break;
      }
      case "head-blob":
      case "upload":
      case "mount":
        pushes.getOrInsert(key, []).push(line);
        break;
      case "put-manifest": {
        const recent = (pushes.get(key) ?? []).filter(({ t_ms }) => line.t_ms - t_ms <= WITHIN_MS);
        sets.set(line, new Set(recent.map(({ ref }) => ref).slice(-MOST_BLOBS)));
        pushes.delete(key);
        break;
      }
      default: // about no blob
    }
  }
  return sets;
}
