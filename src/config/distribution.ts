/**
 * Settings of distribution (registry:2 and registry:3) that this program does not have. A file that holds them starts
 * all the same when they only make something nicer; when they protect something, or say where images lie, going on without
 * them would be a lie.
 */

/** What serving without the setting would mean, by the setting's path or the beginning of it. */
const PROTECTING: Readonly<Record<string, string>> = {
  "auth.none": "nothing would be different",
  "auth.silly": "everybody could read and write everything",
  "storage.maintenance.readonly": "the registry would take pushes",
  "storage.s3": "images would be kept in a folder instead",
  "storage.gcs": "images would be kept in a folder instead",
  "storage.azure": "images would be kept in a folder instead",
  "storage.swift": "images would be kept in a folder instead",
  "storage.oss": "images would be kept in a folder instead",
  "storage.inmemory": "images would be kept in a folder instead",
  proxy: "pulls would not be passed on to the upstream registry",
};

const OTHERS: readonly string[] = [
  "version",
  "loglevel",
  "log.fields",
  "log.hooks",
  "log.accesslog",
  "log.reportcaller",
  "storage.filesystem.maxthreads",
  "storage.redirect",
  "storage.cache",
  "storage.tag",
  "middleware",
  "http.net",
  "http.secret",
  "http.draintimeout",
  "http.headers",
  "notifications",
  "redis",
  "health",
  "validation.disabled",
  "validation.enabled",
  "compatibility.schema1.signingkeyfile",
  "compatibility.schema1.trustkey",
  "reporting",
  "validation.manifests.urls",
  "validation.manifests.indexes",
  "catalog",
  "tags",
  "policy",
];

/** Whether a protecting setting is there but switched off, so that nothing is lost without it. */
export function isHarmless(path: string, value: unknown): boolean {
  const isOff = value === false || value === "false" || value === null;
  if (path === "storage.maintenance.readonly.enabled") return isOff;
  if (path === "storage.maintenance.readonly") return isOff || isOffObject(value);
  return path === "auth.none" || path.startsWith("auth.none.");
}

function isOffObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && (value as { enabled?: unknown }).enabled === false;
}

export type UnbuiltSetting =
  | { readonly kind: "protects"; readonly path: string; readonly without: string }
  | { readonly kind: "ignored"; readonly path: string };

/** What a setting of distribution's is to us; undefined when distribution has none of that path either. */
export function unbuiltSetting(path: string): UnbuiltSetting | undefined {
  const covers = (known: string): boolean => path === known || path.startsWith(`${known}.`);
  for (const [known, without] of Object.entries(PROTECTING)) {
    if (covers(known)) return { kind: "protects", path: known, without };
  }
  const known = OTHERS.find(covers);
  return known === undefined ? undefined : { kind: "ignored", path: known };
}

/** Names for suggestions. */
export const UNBUILT_PATHS: readonly string[] = [...Object.keys(PROTECTING), ...OTHERS];
