/** Upload sessions: those that are not there, the `digest` that closes one, and what POST may be asked for. */
import { describe, expect, test } from "bun:test";
import { bytesOf, digestOf } from "../support/content.ts";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { BAD_DIGESTS, COLONLESS_DIGESTS } from "./bad-digests.ts";
import { expectRefused, testRefusals } from "./refusal.ts";
import type { BadRequest, Refusal } from "./refusal.ts";
import { BLOB, BLOB_DIGEST, FIRST_HALF, SECOND_HALF, Session, sizeOf } from "./session.ts";
import {
  ABSENT,
  LAYER,
  OTHER_BLOB,
  OTHER_REPOSITORY,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";

const witness = useWitness();

describe("a session that is not there: 404 BLOB_UPLOAD_UNKNOWN", () => {
  /** Everything that can be asked of a session. */
  const expectUnknown = async (path: string, expected: Refusal | readonly Refusal[] = "404 BLOB_UPLOAD_UNKNOWN") => {
    const separator = path.includes("?") ? "&" : "?";
    const requests: readonly RawRequest[] = [
      { target: path },
      { method: "HEAD", target: path },
      { method: "PATCH", target: path, body: BLOB },
      { method: "PATCH", target: path, chunks: [FIRST_HALF, SECOND_HALF] },
      { method: "PATCH", target: path, body: BLOB, headers: { "Content-Range": "0-1023" } },
      { method: "PUT", target: `${path}${separator}digest=${BLOB_DIGEST}`, body: BLOB },
      { method: "DELETE", target: path },
    ];
    for (const wanted of requests) await expectRefused(witness().registry, wanted, expected);
  };
  const uploads = `/v2/${REPOSITORY}/blobs/uploads`;

  const ids: readonly (readonly [title: string, id: string])[] = [
    ["an id that was never given out", "0b5a2e0e-3f5e-4a53-9d0f-3f6f0f8f1a11"],
    ["an id of zeros", "00000000-0000-0000-0000-000000000000"],
    ["a word", "not-an-id"],
    ["a number", "0"],
    ["a negative number", "-1"],
    ["an asterisk", "*"],
    ["a percent sign, SQL's wildcard", "%25"],
    ["an underscore, SQL's other wildcard", "_"],
    ["a quotation mark and a statement", "'%3B%20delete%20from%20upload%3B%20--"],
    ["a digest", UNKNOWN_DIGEST],
    ["an emoji", "%F0%9F%9A%A2"],
    ["five thousand characters", "a".repeat(5_000)],
  ];
  for (const [title, id] of ids) test(title, () => expectUnknown(`${uploads}/${id}`));

  const hidden: readonly (readonly [title: string, id: string])[] = [
    ["an id with a NUL", "%00"],
    ["a way to a file of the machine", "..%2f..%2f..%2fetc%2fpasswd"],
    ["an escape that is none", "%zz"],
    ["a byte that is not UTF-8", "%ff"],
  ];
  for (const [title, id] of hidden) {
    test(title, () => expectUnknown(`${uploads}/${id}`, ["404 BLOB_UPLOAD_UNKNOWN", "400 NAME_INVALID"]));
  }

  test("an id with something behind it", async () => {
    const session = await Session.open(witness().registry, FIRST_HALF);
    for (const more of ["x", "%20", "%0a", "-1"]) await expectUnknown(`${uploads}/${session.id}${more}`);
    await session.expectSize(512);
    await session.expectCompletes(SECOND_HALF);
  });

  test("the session of another repository, which goes on as it was", async () => {
    const { registry } = witness();
    const session = await Session.open(registry, FIRST_HALF, OTHER_REPOSITORY);
    await expectUnknown(`${uploads}/${session.id}`);
    await expectUnknown(session.path.replace(OTHER_REPOSITORY, REPOSITORY));
    await expectUnknown(`/v2/${ABSENT}/blobs/uploads/${session.id}`);
    await session.expectSize(512);
    await session.expectCompletes(SECOND_HALF);
  });

  test("a session that was cancelled", async () => {
    const session = await Session.open(witness().registry, FIRST_HALF);
    await session.cancel();
    await expectUnknown(session.path);
  });

  test("a session that was completed", async () => {
    const session = await Session.open(witness().registry, FIRST_HALF);
    await session.expectCompletes(SECOND_HALF);
    await expectUnknown(session.path);
  });

  test("a session whose content was not what its digest said", async () => {
    const { registry } = witness();
    const session = await Session.open(registry, FIRST_HALF);
    await expectRefused(
      registry,
      { method: "PUT", target: session.with(`digest=${UNKNOWN_DIGEST}`), body: SECOND_HALF },
      "400 DIGEST_INVALID",
    );
    await expectUnknown(session.path);
  });
  testUnchanged(witness, ABSENT);
});

describe("a PUT whose digest is none: 400 DIGEST_INVALID, and the session stays where it was", () => {
  const queries: readonly (readonly [title: string, query: string])[] = [
    ["no digest", ""],
    ["an empty digest", "digest="],
    ["a digest without a value", "digest"],
    ["the name in upper case", `Digest=${BLOB_DIGEST}`],
    ["the name with brackets", `digest[]=${BLOB_DIGEST}`],
    ["two digests in one", `digest=${BLOB_DIGEST},${BLOB_DIGEST}`],
    ["a good digest and one that is none", `digest=${BLOB_DIGEST}&digest=sha256:zz`],
    ["one that is none and a good digest", `digest=sha256:zz&digest=${BLOB_DIGEST}`],
    ["a good digest and an empty one", `digest=${BLOB_DIGEST}&digest=`],
    ["a good digest and one of an unknown algorithm", `digest=${BLOB_DIGEST}&digest=md5:abcdef`],
    ...[...BAD_DIGESTS, ...COLONLESS_DIGESTS].map(({ title, text }) => [title, `digest=${text}`] as const),
  ];
  for (const [title, query] of queries) {
    test(title, async () => {
      const { registry } = witness();
      const session = await Session.open(registry, FIRST_HALF);
      for (const sent of [{ body: SECOND_HALF }, { chunks: [SECOND_HALF] }, {}]) {
        const put = { method: "PUT", target: session.with(query), ...sent };
        const reply = await expectRefused(registry, put, "400 DIGEST_INVALID");
        // A failed PUT answers "4xx with Location and Range": regclient goes on from them.
        expect(reply.headers["location"]).toContain(`/v2/${REPOSITORY}/blobs/uploads/${session.id}`);
        expect(sizeOf(reply.headers["range"])).toBe(512);
      }
      await session.expectSize(512);
      await session.expectCompletes(SECOND_HALF);
    });
  }
  testUnchanged(witness);
});

describe("a PUT whose content is not what a digest says: 400 DIGEST_INVALID, and the session is gone", () => {
  const unpushed = bytesOf("these bytes are pushed by no other test", 1024);
  const right = digestOf(unpushed);
  const rightSha512 = digestOf(unpushed, "sha512");
  const rows: readonly (readonly [title: string, query: string])[] = [
    ["another sha256", `digest=${UNKNOWN_DIGEST}`],
    ["another sha512", `digest=${digestOf("x", "sha512")}`],
    ["the digest of the first half alone", `digest=${digestOf(unpushed.slice(0, 512))}`],
    ["the digest of the second half alone", `digest=${digestOf(unpushed.slice(512))}`],
    ["the digest of nothing", `digest=${digestOf("")}`],
    ["the digest of a blob that is here", `digest=${LAYER.digest}`],
    ["the right digest, then another", `digest=${right}&digest=${UNKNOWN_DIGEST}`],
    ["another digest, then the right one", `digest=${UNKNOWN_DIGEST}&digest=${right}`],
    ["the right sha256 and another sha512", `digest=${right}&digest=${digestOf("x", "sha512")}`],
    ["the right sha512 and another sha256", `digest=${rightSha512}&digest=${UNKNOWN_DIGEST}`],
    ["the right digest, another, and the right one again", `digest=${right}&digest=${UNKNOWN_DIGEST}&digest=${right}`],
  ];
  for (const [title, query] of rows) {
    test(title, async () => {
      const { registry } = witness();
      const [first, second] = [unpushed.slice(0, 512), unpushed.slice(512)];
      const cases: readonly (readonly [before: Uint8Array<ArrayBuffer>, sent: Partial<RawRequest>])[] = [
        [new Uint8Array(), { body: unpushed }],
        [first, { body: second }],
        [first, { chunks: [second] }],
        [unpushed, {}],
      ];
      for (const [before, sent] of cases) {
        const session = await Session.open(registry, before);
        await expectRefused(registry, { method: "PUT", target: session.with(query), ...sent }, "400 DIGEST_INVALID");
        await session.expectGone();
      }
      for (const digest of [right, rightSha512, UNKNOWN_DIGEST]) {
        const target = `/v2/${REPOSITORY}/blobs/${digest}`;
        await expectRefused(registry, { target }, "404 BLOB_UNKNOWN");
      }
    });
  }

  test("a large upload, which lies in a file: the same", async () => {
    const { registry } = witness();
    const large = bytesOf("large and pushed by no other test", 300_000);
    const session = await Session.open(registry, large.slice(0, 200_000));
    const put = { method: "PUT", target: session.with(`digest=${UNKNOWN_DIGEST}`), body: large.slice(200_000) };
    await expectRefused(registry, put, "400 DIGEST_INVALID");
    await session.expectGone();
    const target = `/v2/${REPOSITORY}/blobs/${digestOf(large)}`;
    await expectRefused(registry, { target }, "404 BLOB_UNKNOWN");
  });

  test("the same digest twice is no disagreement", async () => {
    const { registry } = witness();
    const session = await Session.open(registry, FIRST_HALF);
    const target = session.with(`digest=${BLOB_DIGEST}&digest=${BLOB_DIGEST}`);
    const reply = await request(registry.port, { method: "PUT", target, body: SECOND_HALF });
    expect(reply.status).toBe(201);
  });
  testUnchanged(witness);
});

describe("a POST that brings a blob whose digest is none or another: 400 DIGEST_INVALID", () => {
  const uploads = `/v2/${ABSENT}/blobs/uploads/`;
  const unpushed = bytesOf("brought by a POST that is refused", 700);
  const post = (query: string, more: Partial<RawRequest> = { body: unpushed }): RawRequest => ({
    method: "POST",
    target: `${uploads}?${query}`,
    ...more,
  });
  const queries: readonly (readonly [title: string, query: string])[] = [
    ["another digest", `digest=${UNKNOWN_DIGEST}`],
    ["another sha512", `digest=${digestOf("x", "sha512")}`],
    ["the digest of nothing", `digest=${digestOf("")}`],
    ["the digest of a blob of another repository", `digest=${LAYER.digest}`],
    ...[...BAD_DIGESTS, ...COLONLESS_DIGESTS].map(({ title, text }) => [title, `digest=${text}`] as const),
  ];
  testRefusals(
    () => witness().registry,
    queries.flatMap(([title, query]): readonly BadRequest[] => [
      { title, request: post(query), expected: "400 DIGEST_INVALID" },
      { title: `${title}, in chunks`, request: post(query, { chunks: [unpushed] }), expected: "400 DIGEST_INVALID" },
    ]),
  );

  test("nothing of them is stored", async () => {
    const { registry } = witness();
    for (const digest of [digestOf(unpushed), UNKNOWN_DIGEST]) {
      await expectRefused(registry, { target: `/v2/${REPOSITORY}/blobs/${digest}` }, "404 BLOB_UNKNOWN");
    }
  });
  testUnchanged(witness, ABSENT);
});

describe("a POST that names an algorithm which is not computed here: 400 DIGEST_INVALID", () => {
  const algorithms = [
    "md5",
    "sha1",
    "sha3-256",
    "blake3",
    "SHA256",
    "sha-256",
    "sha256%20",
    "sha256%00",
    "constructor",
  ];
  testRefusals(
    () => witness().registry,
    algorithms.map((algorithm): BadRequest => ({
      title: algorithm,
      request: { method: "POST", target: `/v2/${ABSENT}/blobs/uploads/?digest-algorithm=${algorithm}` },
      expected: "400 DIGEST_INVALID",
    })),
  );
  testUnchanged(witness, ABSENT);
});

describe("a mount that cannot be is an ordinary session: 202, never an error and never 201", () => {
  const rows: readonly (readonly [title: string, query: string])[] = [
    ["a blob that was never pushed", `mount=${UNKNOWN_DIGEST}&from=${OTHER_REPOSITORY}`],
    ["a blob that was never pushed, from nowhere", `mount=${UNKNOWN_DIGEST}`],
    ["a blob that was never pushed, from no repository", `mount=${UNKNOWN_DIGEST}&from=${ABSENT}`],
    ["a blob that was never pushed, from a name that is none", `mount=${UNKNOWN_DIGEST}&from=..%2f..%2fetc`],
    ["a blob that was never pushed, from an empty name", `mount=${UNKNOWN_DIGEST}&from=`],
    ["a blob that the other repository has not", `mount=${LAYER.digest}&from=${OTHER_REPOSITORY}`],
    ["an empty digest", `mount=&from=${OTHER_REPOSITORY}`],
    ["a digest without a value", `mount&from=${OTHER_REPOSITORY}`],
    ["two digests", `mount=${UNKNOWN_DIGEST}&mount=sha256:zz&from=${OTHER_REPOSITORY}`],
    ["two names", `mount=${UNKNOWN_DIGEST}&from=${OTHER_REPOSITORY}&from=${ABSENT}`],
    ["a name without a blob", `from=${OTHER_REPOSITORY}`],
    ["an unknown origin", `mount=${UNKNOWN_DIGEST}&from=${OTHER_REPOSITORY}&origin=example.org`],
    ...[...BAD_DIGESTS, ...COLONLESS_DIGESTS].map(
      ({ title, text }) => [title, `mount=${text}&from=${OTHER_REPOSITORY}`] as const,
    ),
  ];
  for (const [title, query] of rows) {
    test(title, async () => {
      const { registry } = witness();
      const target = `/v2/${REPOSITORY}/blobs/uploads/?${query}`;
      const reply = await request(registry.port, { method: "POST", target });
      expect(reply.status).toBe(202);
      const location = reply.headers["location"] ?? "";
      expect(location).toStartWith(`/v2/${REPOSITORY}/blobs/uploads/`);
      expect((await request(registry.port, { target: location })).status).toBe(204);
      expect((await request(registry.port, { method: "DELETE", target: location })).status).toBe(204);
    });
  }

  // Then any repository will do that the caller may read: anonymous mount.
  for (const from of [ABSENT, "Not/A/Name", "", "..%2f..%2fetc", "%00"]) {
    test(`a blob that is elsewhere, from ${from || "an empty name"}: 201 or 202`, async () => {
      const { port } = witness().registry;
      const target = `/v2/${REPOSITORY}/blobs/uploads/?mount=${OTHER_BLOB.digest}&from=${from}`;
      const reply = await request(port, { method: "POST", target });
      expect(reply.status).toBeOneOf([201, 202]);
      const place = reply.status === 201 ? OTHER_BLOB.digest : "uploads/";
      expect(reply.headers["location"]).toStartWith(`/v2/${REPOSITORY}/blobs/${place}`);
    });
  }
  testUnchanged(witness, ABSENT);
});

describe("two requests that write to one session at once", () => {
  test("one chunk is taken, the other is refused with 416 or 409, and the bytes are never a mix", async () => {
    const { registry } = witness();
    const size = 2_000_000;
    const contents = [bytesOf("one", size), bytesOf("the other", size)] as const;
    const session = await Session.open(registry);
    const patch = (body: Uint8Array): RawRequest => ({
      method: "PATCH",
      target: session.path,
      headers: { "Content-Range": `0-${size - 1}` },
      body,
    });
    const replies = await Promise.all(contents.map((body) => request(registry.port, patch(body))));
    const taken = replies.findIndex((reply) => reply.status === 202);
    const refused = replies[1 - taken];
    expect([409, 416]).toContain(refused?.status ?? 0);
    expect(sizeOf(refused?.headers["range"])).toBeOneOf([0, size]);
    expect(refused?.headers["location"]).toStartWith(`/v2/${REPOSITORY}/blobs/uploads/`);
    await session.expectSize(size);
    await session.expectCompletes(new Uint8Array(), contents[taken] ?? BLOB);
  });
  testUnchanged(witness);
});

describe("a location from earlier in the session", () => {
  test("a chunk that is sent to it again is refused with 416, and it still tells where the session stands", async () => {
    const { registry } = witness();
    const session = await Session.open(registry);
    const stale = session.path;
    await session.send(FIRST_HALF);
    const again = { method: "PATCH", target: stale, headers: { "Content-Range": "0-511" }, body: FIRST_HALF };
    await expectRefused(registry, again, "416 BLOB_UPLOAD_INVALID");
    const status = await request(registry.port, {
      target: `${stale}${stale.includes("?") ? "&" : "?"}digest=nonsense`,
    });
    expect(status.status).toBe(204);
    expect(sizeOf(status.headers["range"])).toBe(512);
    await session.expectCompletes(SECOND_HALF);
  });

  test("a DELETE of it ends the session: 204, and 404 for the next", async () => {
    const { registry } = witness();
    const session = await Session.open(registry);
    const stale = session.path;
    await session.send(FIRST_HALF);
    expect((await request(registry.port, { method: "DELETE", target: stale })).status).toBe(204);
    await session.expectGone();
    await expectRefused(registry, { method: "DELETE", target: stale }, "404 BLOB_UPLOAD_UNKNOWN");
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
