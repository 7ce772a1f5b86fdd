import { describe, expect, test } from "bun:test";
import { repositoryName } from "../oci/repository-name.ts";
import { tag as tagIn } from "../oci/tag.ts";
import type { CachedResponse } from "./cached-response.ts";
import { fullReply } from "./http/representation.ts";
import { bytesBody } from "./http/reply.ts";
import { ResponseCache, replyFrom } from "./response-cache.ts";
import { TagResponses } from "./tag-responses.ts";

const APP = repositoryName("app");
const PLACE = "http://localhost/v2/app/manifests/";
const MIB = 1024 * 1024;

interface Manifest {
  readonly digest?: string;
  /** Undefined for a response to HEAD. */
  readonly body?: Uint8Array | undefined;
  readonly revision?: number;
}

const BYTES = new Uint8Array(700);

function response(tag: string, manifest: Manifest = {}): CachedResponse {
  const { digest = "sha256:x", body = BYTES, revision = 1 } = manifest;
  const isHead = "body" in manifest && manifest.body === undefined;
  const representation = {
    contentHeaders: {},
    cacheable: {},
    digest,
    size: body.length,
    ...(!isHead && { body: bytesBody(body) }),
  };
  const full = fullReply(representation);
  return {
    parsed: {
      route: { kind: "manifest", name: APP, reference: { kind: "tag", tag: tagIn(tag) } },
      required: { kind: "action", action: "pull", repository: APP },
      commonHeaders: {},
    },
    representation,
    full: { ...full, shared: { headers: { web: new Headers(full.headers) }, answered: {} } },
    madeFrom: { scope: { repository: APP }, revision },
  };
}

describe("responses by tag", () => {
  test("are kept for 100,000 tags of 1,000 manifests, within the bytes of a repository", () => {
    const responses = new TagResponses();
    const kept = Array.from({ length: 100_000 }, (_, at) => `v${String(at).padStart(7, "0")}`);
    const manifests = Array.from({ length: 1000 }, (_, at) => response("v", { digest: `sha256:${at}` }));
    for (const [at, tag] of kept.entries()) {
      const { representation, full } = manifests[at % 1000]!;
      responses.set(PLACE + tag, { ...response(tag), representation, full }, BYTES.length);
    }
    expect(kept.every((tag) => responses.find(PLACE + tag) !== undefined)).toBe(true);
    expect(responses.bytes).toBeLessThanOrEqual(16 * MIB);
  });

  test("share body and headers, but each says its own tag, also to the log", () => {
    const responses = new TagResponses();
    for (const tag of ["one", "two"]) responses.set(PLACE + tag, response(tag), BYTES.length);
    const [one, two] = [responses.find(`${PLACE}one`)!, responses.find(`${PLACE}two`)!];
    expect(two.representation.body).toBe(one.representation.body);
    expect(two.full.shared?.headers).toBe(one.full.shared!.headers);
    expect(two.full.shared?.answered).not.toBe(one.full.shared!.answered);
    expect(two.parsed).toEqual(response("two").parsed);
  });

  test("have the bytes for all tags once a GET has brought them", () => {
    const cache = new ResponseCache({ revision: () => 1, isUnchanged: () => true });
    const head = (tag: string): Request => new Request(PLACE + tag, { method: "HEAD" });
    for (const tag of ["one", "two"]) cache.set(head(tag), response(tag, { body: undefined }));
    expect(cache.find(head("one"))).toBeDefined();
    expect(cache.find(new Request(`${PLACE}one`))).toBeUndefined();
    cache.set(new Request(`${PLACE}two`), response("two"));
    expect(cache.find(new Request(`${PLACE}one`))?.representation.body).toBeDefined();
  });

  test("cost nothing more when the same is kept again", () => {
    const responses = new TagResponses();
    const keep = (): boolean => responses.set(`${PLACE}one`, response("one", { body: undefined }), 0);
    keep();
    const { bytes } = responses;
    for (let round = 0; round < 10; round++) keep();
    expect(responses.bytes).toBe(bytes);
  });

  test("of an earlier revision are dropped, and those of the new one are served, however often the tag is pulled", () => {
    let revision = 1;
    const cache = new ResponseCache({ revision: () => revision, isUnchanged: () => true });
    const request = new Request(`${PLACE}one`);
    const served = (): number | undefined => {
      const cached = cache.find(request);
      if (!cached || cache.isValid(cached) !== true) return undefined;
      return replyFrom(cached, request).body === cached.representation.body ? cached.representation.size : undefined;
    };
    cache.set(request, response("one"));
    for (let pulls = 0; pulls < 200; pulls++) expect(served()).toBe(700);
    revision = 2;
    expect(served()).toBeUndefined();
    cache.set(request, response("one", { body: new Uint8Array(10), revision }));
    for (let pulls = 0; pulls < 200; pulls++) expect(served()).toBe(10);
  });

  test("that find no room are cached by their address", () => {
    const cache = new ResponseCache({ revision: () => 1, isUnchanged: () => true });
    const tags = Array.from({ length: 80 }, (_, at) => `v${at}`);
    for (const tag of tags) {
      const body = new Uint8Array(400 * 1024);
      cache.set(new Request(PLACE + tag), response(tag, { digest: `sha256:${tag}`, body }));
    }
    expect(cache.find(new Request(`${PLACE}v0`))).toBeDefined();
    expect(cache.find(new Request(`${PLACE}v79`))).toBeDefined();
  });

  test("are for the tag as it is written, and for pulls by tag alone", () => {
    const responses = new TagResponses();
    expect(responses.set(`${PLACE}on%65`, response("one"), 1)).toBe(false);
    expect(responses.set(`${PLACE}one?ns=docker.io`, response("one"), 1)).toBe(false);
    const { route: _, ...parsed } = response("one").parsed;
    expect(
      responses.set(
        `${PLACE}one`,
        { ...response("one"), parsed: { ...parsed, route: { kind: "tags", name: APP } } },
        1,
      ),
    ).toBe(false);
    expect(responses.find(`${PLACE}one`)).toBeUndefined();
  });
});
