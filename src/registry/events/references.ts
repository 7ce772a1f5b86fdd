/** The descriptors that events list (`includereferences`), reduced to the members that distribution writes, in its order. */

export interface EventDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly data?: string;
  readonly platform?: EventPlatform;
  readonly artifactType?: string;
}

interface EventPlatform {
  readonly architecture: string;
  readonly os: string;
  readonly "os.version"?: string;
  readonly "os.features"?: readonly string[];
  readonly variant?: string;
}

/** Returns the descriptors that a stored manifest references: its configuration and layers, or the manifests of an index. */
export function referencesIn(payload: Uint8Array): readonly EventDescriptor[] {
  const manifest = JSON.parse(Buffer.from(payload).toString()) as unknown;
  if (!isTable(manifest)) return [];
  const { config, layers, manifests, blobs } = manifest;
  return [config, ...listIn(layers), ...listIn(manifests), ...listIn(blobs)].filter(isTable).map(descriptorIn);
}

function descriptorIn(fields: Fields): EventDescriptor {
  const { urls, annotations, data, platform, artifactType } = fields;
  return {
    mediaType: textIn(fields["mediaType"]),
    digest: textIn(fields["digest"]),
    size: typeof fields["size"] === "number" ? fields["size"] : 0,
    ...(listIn(urls).length > 0 && { urls: listIn(urls).map(textIn) }),
    ...(isTable(annotations) && Object.keys(annotations).length > 0 && { annotations: sorted(annotations) }),
    ...(textIn(data) !== "" && { data: textIn(data) }),
    ...(isTable(platform) && { platform: platformIn(platform) }),
    ...(textIn(artifactType) !== "" && { artifactType: textIn(artifactType) }),
  };
}

function platformIn(fields: Fields): EventPlatform {
  const { variant } = fields;
  const [version, features] = [textIn(fields["os.version"]), listIn(fields["os.features"]).map(textIn)];
  return {
    architecture: textIn(fields["architecture"]),
    os: textIn(fields["os"]),
    ...(version !== "" && { "os.version": version }),
    ...(features.length > 0 && { "os.features": features }),
    ...(textIn(variant) !== "" && { variant: textIn(variant) }),
  };
}

/** Go writes maps in the order of their keys. */
function sorted(annotations: Fields): Readonly<Record<string, string>> {
  const entries = Object.entries(annotations).map(([key, value]) => [key, textIn(value)] as const);
  return Object.fromEntries(entries.toSorted(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other))));
}

type Fields = Readonly<Record<string, unknown>>;

function isTable(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}
