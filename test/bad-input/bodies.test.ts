/** Bodies that are badly framed, end early, come where none belongs, or wait to be asked for. */
import { describe, expect, test } from "bun:test";
import { digestOf } from "../support/content.ts";
import { sendRaw } from "../support/raw.ts";
import type { RawReply } from "../support/raw.ts";
import { formatChunks, request, sendAndHangUp, sendInTurns, splitReplies } from "../support/raw-request.ts";
import { expectParserRefusal, expectRefusal, expectRefused } from "./refusal.ts";
import { BLOB, BLOB_DIGEST, FIRST_HALF, SECOND_HALF, Session, sizeOf } from "./session.ts";
import {
  ABSENT,
  CONFIG,
  IMAGE,
  IMAGE_TEXT,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";

const witness = useWitness();

const MANIFEST = `/v2/${REPOSITORY}/manifests/v1`;

/** Sends bytes as they are, one for each character, until the server closes or has answered once. */
function send(bytes: string | Uint8Array): Promise<RawReply> {
  const raw = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
  return sendRaw(witness().registry.port, raw, { timeoutMs: 20_000 });
}

/** A request line and headers, with a good Host and `Connection: close`. */
function head(line: string, ...headers: readonly string[]): string {
  const { hostname, port } = witness().registry;
  return [line, `Host: ${hostname}:${port}`, "Connection: close", ...headers, "", ""].join("\r\n");
}

describe("a body whose length is in doubt is refused by the parser with 400, and nothing of it is kept", () => {
  const chunked = "3\r\nabc\r\n0\r\n\r\n";
  const smuggled = `0\r\n\r\nDELETE ${MANIFEST} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const rows: readonly (readonly [title: string, headers: readonly string[], body: string])[] = [
    ["Content-Length and Transfer-Encoding", ["Content-Length: 3", "Transfer-Encoding: chunked"], chunked],
    ["Transfer-Encoding and Content-Length", ["Transfer-Encoding: chunked", "Content-Length: 13"], chunked],
    ["both, and a request inside", ["Content-Length: 5", "Transfer-Encoding: chunked"], smuggled],
    [
      "both, a request inside, and a length for all",
      [`Content-Length: ${smuggled.length}`, "Transfer-Encoding: chunked"],
      smuggled,
    ],
    ["two lengths that differ", ["Content-Length: 3", "Content-Length: 4"], "abcd"],
    ["two lengths in one", ["Content-Length: 3, 3"], "abc"],
    ["a negative length", ["Content-Length: -3"], "abc"],
    ["a length with a plus", ["Content-Length: +3"], "abc"],
    ["a hexadecimal length", ["Content-Length: 0x3"], "abc"],
    ["a length of letters", ["Content-Length: three"], "abc"],
    ["a fraction", ["Content-Length: 3.0"], "abc"],
    ["an empty length", ["Content-Length:"], "abc"],
    ["a length beyond 64 bits", ["Content-Length: 99999999999999999999"], "abc"],
    ["a coding that is not known", ["Transfer-Encoding: gzip"], "abc"],
    ["a coding before chunked", ["Transfer-Encoding: gzip, chunked"], chunked],
    ["a coding after chunked", ["Transfer-Encoding: chunked, gzip"], chunked],
    ["a coding that begins with a letter more", ["Transfer-Encoding: xchunked"], chunked],
    ["two codings in two headers", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], chunked],
  ];
  for (const method of ["PATCH", "PUT"] as const) {
    for (const [title, headers, body] of rows) {
      test(`${method} with ${title}`, async () => {
        const session = await Session.open(witness().registry, FIRST_HALF);
        const target = method === "PUT" ? session.with(`digest=${BLOB_DIGEST}`) : session.path;
        expectParserRefusal(await send(head(`${method} ${target} HTTP/1.1`, ...headers) + body));
        await session.expectSize(512);
        await session.expectCompletes(SECOND_HALF);
      });
    }
  }

  test("PATCH with the same length twice: taken once, or refused", async () => {
    const session = await Session.open(witness().registry, FIRST_HALF);
    const lines = [`PATCH ${session.path} HTTP/1.1`, "Content-Length: 512", "Content-Length: 512"] as const;
    const reply = await send(Buffer.concat([Buffer.from(head(...lines)), SECOND_HALF]));
    expect(reply.status).toBeOneOf([202, 400]);
    await session.expectResumes();
  });

  test("PUT of a manifest with the same length twice: taken, or refused", async () => {
    const length = `Content-Length: ${IMAGE_TEXT.length}`;
    const reply = await send(
      head(`PUT ${MANIFEST} HTTP/1.1`, `Content-Type: ${IMAGE.mediaType}`, length, length) + IMAGE_TEXT,
    );
    expect(reply.status).toBeOneOf([201, 400]);
  });
  testUnchanged(witness);
});

describe("a chunked body that is malformed: 400, and the connection is closed", () => {
  const start = formatChunks([FIRST_HALF]).subarray(0, -"0\r\n\r\n".length).toString("latin1");
  const rows: readonly (readonly [title: string, body: string])[] = [
    ["a size of letters", "zz\r\nabc\r\n0\r\n\r\n"],
    ["a negative size", "-3\r\nabc\r\n0\r\n\r\n"],
    ["a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"],
    ["no size", "\r\nabc\r\n0\r\n\r\n"],
    ["a size beyond 64 bits", "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n"],
    ["more data than the size says", "3\r\nabcdef\r\n0\r\n\r\n"],
    ["line feeds alone", "3\nabc\n0\n\n"],
    ["no chunks at all", "this is no chunk\r\n\r\n"],
    ["a good chunk, then a size of letters", `${start}zz\r\nabc\r\n0\r\n\r\n`],
    ["a good chunk, then more data than the size says", `${start}3\r\nabcdef\r\n0\r\n\r\n`],
  ];
  for (const [title, body] of rows) {
    const framing = "Transfer-Encoding: chunked";

    test(`PATCH with ${title}: what had arrived may count, and the upload goes on from there`, async () => {
      const session = await Session.open(witness().registry);
      expectParserRefusal(await send(head(`PATCH ${session.path} HTTP/1.1`, framing) + body));
      await session.expectResumes();
    });

    test(`PATCH with a Content-Range and ${title}: nothing is kept`, async () => {
      const session = await Session.open(witness().registry);
      const range = "Content-Range: 0-1023";
      expectParserRefusal(await send(head(`PATCH ${session.path} HTTP/1.1`, framing, range) + body));
      await session.expectSize(0);
      await session.expectResumes();
    });

    test(`PUT of an upload with ${title}: nothing is kept`, async () => {
      const session = await Session.open(witness().registry);
      const line = `PUT ${session.with(`digest=${BLOB_DIGEST}`)} HTTP/1.1`;
      expectParserRefusal(await send(head(line, framing) + body));
      await session.expectSize(0);
      await session.expectResumes();
    });

    test(`POST of a blob with ${title}: nothing is stored`, async () => {
      const { registry } = witness();
      const line = `POST /v2/${ABSENT}/blobs/uploads/?digest=${digestOf("abc")} HTTP/1.1`;
      expectParserRefusal(await send(head(line, framing) + body));
      await expectRefused(registry, { target: `/v2/${REPOSITORY}/blobs/${digestOf("abc")}` }, "404 BLOB_UNKNOWN");
    });

    test(`PUT of a manifest with ${title}: nothing is stored`, async () => {
      const line = `PUT /v2/${ABSENT}/manifests/v1 HTTP/1.1`;
      expectParserRefusal(await send(head(line, framing, `Content-Type: ${IMAGE.mediaType}`) + body));
    });
  }
  testUnchanged(witness, ABSENT);
});

/** A request whose body ends in the middle. */
function half(line: string, ...headers: readonly string[]): Buffer {
  return Buffer.concat([Buffer.from(head(line, "Content-Length: 1024", ...headers)), FIRST_HALF]);
}

/** A request whose body ends in the middle of its first chunk. */
function cutChunk(line: string, ...headers: readonly string[]): Buffer {
  const body = Buffer.concat([Buffer.from("400\r\n"), FIRST_HALF]);
  return Buffer.concat([Buffer.from(head(line, "Transfer-Encoding: chunked", ...headers)), body]);
}

describe("a client that goes away in the middle of a body", () => {
  for (const [framing, cut] of [
    ["with a Content-Length", half],
    ["in chunks", cutChunk],
  ] as const) {
    test(`PATCH ${framing}: what arrived may count, and the upload goes on from where it says it stands`, async () => {
      const { registry } = witness();
      const session = await Session.open(registry);
      await sendAndHangUp(registry.port, cut(`PATCH ${session.path} HTTP/1.1`));
      await session.expectResumes();
    });

    test(`PATCH ${framing} and a Content-Range: nothing of it is kept`, async () => {
      const { registry } = witness();
      const session = await Session.open(registry);
      await sendAndHangUp(registry.port, cut(`PATCH ${session.path} HTTP/1.1`, "Content-Range: 0-1023"));
      await session.expectSize(0);
      await session.expectResumes();
    });

    test(`PUT ${framing}: nothing of it is kept`, async () => {
      const { registry } = witness();
      const session = await Session.open(registry);
      await sendAndHangUp(registry.port, cut(`PUT ${session.with(`digest=${BLOB_DIGEST}`)} HTTP/1.1`));
      await session.expectSize(0);
      await session.expectResumes();
    });

    test(`PUT ${framing} whose first half would have been the blob: no blob`, async () => {
      const { registry } = witness();
      const session = await Session.open(registry);
      const digest = digestOf(FIRST_HALF);
      await sendAndHangUp(registry.port, cut(`PUT ${session.with(`digest=${digest}`)} HTTP/1.1`));
      await session.expectSize(0);
      await expectRefused(registry, { target: `/v2/${REPOSITORY}/blobs/${digest}` }, "404 BLOB_UNKNOWN");
      await session.expectResumes();
    });

    test(`POST of a blob ${framing}: nothing is stored`, async () => {
      const { registry } = witness();
      const digest = digestOf(FIRST_HALF);
      await sendAndHangUp(registry.port, cut(`POST /v2/${ABSENT}/blobs/uploads/?digest=${digest} HTTP/1.1`));
      const target = `/v2/${ABSENT}/blobs/${digest}`;
      await expectRefused(registry, { target }, "404 BLOB_UNKNOWN");
    });

    test(`PUT of a manifest ${framing}: nothing is stored`, async () => {
      const { registry } = witness();
      await sendAndHangUp(registry.port, cut(`PUT /v2/${REPOSITORY}/manifests/refused HTTP/1.1`));
      await expectRefused(registry, { target: `/v2/${REPOSITORY}/manifests/refused` }, "404 MANIFEST_UNKNOWN");
    });
  }

  test("before the body begins", async () => {
    const { registry } = witness();
    const session = await Session.open(registry, FIRST_HALF);
    for (const method of ["PATCH", "PUT"]) {
      const line = `${method} ${session.with(`digest=${BLOB_DIGEST}`)} HTTP/1.1`;
      await sendAndHangUp(registry.port, Buffer.from(head(line, "Content-Length: 512")));
    }
    await session.expectSize(512);
    await session.expectResumes();
  });

  test("before the headers end", async () => {
    const { registry } = witness();
    for (const bytes of [
      "G",
      "GET /v2/ HTT",
      "GET /v2/ HTTP/1.1\r\nHost: a",
      `DELETE ${MANIFEST} HTTP/1.1\r\nHost: a\r\n`,
    ]) {
      await sendAndHangUp(registry.port, Buffer.from(bytes));
    }
  });

  test("a hundred of them", async () => {
    const { registry } = witness();
    const session = await Session.open(registry);
    const bytes = half(`PATCH ${session.path} HTTP/1.1`, "Content-Range: 0-1023");
    await Promise.all(Array.from({ length: 100 }, () => sendAndHangUp(registry.port, bytes)));
    await session.expectResumes();
  });
  testUnchanged(witness, ABSENT);
});

describe("a body where none belongs", () => {
  for (const [framing, sent] of [
    ["with a Content-Length", { body: "a body where none belongs" }],
    ["in chunks", { chunks: ["a body ", "where none belongs"] }],
  ] as const) {
    test(`GET and HEAD ${framing} are answered as without it`, async () => {
      const { port } = witness().registry;
      for (const target of [MANIFEST, `/v2/${REPOSITORY}/blobs/${CONFIG.digest}`, "/v2/", "/v2/_catalog"]) {
        const reply = await request(port, { target, ...sent });
        expect(reply.status).toBe(200);
        expect(reply.body).toBe((await request(port, { target })).body);
        const bare = await request(port, { method: "HEAD", target: MANIFEST, ...sent });
        expect(bare.status).toBe(200);
        expect(bare.body).toBe("");
      }
    });

    test(`DELETE and POST ${framing} are refused as without it`, async () => {
      const { registry } = witness();
      const unknown = { method: "DELETE", target: `/v2/${REPOSITORY}/manifests/refused`, ...sent };
      await expectRefused(registry, unknown, "404 MANIFEST_UNKNOWN");
      const blob = { method: "DELETE", target: `/v2/${REPOSITORY}/blobs/${UNKNOWN_DIGEST}`, ...sent };
      await expectRefused(registry, blob, "404 BLOB_UNKNOWN");
    });

    test(`POST ${framing} that does not name a digest begins an empty session`, async () => {
      const { registry } = witness();
      // crane sends a Content-Type here, and a body now and then: it belongs to nothing.
      const target = `/v2/${REPOSITORY}/blobs/uploads/`;
      const reply = await request(registry.port, { method: "POST", target, ...sent });
      expect(reply.status).toBe(202);
      expect(sizeOf(reply.headers["range"])).toBe(0);
    });
  }
  testUnchanged(witness);
});

/** The head of a request that waits to be told to go on. */
function expecting(method: string, target: string, length: number, ...headers: readonly string[]): Buffer {
  const lines = [`Content-Length: ${length}`, "Expect: 100-continue", ...headers];
  return Buffer.from(head(`${method} ${target} HTTP/1.1`, ...lines));
}

describe("Expect: 100-continue", () => {
  test("a client that waits for it sends its chunk then, and it is taken", async () => {
    const { registry } = witness();
    const session = await Session.open(registry);
    const text = await sendInTurns(registry.port, expecting("PATCH", session.path, 512), "100 Continue", FIRST_HALF);
    const [reply] = splitReplies(text, ["PATCH"]);
    expect(reply?.status).toBe(202);
    await session.expectSize(512);
    await session.expectCompletes(SECOND_HALF);
  });

  test("a client that does not wait is served as well", async () => {
    const session = await Session.open(witness().registry);
    const reply = await send(Buffer.concat([expecting("PATCH", session.path, 512), FIRST_HALF]));
    expect(splitReplies(reply.text, ["PATCH"])[0]?.status).toBe(202);
    await session.expectSize(512);
    await session.cancel();
  });

  test("a manifest and a blob in one POST come the same way", async () => {
    const { registry } = witness();
    const type = `Content-Type: ${IMAGE.mediaType}`;
    const put = expecting("PUT", MANIFEST, IMAGE_TEXT.length, type);
    const stored = await sendInTurns(registry.port, put, "100 Continue", Buffer.from(IMAGE_TEXT));
    expect(splitReplies(stored, ["PUT"])[0]?.status).toBe(201);
    const post = expecting("POST", `/v2/${REPOSITORY}/blobs/uploads/?digest=${BLOB_DIGEST}`, BLOB.length);
    const pushed = await sendInTurns(registry.port, post, "100 Continue", BLOB);
    expect(splitReplies(pushed, ["POST"])[0]?.status).toBe(201);
  });

  test("a request that is refused is refused, whether the body came or not", async () => {
    const { registry } = witness();
    const target = `/v2/${ABSENT}/manifests/-lead`;
    const refused = await sendInTurns(
      registry.port,
      expecting("PUT", target, 7),
      "100 Continue",
      Buffer.from("no JSON"),
    );
    const [reply] = splitReplies(refused, ["PUT"]);
    expect(reply).toBeDefined();
    if (reply) expectRefusal(registry, { method: "PUT", target }, reply, "400 TAG_INVALID");
  });
  testUnchanged(witness, ABSENT);
});

testAliveAndQuiet(witness);
