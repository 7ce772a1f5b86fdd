/** The config of an image (image-spec, config.md), as far as lists and pages show it. */
import type { Digest } from "../../oci/digest.ts";
import type { Repository } from "../repository.ts";

/** What is read of a config: what is missing or of another type is left out, because no registry checks what is in it. */
export interface ImageConfig {
  readonly architecture?: string;
  readonly os?: string;
  readonly variant?: string;
  readonly created?: string;
  readonly author?: string;
  readonly user?: string;
  readonly workingDir?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: readonly string[];
  readonly exposedPorts?: readonly string[];
  readonly volumes?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly stopSignal?: string;
  readonly history: readonly HistoryEntry[];
}

/** A line of the history: the command that made a layer, or that changed the config alone. */
export interface HistoryEntry {
  readonly createdBy?: string;
  readonly created?: string;
  readonly comment?: string;
  readonly isEmptyLayer: boolean;
}

/** Bytes of a config that are read; those of real images have some KiB. */
export const MAX_CONFIG_BYTES: number = 1024 * 1024;

/** Entries of the history that are read. */
const MAX_HISTORY = 1000;

/** Returns the config; undefined when it is not here, too large, or no JSON object. It promises no client that the blob stays. */
export async function readConfig(repository: Repository, digest: Digest): Promise<ImageConfig | undefined> {
  const blob = await repository.blobs.get(digest, { renews: false }).catch(() => undefined);
  if (!blob || blob.size > MAX_CONFIG_BYTES) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of blob.read()) pieces.push(piece);
  return parseConfig(Buffer.concat(pieces).toString("utf8"));
}

/** Returns what a config says; undefined when the text is no JSON object. */
export function parseConfig(text: string): ImageConfig | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const config = isObject(value["config"]) ? value["config"] : {};
  const history = Array.isArray(value["history"]) ? value["history"].slice(0, MAX_HISTORY) : [];
  return {
    ...texts(value, {
      architecture: "architecture",
      os: "os",
      variant: "variant",
      created: "created",
      author: "author",
    }),
    ...texts(config, { user: "User", workingDir: "WorkingDir", stopSignal: "StopSignal" }),
    ...lists(config, { entrypoint: "Entrypoint", cmd: "Cmd", env: "Env" }),
    ...keys(config, { exposedPorts: "ExposedPorts", volumes: "Volumes" }),
    ...labelsIn(config["Labels"]),
    history: history.filter(isObject).map((entry) => ({
      ...texts(entry, { createdBy: "created_by", created: "created", comment: "comment" }),
      isEmptyLayer: entry["empty_layer"] === true,
    })),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The members that are texts, under the names of `names`. */
function texts<Name extends string>(
  fields: Fields,
  names: Readonly<Record<Name, string>>,
): Partial<Record<Name, string>> {
  return chosen(fields, names, (value) => (typeof value === "string" ? value : undefined));
}

/** The members that are lists of texts. */
function lists<Name extends string>(
  fields: Fields,
  names: Readonly<Record<Name, string>>,
): Partial<Record<Name, readonly string[]>> {
  return chosen(fields, names, (value) =>
    Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : undefined,
  );
}

/** The keys of the members that are objects: Go writes sets so. */
function keys<Name extends string>(
  fields: Fields,
  names: Readonly<Record<Name, string>>,
): Partial<Record<Name, readonly string[]>> {
  return chosen(fields, names, (value) => (isObject(value) ? Object.keys(value) : undefined));
}

function chosen<Name extends string, Value>(
  fields: Fields,
  names: Readonly<Record<Name, string>>,
  read: (value: unknown) => Value | undefined,
): Partial<Record<Name, Value>> {
  const found: Partial<Record<Name, Value>> = {};
  for (const [name, key] of Object.entries(names) as [Name, string][]) {
    const value = read(fields[key]);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function labelsIn(value: unknown): Pick<ImageConfig, "labels"> {
  if (!isObject(value)) return {};
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return { labels: Object.fromEntries(entries) };
}
