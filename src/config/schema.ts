/** The settings: one schema, strict, so that a typo never turns something off in silence. */
import { z } from "zod";
import { policiesSetting, protectedTagsSetting } from "./access-settings.ts";
import { address } from "./address.ts";
import { authSettings } from "./auth-settings.ts";
import {
  externalAddress,
  hasPathOfPrefix,
  pathPrefix,
  responseHeaders,
  tlsSettings,
  trustedProxies,
} from "./http-settings.ts";
import { limitsSettings, quotasSetting } from "./limit-settings.ts";
import { bytes, distributionDuration, duration, interval, lowerCase } from "./values.ts";

z.config({ jitless: true }); // settings are read once: code made for that takes longer than it saves

/** More than this in rows of a database would make it slow for everything else. */
const MAX_INLINE = 1024 ** 2;

/** More would only cost memory. */
const MAX_WORKERS = 64;

const EXPECTED_WORKERS = `expected a number of processes from 1 to ${MAX_WORKERS}`;

const EXPECTED_COUNTED = "expected how many repositories are counted by themselves: from 0 to 10000";

const urlPattern = z.string().min(1).max(1024);

export const Settings = z.strictObject({
  log: z
    .strictObject({
      level: z.preprocess(lowerCase, z.enum(["debug", "info", "warn", "error"])).prefault("info"),
      /** Text at a terminal and JSON elsewhere, when absent. What distribution calls logstash is JSON too. */
      formatter: z.enum(["text", "json", "logstash"]).optional(),
    })
    .prefault({}),
  http: z
    .strictObject({
      addr: address.default("127.0.0.1:5000"),
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
      delete: z.strictObject({ enabled: z.boolean().default(true) }).prefault({}),
      maintenance: z
        .strictObject({
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
  gc: z
    .strictObject({
      enabled: z.boolean().default(true),
      interval: interval.prefault("1m"),
      lease: duration.prefault("1h"),
      grace: duration.prefault("1h"),
      undo: duration.prefault("7d"),
      fresh: duration.prefault("7d"),
      untagged: z.boolean().default(false),
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
        })
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

/** The default of a setting as a settings file would have it; undefined when it has none. */
export function defaultOf(path: string): unknown {
  let schema: unknown = declaredAt(path);
  while (schema instanceof z.ZodPipe && !(schema.in instanceof z.ZodTransform)) schema = schema.in;
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined;
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
