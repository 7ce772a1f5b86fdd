/** Descriptors (image-spec, descriptor.md): how one piece of content points at another. */
import type { OnDeviation } from "./deviation.ts";
import type { Digest } from "./digest.ts";
import { isDigestLike, parseAlgorithm, parseDigest, digestOf, algorithmOf } from "./digest.ts";
import { MAX_MEDIA_TYPE_LENGTH, isMediaType } from "./media-type.ts";
import { invalidManifest } from "./invalid-manifest.ts";

export type Annotations = Readonly<Record<string, string>>;

/** A descriptor, reduced to what a registry needs. */
export interface Descriptor {
  readonly mediaType: string;
  /** Of any algorithm that has the grammar: content of one that we do not compute cannot be here. */
  readonly digest: string;
  /** Bytes, as the descriptor says; the content may have more or fewer. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Annotations;
  /** Addresses from which the content can be fetched, as they came: absolute ones, unless the sender deviated. */
  readonly urls?: readonly string[];
  readonly platform?: Platform;
}

export interface Platform {
  /** Empty when the descriptor does not say it. */
  readonly architecture: string;
  /** Empty when the descriptor does not say it. */
  readonly os: string;
  readonly variant?: string;
}

/** A descriptor of content that we hold or could hold. */
export interface LocalDescriptor extends Descriptor {
  readonly digest: Digest;
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads a descriptor at `path` of a manifest. Throws `MANIFEST_INVALID` when the value is none. */
export function readDescriptor(value: unknown, path: string, deviates: OnDeviation): Descriptor {
  const fields = readObject(value, path);
  const mediaType = readMediaType(fields["mediaType"], `${path}.mediaType`, deviates);
  const digest = readDigest(fields["digest"], `${path}.digest`);
  const size = fields["size"];
  // "This REQUIRED property specifies the size, in bytes"; beyond 2^53 - 1 JSON numbers lose their last digits.
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw invalidManifest(`${path}.size`, "must be a whole number of bytes from 0 to 9007199254740991");
  }
  const data = optionalMember(fields, "data", path, deviates);
  if (data !== undefined) checkData(data, digest, size as number, `${path}.data`, deviates);
  const artifactType = readArtifactType(fields, path, deviates);
  const annotations = readAnnotations(fields, path, deviates);
  const urls = readUrls(fields, path, deviates);
  const platform = readPlatform(fields, path, deviates);
  const descriptor = { mediaType, digest, size: size as number };
  // Most have nothing else, and a manifest has thousands.
  if ((artifactType ?? annotations ?? urls ?? platform) === undefined) return descriptor;
  return {
    ...descriptor,
    ...optional("artifactType", artifactType),
    ...optional("annotations", annotations),
    ...optional("urls", urls),
    ...optional("platform", platform),
  };
}

/** An object at `path` of a manifest. Throws `MANIFEST_INVALID` when the value is anything else. */
export function readObject(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidManifest(path, "must be an object");
  }
  return value as Fields;
}

/** The member `key` of the object at `path`; undefined when it is absent, and when it is null, which is a deviation. */
export function optionalMember(fields: Fields, key: string, path: string, deviates: OnDeviation): unknown {
  const value = fields[key];
  if (value !== null) return value;
  deviates(memberPath(path, key), "should not be null: leave it out");
  return undefined;
}

/** Where a member of the object at `path` is; the path of the whole document is empty. */
export function memberPath(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** "A map of arbitrary string to string", without those that are null; undefined when it is not there. */
export function readAnnotations(fields: Fields, path: string, deviates: OnDeviation): Annotations | undefined {
  const value = optionalMember(fields, "annotations", path, deviates);
  if (value === undefined) return undefined;
  const place = memberPath(path, "annotations");
  const annotations = readObject(value, place);
  let hasNull = false;
  for (const [key, text] of Object.entries(annotations)) {
    if (typeof text === "string") continue;
    const at = `${place}.${key.slice(0, MAX_KEY_IN_PATH)}`;
    if (text !== null) throw invalidManifest(at, "must be a string");
    deviates(at, "should not be null: leave it out");
    hasNull = true;
  }
  if (!hasNull) return annotations as Annotations;
  return Object.fromEntries(Object.entries(annotations).filter(([, text]) => text !== null)) as Annotations;
}

/** Characters of an annotation's key that are shown in a path. */
const MAX_KEY_IN_PATH = 64;

/** "MUST comply with RFC 6838"; the empty string counts as absent, as some clients write it. */
export function readArtifactType(fields: Fields, path: string, deviates: OnDeviation): string | undefined {
  const value = optionalMember(fields, "artifactType", path, deviates);
  if (value === undefined || value === "") return undefined;
  return readMediaType(value, memberPath(path, "artifactType"), deviates);
}

/** An object with a property when `value` is there, and without it when not. */
export function optional<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]?: Value });
}

/** "Values MUST comply with RFC 6838": what has parameters, or no slash, is a deviation. */
function readMediaType(value: unknown, path: string, deviates: OnDeviation): string {
  if (typeof value !== "string" || value.length > MAX_MEDIA_TYPE_LENGTH) {
    throw invalidManifest(
      path,
      `must be a media type of at most ${MAX_MEDIA_TYPE_LENGTH} characters, such as application/vnd.oci.image.config.v1+json`,
    );
  }
  if (!isMediaType(value)) deviates(path, "should be type/subtype, without parameters");
  return value;
}

function readDigest(value: unknown, path: string): string {
  const known = typeof value === "string" ? parseAlgorithm(value.slice(0, value.indexOf(":"))) : undefined;
  const valid = typeof value === "string" && (known ? parseDigest(value) !== undefined : isDigestLike(value));
  if (!valid) throw invalidManifest(path, "must be a digest such as sha256:… with 64 lowercase hexadecimal digits");
  return value;
}

/** "If the data field is set, its content MUST be identical to the content that the descriptor names." */
function checkData(data: unknown, digest: string, size: number, path: string, deviates: OnDeviation): void {
  // Clients decode it eagerly: data that is not base64 makes the manifest unreadable.
  // Simple on purpose: there may be megabytes, and the event loop waits while they are checked.
  const text = typeof data === "string" ? data.replaceAll(/[\r\n]/g, "") : "!";
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw invalidManifest(path, "must be base64 (RFC 4648, section 4)");
  }
  if (text !== data) deviates(path, "should have no line breaks");
  const bytes = Buffer.from(text, "base64");
  const known = parseDigest(digest);
  if (bytes.length !== size) deviates(path, `has ${bytes.length} bytes, but size says ${size}`);
  else if (known && digestOf(bytes, algorithmOf(known)) !== known) deviates(path, "does not match the digest");
}

function readUrls(fields: Fields, path: string, deviates: OnDeviation): readonly string[] | undefined {
  const value = optionalMember(fields, "urls", path, deviates);
  if (value === undefined) return undefined;
  const place = memberPath(path, "urls");
  if (!isListOfTexts(value)) throw invalidManifest(place, "must be a list of addresses, each a URI");
  for (const [at, url] of value.entries()) {
    if (!URL.canParse(url)) deviates(`${place}[${at}]`, "should be an absolute URI");
  }
  return value;
}

function readPlatform(fields: Fields, path: string, deviates: OnDeviation): Platform | undefined {
  const value = optionalMember(fields, "platform", path, deviates);
  if (value === undefined) return undefined;
  const place = memberPath(path, "platform");
  const platform = readObject(value, place);
  const text = (key: string): string | undefined => {
    const member = optionalMember(platform, key, place, deviates);
    if (member !== undefined && typeof member !== "string")
      throw invalidManifest(`${place}.${key}`, "must be a string");
    return member;
  };
  const [architecture, os, variant] = [text("architecture"), text("os"), text("variant")];
  text("os.version");
  optionalMember(platform, "features", place, deviates); // reserved by OCI, and a list in Docker's lists
  const features = optionalMember(platform, "os.features", place, deviates);
  if (features !== undefined && !isListOfTexts(features)) {
    throw invalidManifest(`${place}.os.features`, "must be a list of strings");
  }
  // "This REQUIRED property": those who build for one platform alone leave them out.
  if (platform["architecture"] === undefined) deviates(`${place}.architecture`, "is missing");
  if (platform["os"] === undefined) deviates(`${place}.os`, "is missing");
  return { architecture: architecture ?? "", os: os ?? "", ...optional("variant", variant) };
}

function isListOfTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
