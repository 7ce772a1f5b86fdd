/** Endpoints: where events are sent, and which of them. */
import type { EnvelopeKind } from "./envelope.ts";
import type { EventAction, RegistryEvent } from "./event.ts";

export interface Endpoint {
  /** Also names its place in the outbox. */
  readonly name: string;
  readonly url: string;
  /** Sent with each delivery besides the registry's own. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** Milliseconds for one try. */
  readonly timeoutMs: number;
  /** Consecutive failures after which tries are `backoffMs` apart, and further with each failure. */
  readonly threshold: number;
  readonly backoffMs: number;
  /** Tries after which an event becomes a dead letter, whatever failed; 0 for any number. */
  readonly attempts: number;
  readonly ignoredMediaTypes: readonly string[];
  readonly ignoredActions: readonly EventAction[];
  /** Which pushes are told: all, or those of manifests with a tag, which is one for each image. */
  readonly pushes: "all" | "tagged";
  /** Whether HEAD requests are told as pulls. */
  readonly heads: boolean;
  readonly envelope: EnvelopeKind;
  /** Key of `X-Registry-Signature`; absent for none. */
  readonly secret?: string | undefined;
}

/** Whether an endpoint receives an event. */
export function accepts(endpoint: Endpoint, { action, target, request }: EventToSelect): boolean {
  const { ignoredActions, ignoredMediaTypes, pushes, heads } = endpoint;
  if (ignoredActions.includes(action) || ignoredMediaTypes.includes(target.mediaType)) return false;
  if (action === "push" && pushes === "tagged") return target.tag !== undefined;
  return heads || action !== "pull" || request.method !== "HEAD";
}

/** What of an event decides which endpoints receive it. */
export interface EventToSelect extends Pick<RegistryEvent, "action"> {
  readonly target: Pick<RegistryEvent["target"], "mediaType" | "tag">;
  readonly request: Pick<RegistryEvent["request"], "method">;
}
