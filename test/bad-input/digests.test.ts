/** Digests that are none (400 DIGEST_INVALID), and digests and tags that nothing here has (404). */
import { describe, expect, test } from "bun:test";
import { digestOf } from "../support/content.ts";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { BAD_DIGESTS, COLONLESS_DIGESTS } from "./bad-digests.ts";
import { expectRefused, testRefusals } from "./refusal.ts";
import type { BadRequest } from "./refusal.ts";
import {
  ABSENT,
  IMAGE,
  IMAGE_TEXT,
  INDEX_TEXT,
  LAYER,
  LAYER_BYTES,
  OTHER_BLOB,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";

const witness = useWitness();

const READS_AND_DELETES = ["GET", "HEAD", "DELETE"] as const;

describe("a digest of a blob that is none", () => {
  for (const { title, text } of [...BAD_DIGESTS, ...COLONLESS_DIGESTS]) {
    test(`${title}: 400 DIGEST_INVALID`, async () => {
      for (const repository of [REPOSITORY, ABSENT]) {
        for (const method of READS_AND_DELETES) {
          const target = `/v2/${repository}/blobs/${text}`;
          await expectRefused(witness().registry, { method, target }, "400 DIGEST_INVALID");
        }
      }
    });
  }

  test("a way to a file of the machine: 400", async () => {
    const target = `/v2/${REPOSITORY}/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd`;
    await expectRefused(witness().registry, { target }, ["400 DIGEST_INVALID", "400 NAME_INVALID"]);
  });
  testUnchanged(witness, ABSENT);
});

describe("a digest of a manifest that is none", () => {
  for (const { title, text } of BAD_DIGESTS) {
    test(`${title}: 400 DIGEST_INVALID, for what has a colon is never a tag`, async () => {
      const { registry } = witness();
      for (const repository of [REPOSITORY, ABSENT]) {
        const target = `/v2/${repository}/manifests/${text}`;
        for (const method of READS_AND_DELETES) {
          await expectRefused(registry, { method, target }, "400 DIGEST_INVALID");
        }
        const body = { headers: { "Content-Type": IMAGE.mediaType }, body: IMAGE_TEXT };
        await expectRefused(registry, { method: "PUT", target, ...body }, "400 DIGEST_INVALID");
      }
    });
  }

  test("the conformance suite's GET with a body: 400 DIGEST_INVALID", async () => {
    const target = `/v2/${REPOSITORY}/manifests/sha256:totallywrong`;
    await expectRefused(witness().registry, { target, body: "a body where none belongs" }, "400 DIGEST_INVALID");
  });
  testUnchanged(witness, ABSENT);
});

function put(digest: string, body: string): RawRequest {
  return {
    method: "PUT",
    target: `/v2/${REPOSITORY}/manifests/${digest}`,
    headers: { "Content-Type": IMAGE.mediaType },
    body,
  };
}

describe("a manifest whose content is not what its digest says: 400 DIGEST_INVALID", () => {
  const rows: readonly BadRequest[] = [
    { title: "another digest", request: put(UNKNOWN_DIGEST, IMAGE_TEXT), expected: "400 DIGEST_INVALID" },
    { title: "two spaces more", request: put(IMAGE.digest, `${IMAGE_TEXT}  `), expected: "400 DIGEST_INVALID" },
    { title: "a line break more", request: put(IMAGE.digest, `${IMAGE_TEXT}\n`), expected: "400 DIGEST_INVALID" },
    {
      title: "the digest of a manifest that is here",
      request: put(digestOf(INDEX_TEXT), IMAGE_TEXT),
      expected: "400 DIGEST_INVALID",
    },
    { title: "an empty body", request: put(IMAGE.digest, ""), expected: "400 DIGEST_INVALID" },
    { title: "another sha512", request: put(digestOf("other", "sha512"), IMAGE_TEXT), expected: "400 DIGEST_INVALID" },
    {
      title: "the digest is looked at before the JSON",
      request: put(UNKNOWN_DIGEST, "this is no JSON"),
      expected: "400 DIGEST_INVALID",
    },
  ];
  testRefusals(() => witness().registry, rows);

  test("none of them is stored", async () => {
    for (const digest of [UNKNOWN_DIGEST, digestOf("other", "sha512"), digestOf(`${IMAGE_TEXT}  `)]) {
      const target = `/v2/${REPOSITORY}/manifests/${digest}`;
      await expectRefused(witness().registry, { target }, "404 MANIFEST_UNKNOWN");
    }
  });

  test("a tag with a digest beside it that disagrees: 400 DIGEST_INVALID", async () => {
    for (const query of [`digest=${UNKNOWN_DIGEST}`, "digest=sha256:zz", "digest=md5:abcdef"]) {
      const wanted = put(`refused?${query}`, IMAGE_TEXT);
      await expectRefused(witness().registry, wanted, "400 DIGEST_INVALID");
    }
  });
  testUnchanged(witness);
});

describe("content that is not here", () => {
  const rows: readonly (readonly [title: string, path: string, expected: BadRequest["expected"]])[] = [
    ["a blob that was never pushed", `${REPOSITORY}/blobs/${UNKNOWN_DIGEST}`, "404 BLOB_UNKNOWN"],
    ["a blob of sha512 that was never pushed", `${REPOSITORY}/blobs/${digestOf("x", "sha512")}`, "404 BLOB_UNKNOWN"],
    // The bytes are here, but under another digest: identity is per algorithm.
    ["a blob under its sha512", `${REPOSITORY}/blobs/${digestOf(LAYER_BYTES, "sha512")}`, "404 BLOB_UNKNOWN"],
    ["a blob of another repository", `${REPOSITORY}/blobs/${OTHER_BLOB.digest}`, "404 BLOB_UNKNOWN"],
    ["a blob of no repository", `${ABSENT}/blobs/${LAYER.digest}`, "404 BLOB_UNKNOWN"],
    ["an unknown tag", `${REPOSITORY}/manifests/v2`, "404 MANIFEST_UNKNOWN"],
    ["a tag in other case", `${REPOSITORY}/manifests/V1`, "404 MANIFEST_UNKNOWN"],
    ["a manifest that was never pushed", `${REPOSITORY}/manifests/${UNKNOWN_DIGEST}`, "404 MANIFEST_UNKNOWN"],
    [
      "a manifest under its sha512",
      `${REPOSITORY}/manifests/${digestOf(IMAGE_TEXT, "sha512")}`,
      "404 MANIFEST_UNKNOWN",
    ],
    ["a blob that is asked for as a manifest", `${REPOSITORY}/manifests/${LAYER.digest}`, "404 MANIFEST_UNKNOWN"],
    ["a manifest of another repository", `library/other/manifests/${IMAGE.digest}`, "404 MANIFEST_UNKNOWN"],
    ["a tag of no repository", `${ABSENT}/manifests/v1`, "404 MANIFEST_UNKNOWN"],
    ["a manifest of no repository", `${ABSENT}/manifests/${IMAGE.digest}`, "404 MANIFEST_UNKNOWN"],
  ];
  for (const method of READS_AND_DELETES) {
    testRefusals(
      () => witness().registry,
      rows.map(([title, path, expected]): BadRequest => ({
        title: `${method} ${title}`,
        request: { method, target: `/v2/${path}` },
        expected,
      })),
    );
  }
  testUnchanged(witness, ABSENT);
});

describe("a digest that is written another way is a digest", () => {
  for (const colon of ["%3A", "%3a"]) {
    test(`its colon as ${colon}`, async () => {
      const { port } = witness().registry;
      for (const [noun, digest, bytes] of [
        ["manifests", IMAGE.digest, Buffer.from(IMAGE_TEXT)],
        ["blobs", LAYER.digest, Buffer.from(LAYER_BYTES)],
      ] as const) {
        const target = `/v2/${REPOSITORY}/${noun}/${digest.replace(":", colon)}`;
        const reply = await request(port, { target });
        expect(reply.status).toBe(200);
        expect(reply.headers["docker-content-digest"]).toBe(digest);
        expect(reply.body).toBe(bytes.toString("latin1"));
        const head = await request(port, { method: "HEAD", target });
        expect(head.status).toBe(200);
        expect(head.headers["content-length"]).toBe(`${bytes.length}`);
        expect(head.body).toBe("");
      }
    });
  }
});

testAliveAndQuiet(witness);
