/**
 * Events: what a registry tells others of a change or a pull, in the records of distribution
 * (`application/vnd.docker.distribution.events.v2+json`). Members stand in the order in which distribution writes them.
 */
import { randomUUIDv7 } from "./uuid.ts";
import type { Cause, Change, RequestCause } from "../../metadata/changes.ts";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { referencesIn } from "./references.ts";
import type { EventDescriptor } from "./references.ts";

export type EventAction = "pull" | "push" | "mount" | "delete";

export const EVENT_ACTIONS: readonly EventAction[] = ["pull", "push", "mount", "delete"];

export interface RegistryEvent {
  /** Stays the same whenever it is delivered again. */
  readonly id: string;
  /** RFC 3339, in UTC. */
  readonly timestamp: string;
  readonly action: EventAction;
  readonly target: EventTarget;
  readonly request: EventRequest;
  /** Empty for anonymous clients. */
  readonly actor: { readonly name?: string };
  readonly source: EventSource;
}

/** What was changed or pulled. A deletion has no type and no size: distribution writes `""` and `0` then. */
export interface EventTarget extends EventDescriptor {
  /** The size once more. */
  readonly length?: number;
  readonly repository: string;
  readonly fromRepository?: string;
  readonly url?: string;
  readonly tag?: string;
  readonly references?: readonly EventDescriptor[];
}

export interface EventRequest {
  readonly id: string;
  readonly addr?: string;
  readonly host?: string;
  readonly method: string;
  readonly useragent: string;
}

/** The process that tells. */
export interface EventSource {
  readonly addr: string;
  readonly instanceID: string;
}

/** What events say beside the change. */
export interface EventOptions {
  readonly source: EventSource;
  /** Whether events of manifests have the descriptors that the manifest references. */
  readonly includeReferences: boolean;
  /** The address of the registry for events that no request caused; empty when that is not known. */
  readonly base: string;
}

/**
 * Returns the events of a change. A manifest that is pushed with several tags has one event for each, because an event has
 * one tag; a signature has none, because distribution has no action for it.
 */
export function eventsOf(
  change: Change,
  cause: Cause | undefined,
  now: number,
  options: EventOptions,
): readonly RegistryEvent[] {
  const { action } = change;
  if (action === "sign") return [];
  const [first, ...others] = change.tags ?? [];
  const targets = first === undefined ? [undefined] : [first, ...others];
  return targets.map((tag) => ({
    id: randomUUIDv7(now),
    timestamp: timestampOf(now),
    action,
    target: targetOf(change, tag, cause?.request?.base ?? options.base, options.includeReferences),
    request: requestOf(cause?.request),
    actor: actorOf(cause),
    source: options.source,
  }));
}

function targetOf(change: Change, tag: string | undefined, base: string, includeReferences: boolean): EventTarget {
  const { action, object, repository, digest = "", size = 0, mediaType, from, payload } = change;
  if (action === "delete") {
    return { mediaType: "", digest, size: 0, repository, ...(tag !== undefined && { tag }) };
  }
  const references = includeReferences && payload ? referencesIn(payload) : [];
  return {
    mediaType: mediaType ?? BLOB_TYPE,
    digest,
    size,
    ...(size > 0 && { length: size }),
    repository,
    ...(from !== undefined && { fromRepository: from }),
    url: urlOf(base, repository, object, digest),
    ...(tag !== undefined && { tag }),
    ...(references.length > 0 && { references }),
  };
}

/** A blob or manifest that a client was given, or asked for by HEAD. */
export interface Pull {
  readonly object: "blob" | "manifest";
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /** By which a manifest was asked for. */
  readonly tag: string | undefined;
  readonly request: Omit<RequestCause, "id">;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Returns the event of a pull. */
export function pullEvent(
  pull: Pull,
  requestId: string,
  references: readonly EventDescriptor[],
  options: EventOptions,
): RegistryEvent {
  const { repository, object, digest, mediaType, size, tag, request, at } = pull;
  return {
    id: randomUUIDv7(at),
    timestamp: timestampOf(at),
    action: "pull",
    target: {
      mediaType,
      digest,
      size,
      ...(size > 0 && { length: size }),
      repository,
      url: urlOf(request.base, repository, object, digest),
      ...(tag !== undefined && { tag }),
      ...(references.length > 0 && { references }),
    },
    request: requestOf({ ...request, id: requestId }),
    actor: request.user === undefined ? {} : { name: request.user },
    source: options.source,
  };
}

function urlOf(base: string, repository: string, object: Change["object"], digest: string): string {
  return `${base}/v2/${repository}/${object === "blob" ? "blobs" : "manifests"}/${digest}`;
}

/** Of blobs, whatever is in them. */
const BLOB_TYPE = "application/octet-stream";

function requestOf(request: RequestCause | undefined): EventRequest {
  if (!request) return { id: "", method: "", useragent: "" };
  const { id, address, host, method, userAgent } = request;
  return {
    id,
    ...(address !== undefined && { addr: address }),
    ...(host !== "" && { host }),
    method,
    useragent: userAgent,
  };
}

function actorOf(cause: Cause | undefined): RegistryEvent["actor"] {
  const name = cause?.request ? cause.request.user : cause?.who;
  return name === undefined ? {} : { name };
}

/** RFC 3339 as Go writes it: without zeros at the end of the fraction. */
export function timestampOf(now: number): string {
  return new Date(now).toISOString().replace(/\.?0*Z$/, "Z");
}
