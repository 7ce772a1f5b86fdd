/** The version of this program. */
import manifest from "../package.json" with { type: "json" };

/** Set by tools/build.ts and tools/build-executable.ts. */
declare const STOWAGE_COMMIT: string | undefined;

export const VERSION: string = manifest.version;

/** The commit of what was built for others, in hexadecimal; undefined for sources, and for what a checkout builds for itself. */
export const COMMIT: string | undefined = typeof STOWAGE_COMMIT === "undefined" ? undefined : STOWAGE_COMMIT;
