/** Conditions that do not hold: 412 with an error body and no change; those of a read that needs no answer: 304. */
import { describe, expect, test } from "bun:test";
import { digestOf, OCI_MANIFEST } from "../support/content.ts";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { image } from "./bad-manifests.ts";
import { expectRefused } from "./refusal.ts";
import {
  ABSENT,
  IMAGE,
  IMAGE_TEXT,
  LAYER,
  LAYER_BYTES,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";

const witness = useWitness();

type Headers = Readonly<Record<string, string | readonly string[]>>;

/** What `v1` does not match. */
const MISMATCHES: readonly (readonly [title: string, value: string | readonly string[]])[] = [
  ["another digest", `"${UNKNOWN_DIGEST}"`],
  ["another sha512", `"${digestOf("x", "sha512")}"`],
  ["two others", `"${UNKNOWN_DIGEST}", "${digestOf("x")}"`],
  ["two others in two headers", [`"${UNKNOWN_DIGEST}"`, `"${digestOf("x")}"`]],
  ["the digits in upper case", `"${IMAGE.digest.toUpperCase()}"`],
  ["a part of the digest", `"${IMAGE.digest.slice(0, 32)}"`],
  ["more than the digest", `"${IMAGE.digest}0"`],
  ["an empty tag", '""'],
  ["a quoted asterisk", '"*"'],
  ["a word", "nonsense"],
  ["a quotation mark alone", '"'],
  // RFC 9110, 13.1.1: "A recipient … MUST use the strong comparison function": a weak tag is never equal.
  ["a weak tag", `W/"${IMAGE.digest}"`],
];

const ENTITIES = [
  ["a manifest by tag", `/v2/${REPOSITORY}/manifests/v1`, IMAGE.digest, IMAGE_TEXT],
  ["a manifest by digest", `/v2/${REPOSITORY}/manifests/${IMAGE.digest}`, IMAGE.digest, IMAGE_TEXT],
  ["a blob", `/v2/${REPOSITORY}/blobs/${LAYER.digest}`, LAYER.digest, Buffer.from(LAYER_BYTES).toString("latin1")],
] as const;

for (const [title, target, digest, text] of ENTITIES) {
  describe(`a read of ${title} under a condition`, () => {
    for (const [what, value] of MISMATCHES) {
      test(`If-Match with ${what}: 412 UNSUPPORTED, with a body of its own length`, async () => {
        for (const method of ["GET", "HEAD"]) {
          await expectRefused(
            witness().registry,
            { method, target, headers: { "If-Match": value } },
            "412 UNSUPPORTED",
          );
        }
      });
    }

    test("If-Match that does not hold wins over a Range", async () => {
      const headers = { "If-Match": `"${UNKNOWN_DIGEST}"`, Range: "bytes=0-1" };
      await expectRefused(witness().registry, { target, headers }, "412 UNSUPPORTED");
    });

    for (const value of [`"${digest}"`, digest, `W/"${digest}"`, `"${UNKNOWN_DIGEST}", "${digest}"`, "*"]) {
      test(`If-None-Match ${value.slice(0, 20)}…: 304 without a body, with its ETag and digest`, async () => {
        for (const method of ["GET", "HEAD"]) {
          const headers = { "If-None-Match": value };
          const reply = await request(witness().registry.port, { method, target, headers });
          expect(reply.status).toBe(304);
          expect(reply.body).toBe("");
          expect(reply.headers["etag"]).toBe(`"${digest}"`);
          expect(reply.headers["docker-content-digest"]).toBe(digest);
        }
      });
    }

    const ignored: readonly (readonly [title: string, headers: Headers])[] = [
      ["If-None-Match with another digest", { "If-None-Match": `"${UNKNOWN_DIGEST}"` }],
      ["If-None-Match with a word", { "If-None-Match": "nonsense" }],
      ["If-None-Match with a quotation mark alone", { "If-None-Match": '"' }],
      ["If-None-Match with an empty value", { "If-None-Match": "" }],
      ["If-None-Match of ten thousand commas", { "If-None-Match": ",".repeat(10_000) }],
      ["If-Match with the digest", { "If-Match": `"${digest}"` }],
      ["If-Match with the digest among others", { "If-Match": `"${UNKNOWN_DIGEST}", "${digest}"` }],
      ["If-Match with an asterisk", { "If-Match": "*" }],
      ["If-Modified-Since with no date", { "If-Modified-Since": "yesterday" }],
      ["If-Unmodified-Since with no date", { "If-Unmodified-Since": "9999999999" }],
    ];
    for (const [what, headers] of ignored) {
      test(`${what}: 200 and all of it`, async () => {
        const reply = await request(witness().registry.port, { target, headers });
        expect(reply.status).toBe(200);
        expect(reply.body).toBe(text);
      });
    }
    testUnchanged(witness);
  });
}

describe("a condition on what is not here does not hide that it is not here", () => {
  for (const headers of [{ "If-None-Match": "*" }, { "If-None-Match": `"${UNKNOWN_DIGEST}"` }]) {
    test(JSON.stringify(headers).slice(0, 40), async () => {
      const { registry } = witness();
      const blob = { target: `/v2/${REPOSITORY}/blobs/${UNKNOWN_DIGEST}`, headers };
      await expectRefused(registry, blob, "404 BLOB_UNKNOWN");
      const manifest = { target: `/v2/${REPOSITORY}/manifests/${UNKNOWN_DIGEST}`, headers };
      await expectRefused(registry, manifest, "404 MANIFEST_UNKNOWN");
    });
  }
  testUnchanged(witness);
});

describe("a write whose If-Match does not hold: 412 UNSUPPORTED, and nothing changes", () => {
  const changed = image({ annotations: { changed: "yes" } });
  const put = (tag: string, headers: Headers): RawRequest => ({
    method: "PUT",
    target: `/v2/${REPOSITORY}/manifests/${tag}`,
    headers: { "Content-Type": OCI_MANIFEST, ...headers },
    body: changed,
  });
  for (const [title, value] of MISMATCHES) {
    test(`PUT under ${title}`, async () => {
      const { registry } = witness();
      await expectRefused(registry, put("v1", { "If-Match": value }), "412 UNSUPPORTED");
      await expectRefused(
        registry,
        { target: `/v2/${REPOSITORY}/manifests/${digestOf(changed)}` },
        "404 MANIFEST_UNKNOWN",
      );
    });

    test(`DELETE under ${title}`, async () => {
      const wanted = { method: "DELETE", target: `/v2/${REPOSITORY}/manifests/v1`, headers: { "If-Match": value } };
      await expectRefused(witness().registry, wanted, "412 UNSUPPORTED");
    });
  }

  for (const value of [`"${IMAGE.digest}"`, IMAGE.digest, "*"]) {
    test(`PUT of a new tag, under ${value.slice(0, 16)}`, async () => {
      await expectRefused(witness().registry, put("refused", { "If-Match": value }), "412 UNSUPPORTED");
    });
  }

  test("PUT and DELETE of a tag that is there, under If-None-Match: *", async () => {
    const { registry } = witness();
    await expectRefused(registry, put("v1", { "If-None-Match": "*" }), "412 UNSUPPORTED");
    const wanted = { method: "DELETE", target: `/v2/${REPOSITORY}/manifests/v1`, headers: { "If-None-Match": "*" } };
    await expectRefused(registry, wanted, "412 UNSUPPORTED");
  });

  test("PUT under two conditions of which one holds", async () => {
    const { registry } = witness();
    const headers = { "If-Match": `"${IMAGE.digest}"`, "If-None-Match": "*" };
    await expectRefused(registry, put("v1", headers), "412 UNSUPPORTED");
    const other = { "If-Match": `"${UNKNOWN_DIGEST}"`, "If-None-Match": `"${UNKNOWN_DIGEST}"` };
    await expectRefused(registry, put("v1", other), "412 UNSUPPORTED");
  });

  test("a manifest that is none is refused as such or for its condition, whatever comes first", async () => {
    const wanted = { ...put("v1", { "If-Match": `"${UNKNOWN_DIGEST}"` }), body: "no JSON" };
    await expectRefused(witness().registry, wanted, ["400 MANIFEST_INVALID", "412 UNSUPPORTED"]);
  });
  testUnchanged(witness, ABSENT);
});

testAliveAndQuiet(witness);
