/**
 * Settings of distribution (registry:2 and registry:3) that this program does not have. A file that holds them starts
 * all the same when they only make something nicer; when they protect something, or say where images lie, going on without
 * them would be a lie.
 */

interface Protecting {
  /** What serving without the setting would mean. */
  readonly without: string;
  /** What to do, when there is more to do than to remove the setting. */
  readonly instead?: string;
  /** The names below it that distribution knows. */
  readonly names: readonly string[];
}

const FOLDER_INSTEAD = "images would be stored in a local folder instead";

/** By the setting's path or the beginning of it. */
const PROTECTING: Readonly<Record<string, Protecting>> = {
  "auth.none": { without: "nothing would be different", names: [] },
  "auth.silly": { without: "everyone could read and write everything", names: ["realm", "service"] },
  "storage.gcs": {
    without: FOLDER_INSTEAD,
    instead:
      "Use storage.s3 with regionendpoint: https://storage.googleapis.com, region: auto, and an HMAC key of the service account as " +
      "accesskey and secretkey",
    names: ["bucket", "chunksize", "credentials", "keyfile", "maxconcurrency", "rootdirectory"],
  },
  "storage.azure": {
    without: FOLDER_INSTEAD,
    instead:
      "Azure has no S3 interface: run an S3 gateway for the container, such as versitygw azure, and use storage.s3",
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
  "middleware.registry": { without: "what the middleware checks or changes would not be", names: [] },
  "middleware.repository": { without: "what the middleware checks or changes would not be", names: [] },
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

/** Settings whose work is done without them, by the setting's path or the beginning of it: what is so instead. */
const UNNEEDED: Readonly<Record<string, string>> = {
  version: "it names the format of the file",
  "log.hooks": "it sends no mail: set alerts on its metrics or its log",
  "log.reportcaller": "its log lines do not name places in its source",
  "storage.filesystem.maxthreads": "the kernel schedules its reads and writes",
  "storage.s3.loglevel": "requests to S3 that fail are in its log",
  "storage.s3.multipartcopychunksize": "blobs are not copied: they are sent to their final object",
  "storage.s3.multipartcopymaxconcurrency": "blobs are not copied: they are sent to their final object",
  "storage.s3.multipartcopythresholdsize": "blobs are not copied: they are sent to their final object",
  "storage.s3.v4auth": "requests are always signed so",
  "storage.cache": "descriptors are in its database, and its caches need no setting",
  "storage.tag": "it finds tags in its database, without reading files",
  "middleware.storage": "it sends blobs itself, not from CloudFront or another address",
  "http.secret": "the state of uploads is in its database, not with clients",
  redis: "its caches are in memory, and what several processes share is in its database",
  "health.storagedriver": "/readyz checks database and storage at each request",
  "validation.enabled": "validation.manifests is in force unless validation.disabled is set",
  "compatibility.schema1.signingkeyfile": "signed manifests are served as they were pushed",
  "compatibility.schema1.trustkey": "signed manifests are served as they were pushed",
  reporting: "errors are in its log",
};

/** Whether a setting is there but says nothing, so that nothing is lost without it. */
export function isHarmless(path: string, value: unknown): boolean {
  if (isUnset(value) && !/^(?:storage|auth)\./.test(path)) return true;
  if (path === "log.hooks" || path.startsWith("middleware.")) return isList(value) && value.every(isDisabled);
  // Without the address of an upstream there is no proxy.
  if (path === "proxy") return isUnset(isTable(value) ? value["remoteurl"] : value);
  if (path.startsWith("proxy.")) return path !== "proxy.remoteurl" || isUnset(value);
  return path === "version" || path === "auth.none" || path.startsWith("auth.none.");
}

function isUnset(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function isDisabled(entry: unknown): boolean {
  return isTable(entry) && entry["disabled"] === true;
}

export type UnbuiltSetting =
  /** `instead` says what to do, when there is more to do than to remove the setting. */
  | { readonly kind: "protects"; readonly path: string; readonly without: string; readonly instead: string | undefined }
  /** `instead` says why nothing is lost without it. */
  | { readonly kind: "ignored"; readonly path: string; readonly instead: string };

/** What a setting of distribution's is to us; undefined when distribution has none of that path either. */
export function unbuiltSetting(path: string): UnbuiltSetting | undefined {
  const covers = (known: string): boolean => path === known || path.startsWith(`${known}.`);
  for (const [known, { without, instead }] of Object.entries(PROTECTING)) {
    if (covers(known)) return { kind: "protects", path: known, without, instead };
  }
  for (const [known, instead] of Object.entries(UNNEEDED)) {
    if (covers(known)) return { kind: "ignored", path: known, instead };
  }
  return undefined;
}

/** Names for suggestions. */
export const UNBUILT_PATHS: readonly string[] = [...Object.keys(PROTECTING), ...Object.keys(UNNEEDED)];
