/**
 * Settings of distribution (registry:2 and registry:3) that this program does not have. A file that holds them starts
 * all the same when they only make something nicer; when they protect something, or say where images lie, going on without
 * them would be a lie.
 */

interface Protecting {
  /** What serving without the setting would mean. */
  readonly without: string;
  /** The names below it that distribution knows. */
  readonly names: readonly string[];
}

const FOLDER_INSTEAD = "images would be stored in a local folder instead";

/** By the setting's path or the beginning of it. */
const PROTECTING: Readonly<Record<string, Protecting>> = {
  "auth.none": { without: "nothing would be different", names: [] },
  "auth.silly": { without: "everyone could read and write everything", names: ["realm", "service"] },
  "storage.maintenance.readonly": { without: "the registry would accept pushes", names: ["enabled"] },
  "storage.s3": {
    without: FOLDER_INSTEAD,
    names: [
      "accelerate",
      "accesskey",
      "bucket",
      "chunksize",
      "encrypt",
      "forcepathstyle",
      "keyid",
      "loglevel",
      "multipartcopychunksize",
      "multipartcopymaxconcurrency",
      "multipartcopythresholdsize",
      "objectacl",
      "redirectendpoint",
      "region",
      "regionendpoint",
      "rootdirectory",
      "secretkey",
      "secure",
      "sessiontoken",
      "skipverify",
      "storageclass",
      "usedualstack",
      "usefipsendpoint",
      "useragent",
      "v4auth",
    ],
  },
  "storage.gcs": {
    without: FOLDER_INSTEAD,
    names: ["bucket", "chunksize", "credentials", "keyfile", "maxconcurrency", "rootdirectory"],
  },
  "storage.azure": {
    without: FOLDER_INSTEAD,
    names: ["accountkey", "accountname", "container", "credentials", "realm", "rootdirectory"],
  },
  "storage.swift": {
    without: FOLDER_INSTEAD,
    names: [
      "authurl",
      "chunksize",
      "container",
      "domain",
      "domainid",
      "insecureskipverify",
      "password",
      "prefix",
      "region",
      "tenant",
      "tenantid",
      "trustid",
      "username",
    ],
  },
  "storage.oss": {
    without: FOLDER_INSTEAD,
    names: [
      "accesskeyid",
      "accesskeysecret",
      "bucket",
      "chunksize",
      "encrypt",
      "endpoint",
      "internal",
      "region",
      "rootdirectory",
      "secure",
    ],
  },
  "storage.inmemory": { without: FOLDER_INSTEAD, names: [] },
  proxy: {
    without: "images would not be pulled from the upstream registry",
    names: ["cachewritetimeout", "exec.command", "exec.lifetime", "password", "remoteurl", "ttl", "username"],
  },
};

/** Settings that protect something or select a storage, by their full path. */
export const PROTECTING_PATHS: readonly string[] = Object.entries(PROTECTING).flatMap(([path, { names }]) => [
  path,
  ...names.map((name) => `${path}.${name}`),
]);

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
  "notifications",
  "redis",
  "health",
  "validation.enabled",
  "compatibility.schema1.signingkeyfile",
  "compatibility.schema1.trustkey",
  "reporting",
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
  // Without the address of an upstream there is no proxy.
  if (path === "proxy") return isUnset(isTable(value) ? value["remoteurl"] : value);
  if (path.startsWith("proxy.")) return path !== "proxy.remoteurl" || isUnset(value);
  return path === "auth.none" || path.startsWith("auth.none.");
}

function isUnset(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isOffObject(value: unknown): boolean {
  return isTable(value) && value["enabled"] === false;
}

export type UnbuiltSetting =
  | { readonly kind: "protects"; readonly path: string; readonly without: string }
  | { readonly kind: "ignored"; readonly path: string };

/** What a setting of distribution's is to us; undefined when distribution has none of that path either. */
export function unbuiltSetting(path: string): UnbuiltSetting | undefined {
  const covers = (known: string): boolean => path === known || path.startsWith(`${known}.`);
  for (const [known, { without }] of Object.entries(PROTECTING)) {
    if (covers(known)) return { kind: "protects", path: known, without };
  }
  const known = OTHERS.find(covers);
  return known === undefined ? undefined : { kind: "ignored", path: known };
}

/** Names for suggestions. */
export const UNBUILT_PATHS: readonly string[] = [...Object.keys(PROTECTING), ...OTHERS];
