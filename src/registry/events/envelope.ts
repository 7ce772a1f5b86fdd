/** How an event is written into the body of a delivery. */
import type { RegistryEvent } from "./event.ts";

/** distribution's envelope, or CloudEvents 1.0 in the structured mode of its HTTP binding. */
export type EnvelopeKind = "distribution" | "cloudevents";

export interface Envelope {
  readonly contentType: string;
  readonly body: string;
}

/** Returns the body for one event. */
export function envelopeOf(kind: EnvelopeKind, event: RegistryEvent): Envelope {
  switch (kind) {
    case "distribution":
      // Byte for byte as distribution 3 writes it: indented by three spaces.
      return {
        contentType: "application/vnd.docker.distribution.events.v2+json",
        body: asGoWrites(JSON.stringify({ events: [event] }, undefined, 3)),
      };
    case "cloudevents":
      return { contentType: "application/cloudevents+json", body: JSON.stringify(cloudEvent(event)) };
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  "<": String.raw`\u003c`,
  ">": String.raw`\u003e`,
  "&": String.raw`\u0026`,
  "\u2028": String.raw`\u2028`,
  "\u2029": String.raw`\u2029`,
};

/** Escapes what Go escapes in JSON, so that it may stand in HTML. All of it can only be inside of texts. */
function asGoWrites(json: string): string {
  return /[<>&\u2028\u2029]/.test(json)
    ? json.replaceAll(/[<>&\u2028\u2029]/g, (character) => ESCAPES[character] ?? character)
    : json;
}

/** CloudEvents 1.0.2: `source` and `id` together name an event, and `id` stays the same whenever it is sent again. */
function cloudEvent(event: RegistryEvent): object {
  const { id, timestamp, action, target, source } = event;
  const name = target.tag === undefined ? target.repository : `${target.repository}:${target.tag}`;
  return {
    specversion: "1.0",
    id,
    source: sourceOf(event),
    type: `org.distribution.registry.${action}`,
    subject: target.digest === "" ? name : `${name}@${target.digest}`,
    time: timestamp,
    datacontenttype: "application/json",
    data: { action, target, request: event.request, actor: event.actor, source },
  };
}

/** The address of the registry where an event has one, else the process that tells: a URI reference, as the specification wants. */
function sourceOf({ target: { url = "" }, source }: RegistryEvent): string {
  return /^https?:\/\/[^/]+/.exec(url)?.[0] ?? `//${source.addr}`;
}
