/** Envelopes: distribution's byte for byte, and CloudEvents. */
import { describe, expect, test } from "bun:test";
import type { Cause, Change } from "../../metadata/changes.ts";
import { digest } from "../../oci/digest.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { envelopeOf } from "./envelope.ts";
import { eventsOf, timestampOf } from "./event.ts";
import type { EventOptions } from "./event.ts";

const LAYER = digest("sha256:4660e7be2d5140bf91cadb82876200126a041becf007808bb346a2312f80e5aa");
const IMAGE = digest("sha256:60ee2d91fa2340a524bdba3c7cb6c0b4a259ed916e43a719470675ccb993a118");
const APP = repositoryName("team/app");
const NOW = Date.UTC(2026, 10, 30, 14, 50, 41, 385);

const OPTIONS: EventOptions = {
  source: { addr: "vm:5990", instanceID: "01a22cef-c120-7afb-bf39-a2791d6545ba" },
  includeReferences: true,
  base: "",
};
const CAUSE: Cause = {
  who: "anonymous",
  rule: "",
  request: {
    id: "01a22cef-c764-76b3-85d7-bb0b0483390d",
    address: "127.0.0.1:43412",
    host: "127.0.0.1:5990",
    base: "http://127.0.0.1:5990",
    method: "PUT",
    userAgent: "agent <x>",
    user: undefined,
  },
};

const PAYLOAD = Buffer.from(
  JSON.stringify({
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: LAYER, size: 2, unknown: 1 },
    layers: [
      {
        annotations: { z: "<b>", a: "é & \u2028" },
        size: 10,
        digest: LAYER,
        mediaType: "application/vnd.oci.image.layer.v1.tar",
        urls: ["http://x/?a&b"],
        data: "eyJ4IjoxfQ==",
        platform: { os: "linux", architecture: "arm64", variant: "v8", "os.features": ["b"], "os.version": "1" },
        artifactType: "application/x",
      },
    ],
  }),
);

/** As distribution 3.1.1 sent it: the same change, recorded from its socket. */
const PUSHED = String.raw`{
   "events": [
      {
         "id": "ID",
         "timestamp": "2026-11-30T14:50:41.385Z",
         "action": "push",
         "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": "sha256:60ee2d91fa2340a524bdba3c7cb6c0b4a259ed916e43a719470675ccb993a118",
            "size": 458,
            "length": 458,
            "repository": "team/app",
            "url": "http://127.0.0.1:5990/v2/team/app/manifests/sha256:60ee2d91fa2340a524bdba3c7cb6c0b4a259ed916e43a719470675ccb993a118",
            "tag": "v1",
            "references": [
               {
                  "mediaType": "application/vnd.oci.image.config.v1+json",
                  "digest": "sha256:4660e7be2d5140bf91cadb82876200126a041becf007808bb346a2312f80e5aa",
                  "size": 2
               },
               {
                  "mediaType": "application/vnd.oci.image.layer.v1.tar",
                  "digest": "sha256:4660e7be2d5140bf91cadb82876200126a041becf007808bb346a2312f80e5aa",
                  "size": 10,
                  "urls": [
                     "http://x/?a\u0026b"
                  ],
                  "annotations": {
                     "a": "ACCENT \u0026 \u2028",
                     "z": "\u003cb\u003e"
                  },
                  "data": "eyJ4IjoxfQ==",
                  "platform": {
                     "architecture": "arm64",
                     "os": "linux",
                     "os.version": "1",
                     "os.features": [
                        "b"
                     ],
                     "variant": "v8"
                  },
                  "artifactType": "application/x"
               }
            ]
         },
         "request": {
            "id": "01a22cef-c764-76b3-85d7-bb0b0483390d",
            "addr": "127.0.0.1:43412",
            "host": "127.0.0.1:5990",
            "method": "PUT",
            "useragent": "agent \u003cx\u003e"
         },
         "actor": {},
         "source": {
            "addr": "vm:5990",
            "instanceID": "01a22cef-c120-7afb-bf39-a2791d6545ba"
         }
      }
   ]
}`.replace("ACCENT", "é");

function bodiesOf(change: Change, options = OPTIONS, cause: Cause | undefined = CAUSE): readonly string[] {
  return eventsOf(change, cause, NOW, options).map((event) =>
    envelopeOf("distribution", event).body.replace(event.id, "ID"),
  );
}

function targetOf(change: Change): string {
  return JSON.stringify(eventsOf(change, CAUSE, NOW, OPTIONS).map(({ action, target }) => ({ action, ...target }))[0]);
}

const MANIFEST: Change = {
  action: "push",
  object: "manifest",
  repository: APP,
  digest: IMAGE,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  size: 458,
  tags: [tag("v1")],
  payload: PAYLOAD,
};

describe("distribution's envelope", () => {
  test("of a pushed manifest is what distribution writes, byte for byte", () => {
    expect(bodiesOf(MANIFEST)).toEqual([PUSHED]);
  });

  test("has no references when they are not asked for", () => {
    expect(bodiesOf(MANIFEST, { ...OPTIONS, includeReferences: false }).join("")).not.toContain("references");
  });

  test("of a manifest with two tags comes twice, once for each", () => {
    const tags = eventsOf({ ...MANIFEST, tags: [tag("v1"), tag("v2")] }, CAUSE, NOW, OPTIONS).map(
      ({ target }) => target.tag,
    );
    expect(tags).toEqual(["v1", "v2"]);
  });

  test("of a mounted blob names the repository that it comes from", () => {
    const change: Change = {
      action: "mount",
      object: "blob",
      repository: repositoryName("team/other"),
      digest: LAYER,
      size: 10,
      from: APP,
    };
    expect(targetOf(change)).toBe(
      `{"action":"mount","mediaType":"application/octet-stream","digest":"${LAYER}","size":10,"length":10,` +
        `"repository":"team/other","fromRepository":"team/app","url":"http://127.0.0.1:5990/v2/team/other/blobs/${LAYER}"}`,
    );
  });

  test("of a deleted manifest, tag and repository has an empty type and no size", () => {
    const base = { action: "delete", repository: APP } as const;
    expect(targetOf({ ...base, object: "manifest", digest: IMAGE })).toBe(
      `{"action":"delete","mediaType":"","digest":"${IMAGE}","size":0,"repository":"team/app"}`,
    );
    expect(targetOf({ ...base, object: "tag", tags: [tag("v1")] })).toBe(
      `{"action":"delete","mediaType":"","digest":"","size":0,"repository":"team/app","tag":"v1"}`,
    );
    expect(targetOf({ ...base, object: "repository" })).toBe(
      `{"action":"delete","mediaType":"","digest":"","size":0,"repository":"team/app"}`,
    );
  });

  test("of a command names the operator, and has an empty request", () => {
    const [body = ""] = bodiesOf({ ...MANIFEST, payload: undefined }, OPTIONS, { who: "system:root", rule: "" });
    const { events } = JSON.parse(body) as { events: [{ request: object; actor: object }] };
    expect(events[0].request).toEqual({ id: "", method: "", useragent: "" });
    expect(events[0].actor).toEqual({ name: "system:root" });
  });
});

test("ids are UUIDs of version 7 that sort by time", () => {
  const ids = [NOW, NOW + 1].flatMap((now) => eventsOf(MANIFEST, CAUSE, now, OPTIONS).map(({ id }) => id));
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(ids).toEqual(ids.toSorted());
});

test("timestamps have no zeros at the end of their fraction, as Go writes them", () => {
  expect([0, 100, 120, 123].map(timestampOf)).toEqual([
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00.1Z",
    "1970-01-01T00:00:00.12Z",
    "1970-01-01T00:00:00.123Z",
  ]);
});

test("a CloudEvent has the required attributes, and the event as its data", () => {
  const [event] = eventsOf(MANIFEST, CAUSE, NOW, OPTIONS);
  const { contentType, body } = envelopeOf("cloudevents", event!);
  expect(contentType).toBe("application/cloudevents+json");
  expect(JSON.parse(body)).toMatchObject({
    specversion: "1.0",
    id: event?.id,
    source: "http://127.0.0.1:5990",
    type: "org.distribution.registry.push",
    subject: `team/app:v1@${IMAGE}`,
    time: "2026-11-30T14:50:41.385Z",
    datacontenttype: "application/json",
    data: { action: "push", target: { repository: "team/app", tag: "v1" } },
  });
});
