/** The settings: one schema, strict, so that a typo never turns something off in silence. */
import { z } from "./zod.ts";
import { policiesSetting, protectedTagsSetting } from "./access-settings.ts";
import { address, isOfNetwork } from "./address.ts";
import { authSettings } from "./auth-settings.ts";
import { healthSettings } from "./health-settings.ts";
import {
  externalAddress,
  hasPathOfPrefix,
  pathPrefix,
  responseHeaders,
  tlsSettings,
  trustedProxies,
} from "./http-settings.ts";
import { databaseSettings } from "./database-settings.ts";
import { auditSettings, eventsSettings, notificationsSettings } from "./event-settings.ts";
import { limitsSettings, quotasSetting } from "./limit-settings.ts";
import { s3Settings } from "./s3-settings.ts";
import { bytes, distributionDuration, duration, interval, lowerCase } from "./values.ts";

/** More than this in rows of a database would make it slow for everything else. */
const MAX_INLINE = 1024 ** 2;

/** More would only cost memory. */
const MAX_WORKERS = 64;

/** A page is put together in memory. */
const LARGEST_PAGE = 10_000;

const EXPECTED_WORKERS = `expected a number of processes from 1 to ${MAX_WORKERS}`;

const EXPECTED_COUNTED = "expected how many repositories are counted by themselves: from 0 to 10000";

const urlPattern = z.string().min(1).max(1024);

const logLevel = z.preprocess(lowerCase, z.enum(["debug", "info", "warn", "error"]));

const EXPECTED_PAGE = `expected a number of entries from 1 to ${LARGEST_PAGE}`;

/** How many entries of a list a client gets at once. */
const pageSize = z.int(EXPECTED_PAGE).min(1, EXPECTED_PAGE).max(LARGEST_PAGE, EXPECTED_PAGE);

const EXPECTED_CLASSES = "expected classes of repositories: image, plugin";

const EXPECTED_FIELDS = "expected names of fields with their values, such as {environment: production}";

export const Settings = z.strictObject({
  log: z
    .strictObject({
      level: logLevel.prefault("info"),
      formatter: z.enum(["text", "json", "logstash"]).optional(),
      fields: z
        .record(z.string().min(1, EXPECTED_FIELDS), z.union([z.string(), z.number(), z.boolean()], EXPECTED_FIELDS), {
          error: EXPECTED_FIELDS,
        })
        .default({}),
      accesslog: z.strictObject({ disabled: z.boolean().default(false) }).prefault({}),
    })
    .prefault({}),
  loglevel: logLevel.optional(),
  http: z
    .strictObject({
      addr: address.default("127.0.0.1:5000"),
      net: z.enum(["tcp", "unix"]).optional(),
      draintimeout: distributionDuration.optional(),
      /** What clients call the registry; what each request says when absent. */
      host: externalAddress.optional(),
      /** The path below which everything is, without a slash at its end; empty at the top of the host. */
      prefix: pathPrefix.default(""),
      /** Addresses in replies are relative in any case. */
      relativeurls: z.boolean().optional(),
      trustedproxies: trustedProxies,
      /** What every reply has besides what the registry writes itself. */
      headers: responseHeaders,
      tls: tlsSettings,
      http2: z.strictObject({ disabled: z.boolean().default(false) }).prefault({}),
      /** HTTP/2 in the clear, for proxies. */
      h2c: z.strictObject({ enabled: z.boolean().default(false) }).prefault({}),
      /** How long `/readyz` says no at a stop before the port is closed. */
      draindelay: distributionDuration.prefault("0s"),
      debug: z
        .strictObject({
          /** Nothing listens there when absent. */
          addr: address.optional(),
          prometheus: z
            .strictObject({
              enabled: z.boolean().default(false),
              path: z.string().startsWith("/", 'expected a path such as "/metrics"').default("/metrics"),
              /** How many repositories are counted by themselves. */
              repositories: z.int(EXPECTED_COUNTED).min(0, EXPECTED_COUNTED).max(10_000, EXPECTED_COUNTED).default(0),
            })
            .prefault({}),
        })
        .prefault({}),
    })
    .refine(hasPathOfPrefix.of, { path: ["host"], error: hasPathOfPrefix.error })
    .refine(isOfNetwork.of, { path: ["addr"], error: isOfNetwork.error })
    .refine(({ addr, debug }) => debug.addr !== addr || addr.endsWith(":0"), {
      path: ["debug", "addr"],
      error: "expected an address other than http.addr",
    })
    .prefault({}),
  auth: authSettings,
  /** Rules of authorization; without them every user may do everything. */
  policies: policiesSetting,
  /** Immutable tags. */
  protectedtags: protectedTagsSetting,
  /** How much may be asked in a time. */
  limits: limitsSettings,
  /** How much may lie below prefixes of names. */
  quotas: quotasSetting,
  /** Endpoints that receive events of changes and pulls, as in distribution. */
  notifications: notificationsSettings,
  /** For how long events wait. */
  events: eventsSettings,
  /** The audit table. */
  audit: auditSettings,
  /** How many processes serve clients; as many as suit the machine when absent. */
  workers: z.int(EXPECTED_WORKERS).min(1, EXPECTED_WORKERS).max(MAX_WORKERS, EXPECTED_WORKERS).optional(),
  storage: z
    .strictObject({
      filesystem: z
        .strictObject({
          rootdirectory: z.string().min(1).default("./data"),
          /** Only one process ever opens the folder: allows file systems over a network. */
          singleprocess: z.boolean().default(false),
          /** Large uploads are written past the page cache. */
          directwrites: z.boolean().default(false),
        })
        .prefault({}),
      /** Where the bytes of blobs lie instead, when present; the database stays in the data folder. */
      s3: s3Settings.optional(),
      redirect: z.strictObject({ disable: z.boolean().default(false) }).prefault({}),
      delete: z.strictObject({ enabled: z.boolean().default(true) }).prefault({}),
      maintenance: z
        .strictObject({
          readonly: z.strictObject({ enabled: z.boolean().default(false) }).prefault({}),
          uploadpurging: z
            .strictObject({
              enabled: z.boolean().default(true),
              age: distributionDuration.prefault("168h"),
              /** How often distribution looks; ours looks each gc.interval. */
              interval: distributionDuration.optional(),
              dryrun: z.boolean().default(false),
            })
            .prefault({}),
        })
        .prefault({}),
      /** Blobs up to this size lie in the database. */
      inline: bytes.pipe(z.number().max(MAX_INLINE)).prefault("16KiB"),
    })
    .prefault({}),
  /** Where the metadata is, when it is not in the data folder. */
  database: databaseSettings,
  gc: z
    .strictObject({
      enabled: z.boolean().default(true),
      interval: interval.prefault("1m"),
      lease: duration.prefault("1h"),
      grace: duration.prefault("1h"),
      undo: duration.prefault("7d"),
      fresh: duration.prefault("7d"),
      untagged: z.boolean().default(false),
      history: z
        .strictObject({
          age: duration.prefault("365d"),
          entries: z.int("expected a whole number").min(0, "expected a number from 0 on").default(1000),
        })
        .prefault({}),
    })
    .prefault({}),
  scrub: z
    .strictObject({
      /** How fast blobs are read again, to find damage; 0 for never. */
      bytespersecond: bytes.prefault("8MiB"),
      /** Between two passes, and before the first. */
      pause: interval.prefault("1h"),
    })
    .prefault({}),
  compatibility: z
    .strictObject({
      /** Signed manifests of Docker before 1.10. */
      schema1: z.strictObject({ enabled: z.boolean().default(false) }).prefault({}),
    })
    .prefault({}),
  signatures: z
    .strictObject({
      /** Whether signatures beside manifests are shown and taken over HTTP. */
      enabled: z.boolean().default(false),
    })
    .prefault({}),
  validation: z
    .strictObject({
      /** Whether the other settings of this section that refuse something count for nothing. */
      disabled: z.boolean().default(false),
      manifests: z
        .strictObject({
          /** Whether manifests may name content that is not here. */
          sparse: z.boolean().default(false),
          /** Whether what deviates from the specification is refused, also where tools write it so. */
          strict: z.boolean().default(false),
          /** Regular expressions, as Go has them, for the addresses that manifests may name. */
          urls: z
            .strictObject({
              /** Any address is allowed when absent, and none when empty. */
              allow: z.array(urlPattern).optional(),
              deny: z.array(urlPattern).default([]),
            })
            .prefault({}),
          indexes: z
            .strictObject({
              platforms: z.enum(["all", "none", "list"]).default("all"),
              platformlist: z
                .array(z.strictObject({ architecture: z.string().min(1), os: z.string().min(1) }))
                .default([]),
            })
            .refine(({ platforms, platformlist }) => platforms !== "list" || platformlist.length > 0, {
              path: ["platformlist"],
              error: "expected at least one platform, because validation.manifests.indexes.platforms is list",
            })
            .prefault({}),
        })
        .prefault({}),
    })
    .prefault({}),
  health: healthSettings,
  catalog: z.strictObject({ maxentries: pageSize.default(1000) }).prefault({}),
  tags: z.strictObject({ maxtags: pageSize.default(LARGEST_PAGE) }).prefault({}),
  policy: z
    .strictObject({
      repository: z
        .strictObject({ classes: z.array(z.enum(["image", "plugin"], EXPECTED_CLASSES)).default([]) })
        .prefault({}),
    })
    .prefault({}),
});

export type Settings = z.output<typeof Settings>;

/** Every setting by its path, such as `http.addr`. */
export const SETTING_PATHS: readonly string[] = pathsOf(Settings, []);

/** What a setting takes: a text alone, a list, a table with keys of the operator's choice, or another value of YAML. */
export type SettingKind = "text" | "list" | "table" | "other";

/** Of the setting with this path, or of the entries of a list with `path.0`. */
export function kindOf(path: string): SettingKind {
  const schema = schemaAt(path);
  if (schema instanceof z.ZodArray) return "list";
  if (schema instanceof z.ZodRecord) return "table";
  return schema instanceof z.ZodString || schema instanceof z.ZodEnum ? "text" : "other";
}

/** The names that stand below a path, such as `policies.0`; none where settings have no names. */
export function namesBelow(path: string): readonly string[] {
  const schema = schemaAt(path);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** What a settings file may have at a path, for a JSON schema; undefined where nothing may be. */
export function acceptedAt(path: string): z.ZodType | undefined {
  const declared = declaredAt(path);
  const schema = declared && unwrapped(declared);
  // What changes a value before it is checked is not part of what may be written.
  return schema instanceof z.ZodRecord || schema instanceof z.ZodEnum ? schema : declared;
}

/** The default of a setting as a settings file would have it; undefined when it has none. */
export function defaultOf(path: string): unknown {
  let schema: unknown = declaredAt(path);
  while (schema instanceof z.ZodPipe && !(schema.in instanceof z.ZodTransform)) schema = schema.in;
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined;
}

/**
 * The keys that names joined by underscores stand for, whatever their case, as far as lists and tables go; undefined where no
 * setting has them.
 */
export function keysNamed(names: readonly string[]): readonly string[] | undefined {
  const keys: string[] = [];
  for (const [at, name] of names.entries()) {
    const schema = schemaAt(keys.join("."));
    if (schema instanceof z.ZodRecord) {
      // Many programs set no variable with dashes in its name: for headers, underscores stand for them.
      const key = names.slice(at).join(keys.at(-1) === "headers" ? "-" : "_");
      return key === "" ? undefined : [...keys, key];
    }
    if (schema instanceof z.ZodArray && /^\d{1,4}$/.test(name)) keys.push(String(Number(name)));
    else {
      const key = namesBelow(keys.join(".")).find((known) => known.toUpperCase() === name.toUpperCase());
      if (key === undefined) return undefined;
      keys.push(key);
    }
  }
  return keys;
}

/** What is read at a path, without defaults around it; undefined where nothing is. */
function schemaAt(path: string): z.ZodType | undefined {
  const schema = declaredAt(path);
  return schema && unwrapped(schema);
}

function declaredAt(path: string): z.ZodType | undefined {
  let schema: z.ZodType = Settings;
  for (const key of path === "" ? [] : path.split(".")) {
    const section = unwrapped(schema);
    const inner: unknown =
      section instanceof z.ZodArray
        ? section.element
        : section instanceof z.ZodObject
          ? (section.shape as Record<string, unknown>)[key]
          : undefined;
    if (!(inner instanceof z.ZodType)) return undefined;
    schema = inner;
  }
  return schema;
}

function pathsOf(schema: z.ZodType, path: readonly string[]): string[] {
  const inner = unwrapped(schema);
  if (!(inner instanceof z.ZodObject)) return [path.join(".")];
  return Object.entries(inner.shape as Record<string, z.ZodType>).flatMap(([key, value]) =>
    pathsOf(value, [...path, key]),
  );
}

/** Without defaults around it, and without what changes a value before or after it is checked. */
function unwrapped(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodPipe) {
    const { in: first, out: second } = schema;
    return unwrapped((first instanceof z.ZodTransform ? second : first) as z.ZodType);
  }
  return schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault || schema instanceof z.ZodOptional
    ? unwrapped(schema.unwrap() as z.ZodType)
    : schema;
}
