/** Descriptors (image-spec, descriptor.md): how one piece of content points at another. */
import type { Digest } from "./digest.ts";
import { isDigestLike, parseAlgorithm, parseDigest, digestOf, algorithmOf } from "./digest.ts";
import { isMediaType } from "./media-type.ts";
import { invalidManifest } from "./invalid-manifest.ts";

export type Annotations = Readonly<Record<string, string>>;

/** Points at content. Only what a registry needs of it is kept. */
export interface Descriptor {
  readonly mediaType: string;
  /** Of any algorithm that has the grammar: content of one that we do not compute cannot be here. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Annotations;
  readonly urls?: readonly string[];
  readonly platform?: Platform;
}

export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
}

/** A descriptor of content that we hold or could hold. */
export interface LocalDescriptor extends Descriptor {
  readonly digest: Digest;
}

/** Reads a descriptor at `path` of a manifest; refused with `MANIFEST_INVALID` when it is none. */
export function readDescriptor(value: unknown, path: string): Descriptor {
  const fields = readObject(value, path);
  const mediaType = fields["mediaType"];
  // "This REQUIRED property contains the media type": "Values MUST comply with RFC 6838".
  if (typeof mediaType !== "string" || !isMediaType(mediaType)) {
    throw invalidManifest(`${path}.mediaType`, "must be a media type such as application/vnd.oci.image.config.v1+json");
  }
  const digest = readDigest(fields["digest"], `${path}.digest`);
  const size = fields["size"];
  // "This REQUIRED property specifies the size, in bytes"; beyond 2^53 - 1 JSON numbers lose their last digits.
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw invalidManifest(`${path}.size`, "must be a whole number of bytes from 0 to 9007199254740991");
  }
  const data = fields["data"];
  if (data !== undefined) checkData(data, digest, size as number, `${path}.data`);
  const urls = fields["urls"];
  if (urls !== undefined && !(Array.isArray(urls) && urls.every(isAddress))) {
    throw invalidManifest(`${path}.urls`, "must be a list of addresses, each a URI");
  }
  return {
    mediaType,
    digest,
    size: size as number,
    ...optional("artifactType", readArtifactType(fields["artifactType"], `${path}.artifactType`)),
    ...optional("annotations", readAnnotations(fields["annotations"], `${path}.annotations`)),
    ...optional("urls", urls as readonly string[] | undefined),
    ...optional("platform", readPlatform(fields["platform"], `${path}.platform`)),
  };
}

/** An object at `path` of a manifest; anything else is refused. */
export function readObject(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidManifest(path, "must be an object");
  }
  return value as Readonly<Record<string, unknown>>;
}

/** "A map of arbitrary string to string"; undefined when it is not there. */
export function readAnnotations(value: unknown, path: string): Annotations | undefined {
  if (value === undefined || value === null) return undefined;
  for (const [key, text] of Object.entries(readObject(value, path))) {
    if (typeof text !== "string") throw invalidManifest(`${path}.${key}`, "must be a string");
  }
  return value as Annotations;
}

/** "MUST comply with RFC 6838"; the empty string counts as absent, as some clients write it. */
export function readArtifactType(value: unknown, path: string): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (typeof value !== "string" || !isMediaType(value)) throw invalidManifest(path, "must be a media type");
  return value;
}

/** An object with a property when `value` is there, and without it when not. */
export function optional<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]?: Value });
}

function readDigest(value: unknown, path: string): string {
  const known = typeof value === "string" ? parseAlgorithm(value.slice(0, value.indexOf(":"))) : undefined;
  const valid = typeof value === "string" && (known ? parseDigest(value) !== undefined : isDigestLike(value));
  if (!valid) throw invalidManifest(path, "must be a digest such as sha256:… with 64 lowercase hexadecimal digits");
  return value;
}

/** "If the data field is set, its content MUST be identical to the content that the descriptor names." */
function checkData(data: unknown, digest: string, size: number, path: string): void {
  // Simple on purpose: megabytes may stand here, and everybody waits while they are looked at.
  if (typeof data !== "string" || data.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(data)) {
    throw invalidManifest(path, "must be base64 (RFC 4648, section 4)");
  }
  const bytes = Buffer.from(data, "base64");
  if (bytes.length !== size) throw invalidManifest(path, `has ${bytes.length} bytes, but size says ${size}`);
  const known = parseDigest(digest);
  if (known && digestOf(bytes, algorithmOf(known)) !== known) throw invalidManifest(path, "does not match the digest");
}

function readPlatform(value: unknown, path: string): Platform | undefined {
  if (value === undefined || value === null) return undefined;
  const { architecture, os, variant } = readObject(value, path);
  if (typeof architecture !== "string") throw invalidManifest(`${path}.architecture`, "must be a string");
  if (typeof os !== "string") throw invalidManifest(`${path}.os`, "must be a string");
  return { architecture, os, ...(typeof variant === "string" ? { variant } : {}) };
}

function isAddress(value: unknown): boolean {
  return typeof value === "string" && URL.canParse(value);
}
