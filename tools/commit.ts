/** The commit that something is built from. */
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");

export interface Commit {
  /** In hexadecimal, with `-dirty` behind it when files of the checkout differ from it; undefined outside of a checkout. */
  readonly id: string | undefined;
  /** Seconds since 1970: the time of all that is built, so that the same commit gives the same bytes. */
  readonly time: number;
}

/** Reads it from git. `SOURCE_DATE_EPOCH` (reproducible-builds.org) wins over the time of the commit. */
export function currentCommit(): Commit {
  const id = git("rev-parse", "HEAD");
  const isDirty = id !== undefined && git("status", "--porcelain", "--untracked-files=no") !== "";
  const time = process.env["SOURCE_DATE_EPOCH"] ?? git("log", "-1", "--format=%ct") ?? "0";
  return { id: id === undefined || !isDirty ? id : `${id}-dirty`, time: Number(time) };
}

/** What git prints; undefined when it fails, or is not installed. */
function git(...words: readonly string[]): string | undefined {
  try {
    const { success, stdout } = Bun.spawnSync(["git", "-C", ROOT, ...words], { stderr: "ignore" });
    return success ? stdout.toString().trim() : undefined;
  } catch {
    return undefined;
  }
}

/** For `define` of `Bun.build`: what src/version.ts reads. */
export function definitionsOf({ id }: Commit): Record<string, string> {
  return id === undefined ? {} : { STOWAGE_COMMIT: JSON.stringify(id) };
}
