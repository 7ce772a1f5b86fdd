/** Requests that are bad HTTP, and good HTTP that is rare: hosts, versions, targets, headers and pipelines. */
import { describe, expect, test } from "bun:test";
import { descriptorOf, digestOf } from "../support/content.ts";
import { sendRaw } from "../support/raw.ts";
import type { RawReply } from "../support/raw.ts";
import { formatRequest, request, splitReplies } from "../support/raw-request.ts";
import { image } from "./bad-manifests.ts";
import { expectErrorBody, expectParserRefusal, expectRefusal, expectRefused } from "./refusal.ts";
import { CONFIG, IMAGE, IMAGE_TEXT, REPOSITORY, testAliveAndQuiet, testUnchanged, useWitness } from "./witness.ts";

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

describe("HTTP/1.0", () => {
  test("with a Host it is served, and the connection is closed", async () => {
    const bytes = `GET ${MANIFEST} HTTP/1.0\r\nHost: registry\r\n\r\n`;
    const reply = await sendRaw(witness().registry.port, bytes, { timeoutMs: 20_000, wholeConnection: true });
    expect(reply.status).toBe(200);
    expect(reply.body).toBe(IMAGE_TEXT);
    // Without the word keep-alive a connection of HTTP/1.0 ends here, whether the header says so or not.
    expect(reply.headers["connection"]?.toLowerCase() ?? "close").toBe("close");
    expect(reply.closed).toBe(true);
  });

  test("it can begin an upload", async () => {
    const line = `POST /v2/${REPOSITORY}/blobs/uploads/ HTTP/1.0`;
    const reply = await send(`${line}\r\nHost: registry\r\nContent-Length: 0\r\n\r\n`);
    expect(reply.status).toBe(202);
  });

  // HAProxy's "option httpchk" and other probes of load balancers send no Host.
  for (const more of ["", "Connection: keep-alive\r\n", "Connection: close\r\n"]) {
    test(`without a Host, ${JSON.stringify(more)}: served`, async () => {
      const statuses: Readonly<Record<string, number>> = {
        "/": 200,
        "/v2/": 200,
        "/healthz": 200,
        "/readyz": 200,
        [MANIFEST]: 200,
        [`/v2/${REPOSITORY}/tags/list?n=1`]: 200,
        "/v2/_catalog": 200,
        "/no-such-page": 404,
        "/v2/?a=http://b/c": 200,
      };
      for (const method of ["GET", "HEAD", "OPTIONS"]) {
        for (const [target, status] of Object.entries(statuses)) {
          const reply = await send(`${method} ${target} HTTP/1.0\r\n${more}\r\n`);
          expect([target, reply.status]).toEqual([target, method === "OPTIONS" && status === 200 ? 405 : status]);
        }
      }
    });
  }

  test("without a Host it can push and mount", async () => {
    const begun = await send(`POST /v2/${REPOSITORY}/blobs/uploads/ HTTP/1.0\r\nContent-Length: 0\r\n\r\n`);
    expect(begun.status).toBe(202);
    const cancelled = await send(`DELETE ${begun.headers["location"]} HTTP/1.0\r\n\r\n`);
    expect(cancelled.status).toBe(204);
    const query = `mount=${CONFIG.digest}&from=${REPOSITORY}`;
    const mounted = await send(`POST /v2/${REPOSITORY}/blobs/uploads/?${query} HTTP/1.0\r\nContent-Length: 0\r\n\r\n`);
    expect(mounted.status).toBe(201);
  });

  test("with an empty Host: 400", async () => {
    const reply = await send("GET /v2/ HTTP/1.0\r\nHost:\r\n\r\n");
    expect(reply.status).toBe(400);
    expectErrorBody(witness().registry, reply);
  });
  testUnchanged(witness);
});

describe("a Host that is none: 400", () => {
  test("no Host at all", async () => {
    expectParserRefusal(await send("GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n"));
  });

  // RFC 9112, 3.2: 400 for "a Host header field with an invalid field value", and for more than one.
  const hosts: readonly (readonly [title: string, lines: string])[] = [
    ["an empty one", "Host:"],
    ["a space", "Host: a b"],
    ["a path", "Host: a/b"],
    ["a query", "Host: a?b"],
    ["a fragment", "Host: a#b"],
    ["a name and a password", "Host: user:password@registry"],
    ["a port beyond 65535", "Host: registry:99999999"],
    ["a port of letters", "Host: registry:port"],
    ["a bracket alone", "Host: ["],
    ["brackets around nothing", "Host: []"],
    ["percent signs", "Host: %%%"],
    ["angle brackets", "Host: <registry>"],
    ["a backslash", "Host: a\\b"],
    ["a colon alone", "Host: :"],
    ["a scheme", "Host: http://registry"],
    ["two names in one", "Host: a, b"],
    ["two headers", "Host: a\r\nHost: b"],
  ];
  for (const [title, lines] of hosts) {
    test(title, async () => {
      for (const target of ["/v2/", MANIFEST]) {
        const reply = await send(`GET ${target} HTTP/1.1\r\n${lines}\r\nConnection: close\r\n\r\n`);
        expect(reply.status).toBe(400);
        if (reply.body !== "") expectErrorBody(witness().registry, reply);
      }
    });
  }

  test("a write under one changes nothing", async () => {
    const bytes = `DELETE ${MANIFEST} HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n`;
    expect((await send(bytes)).status).toBe(400);
  });
  testUnchanged(witness);
});

describe("a target in absolute form is the target it names", () => {
  test("of this registry", async () => {
    const { url } = witness().registry;
    const reply = await send(head(`GET ${url}${MANIFEST} HTTP/1.1`));
    expect(reply.status).toBe(200);
    expect(reply.body).toBe(IMAGE_TEXT);
    const wanted = { target: `${url}/v2/${REPOSITORY}/manifests/v2` };
    await expectRefused(witness().registry, wanted, "404 MANIFEST_UNKNOWN");
  });

  test("of another host, which is not asked", async () => {
    const reply = await send(head(`GET http://registry.example${MANIFEST} HTTP/1.1`));
    expect(reply.status).toBeOneOf([200, 400, 404, 421]);
  });

  for (const target of [
    "http://",
    "http://registry.example",
    "ftp://registry.example/v2/",
    "http:/v2/",
    "registry.example:443",
  ]) {
    test(`${target}: an answer, and no fault`, async () => {
      for (const method of ["GET", "HEAD", "DELETE", "CONNECT"]) {
        const reply = await send(head(`${method} ${target} HTTP/1.1`));
        expect(reply.status).toBeLessThan(500);
      }
    });
  }
  testUnchanged(witness);
});

describe("what is no HTTP at all is refused by the parser: 400, and the connection is closed", () => {
  const hello = Buffer.from(`16030100c8010000c40303${"5a".repeat(32)}${"00".repeat(156)}`, "hex");
  const rows: readonly (readonly [title: string, bytes: string | Uint8Array])[] = [
    // Docker, podman and crane ask a port that speaks plain HTTP for TLS first.
    ["a TLS ClientHello", hello],
    ["a TLS 1.0 ClientHello", Buffer.concat([Buffer.from("160301", "hex"), hello.subarray(3)])],
    ["two TLS ClientHellos", Buffer.concat([hello, hello])],
    ["an SSL 2 ClientHello", Buffer.from(`802e0100020015000000100${"0".repeat(80)}0d0a0d0a`.slice(0, 92), "hex")],
    ["HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["an SSH greeting", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["bytes that mean nothing", new Uint8Array(64).fill(0xff)],
    ["zeros", new Uint8Array(512)],
    ["line breaks before the request", "\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a reply", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ];
  for (const [title, bytes] of rows) {
    test(title, async () => {
      const reply = await send(bytes);
      // Without an answer is as good as 400: there is no client on the other side to read it.
      expect(reply.status).toBeOneOf([0, 400, 505]);
      expect(reply.body).toBe("");
      expect(reply.closed).toBe(true);
    });
  }
  testUnchanged(witness);
});

describe("a request line that is none is refused by the parser", () => {
  // What stands behind the second space is the version to it: then the answer is 505, the parser's own.
  const rows: readonly (readonly [title: string, line: string])[] = [
    ["a space in the target", `GET /v2/${REPOSITORY}/manifests/v 1 HTTP/1.1`],
    ["a tab in the target", `GET /v2/${REPOSITORY}/manifests/v\t1 HTTP/1.1`],
    ["a NUL in the target", `GET /v2/${REPOSITORY}/manifests/v\u00001 HTTP/1.1`],
    ["a NUL in a name", "GET /v2/a\u0000b/tags/list HTTP/1.1"],
    ["no target", "GET  HTTP/1.1"],
    ["a target without its slash", "GET v2/ HTTP/1.1"],
    ["an asterisk", "OPTIONS * HTTP/1.1"],
    ["no version", "GET /v2/"],
    ["a version that is none", "GET /v2/ HTTP/x.y"],
    ["HTTP/0.9", "GET /v2/ HTTP/0.9"],
    ["HTTP/2.0", "GET /v2/ HTTP/2.0"],
    ["HTTP/1.2", "GET /v2/ HTTP/1.2"],
    ["another protocol", "GET /v2/ RTSP/1.0"],
    ["spaces before the method", "  GET /v2/ HTTP/1.1"],
    ["a comma in the method", "GET,HEAD /v2/ HTTP/1.1"],
    ["no method", " /v2/ HTTP/1.1"],
    // A method that the parser does not know: it closes without a word.
    ["an unknown method", "FOO /v2/ HTTP/1.1"],
    ["a method in lower case", "get /v2/ HTTP/1.1"],
    ["a method of ten thousand letters", `${"A".repeat(10_000)} /v2/ HTTP/1.1`],
  ];
  for (const [title, line] of rows) {
    test(title, async () => {
      const reply = await send(head(line));
      expect(reply.status).toBeOneOf([0, 400, 405, 431, 505]);
      expect(reply.body).toBe("");
      expect(reply.closed).toBe(true);
    });
  }

  test("line feeds alone for the line breaks", async () => {
    const reply = await send("GET /v2/ HTTP/1.1\nHost: a\nConnection: close\n\n");
    expect(reply.status).toBeOneOf([0, 400, 505]);
  });
  testUnchanged(witness);
});

describe("a header that is none is refused by the parser with 400", () => {
  const rows: readonly (readonly [title: string, header: string])[] = [
    ["no colon", "Nothing"],
    ["a space before the colon", "X-Header : a"],
    ["a NUL in a value", "X-Header: a\u0000b"],
    ["a NUL in a name", "X-He\u0000ader: a"],
    ["a value that goes on in the next line", "X-Header: a\r\n b"],
    ["no name", ": a"],
    ["a carriage return alone", "X-Header: a\rX-Other: b"],
  ];
  for (const [title, header] of rows) {
    test(title, async () => expectParserRefusal(await send(head("GET /v2/ HTTP/1.1", header))));
  }
  testUnchanged(witness);
});

describe("the size of the headers", () => {
  const rows: readonly (readonly [title: string, target: string, headers: readonly string[]])[] = [
    ["one header of 70,000 bytes", "/v2/", [`X-Padding: ${"x".repeat(70_000)}`]],
    ["700 headers of 100 bytes", "/v2/", Array.from({ length: 700 }, (_, at) => `X-${at}: ${"x".repeat(92)}`)],
    ["a path of 70,000 bytes", `/v2/${"a".repeat(70_000)}/tags/list`, []],
    ["a query of 70,000 bytes", `/v2/?${"a".repeat(70_000)}`, []],
    ["10,000 ranges", `/v2/${REPOSITORY}/blobs/${CONFIG.digest}`, [`Range: bytes=${"10-20,".repeat(11_000)}1-2`]],
    ["a megabyte", "/v2/", [`X-Padding: ${"x".repeat(1_000_000)}`]],
  ];
  for (const [title, target, headers] of rows) {
    test(`${title}, beyond 64 KiB: 431, and the connection is closed`, async () => {
      expectParserRefusal(await send(head(`GET ${target} HTTP/1.1`, ...headers)), [431]);
    });
  }

  test("headers of 60,000 bytes are served", async () => {
    const reply = await send(head(`GET ${MANIFEST} HTTP/1.1`, `X-Padding: ${"x".repeat(60_000)}`));
    expect(reply.status).toBe(200);
    expect(reply.body).toBe(IMAGE_TEXT);
  });

  test("an Accept of 40,000 bytes is served", async () => {
    const accept = Array.from({ length: 1_000 }, (_, at) => `application/vnd.example.type-${at}+json`).join(", ");
    expect((await send(head(`GET ${MANIFEST} HTTP/1.1`, `Accept: ${accept}`))).status).toBe(200);
  });
  testUnchanged(witness);
});

describe("requests that come one behind the other, before the answers", () => {
  /** The replies to requests on one connection; the last asks for it to be closed. */
  const pipeline = async (
    ...wanted: readonly Parameters<typeof formatRequest>[0][]
  ): Promise<ReturnType<typeof splitReplies>> => {
    const { port } = witness().registry;
    const bytes = wanted.map((one, at) => {
      const connection = at === wanted.length - 1 ? "close" : "keep-alive";
      return formatRequest({ ...one, headers: { Connection: connection, ...one.headers } }, `127.0.0.1:${port}`);
    });
    const { text } = await sendRaw(port, Buffer.concat(bytes), { timeoutMs: 20_000, wholeConnection: true });
    return splitReplies(
      text,
      wanted.map(({ method = "GET" }) => method),
    );
  };

  test("are answered in their order", async () => {
    const targets = ["/v2/", MANIFEST, `/v2/${REPOSITORY}/blobs/${CONFIG.digest}`, `/v2/${REPOSITORY}/tags/list`];
    const replies = await pipeline(...targets.map((target) => ({ target })));
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200, 200]);
    expect(replies[1]?.body).toBe(IMAGE_TEXT);
    expect(replies[2]?.body.length).toBe(CONFIG.size);
  });

  test("are answered in their order also when some are refused", async () => {
    const { registry } = witness();
    const wanted = [
      { target: `/v2/${REPOSITORY}/manifests/refused` },
      { target: MANIFEST },
      { method: "PUT", target: `/v2/${REPOSITORY}/manifests/refused`, body: "no JSON" },
      { target: "/v2/Not/A/Name/tags/list" },
      { method: "PUT", target: `/v2/${REPOSITORY}/manifests/-lead`, chunks: ["a body ", "that nobody reads"] },
      { method: "HEAD", target: MANIFEST },
      { method: "POST", target: "/v2/nothing/at/all", body: "a body that nobody reads" },
      { target: MANIFEST },
    ] as const;
    const replies = await pipeline(...wanted);
    expect(replies.map((reply) => reply.status)).toEqual([404, 200, 400, 400, 400, 200, 404, 200]);
    for (const [at, reply] of replies.entries()) {
      const one = wanted[at];
      if (one && reply.status >= 400) {
        expectRefusal(registry, one, reply, [
          "400 MANIFEST_INVALID",
          "400 NAME_INVALID",
          "400 TAG_INVALID",
          "404 MANIFEST_UNKNOWN",
          "404 UNSUPPORTED",
        ]);
      }
    }
    expect(replies.at(-1)?.body).toBe(IMAGE_TEXT);
  });

  test("after a GET with a body", async () => {
    const body = `GET ${MANIFEST} HTTP/1.1\r\nHost: a\r\n\r\n`;
    const replies = await pipeline(
      { target: "/v2/", body },
      { target: MANIFEST },
      { target: "/v2/", chunks: [body] },
      { target: MANIFEST },
    );
    expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200, 200]);
    expect(replies.map((reply) => reply.body)).toEqual(["{}", IMAGE_TEXT, "{}", IMAGE_TEXT]);
  });

  test("of which the last is no HTTP", async () => {
    const { port } = witness().registry;
    const good = `GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n`;
    const reply = await sendRaw(port, `${good}nonsense\r\n\r\n`, { timeoutMs: 20_000, wholeConnection: true });
    expect(reply.status).toBe(200);
    expect(reply.closed).toBe(true);
  });
  testUnchanged(witness);
});

describe("a client that cannot be trusted with its own headers", () => {
  const rows: readonly (readonly [title: string, header: string])[] = [
    ["a Content-Type that is none", "Content-Type: nonsense; ; =;"],
    ["an Accept that is none", "Accept: ;;;,,,/"],
    ["an Accept of bytes beyond ASCII", "Accept: \u00ff\u00fe"],
    ["an Accept-Encoding of everything", "Accept-Encoding: gzip, br, zstd, *;q=1.0"],
    ["a Forwarded that lies", 'Forwarded: for="[::1]";host=evil.example;proto=https'],
    ["an X-Forwarded-Host that lies", "X-Forwarded-Host: evil.example"],
    ["an X-Forwarded-Proto that is none", "X-Forwarded-Proto: gopher"],
    ["a method in a header", "X-HTTP-Method-Override: DELETE"],
    ["a path in a header", "X-Original-URL: /v2/_catalog"],
    ["an Upgrade", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
    ["an Authorization without a challenge", "Authorization: Basic Og=="],
    ["a Range of bytes beyond ASCII", "Range: bytes=\u00b2-\u00b3"],
  ];
  for (const [title, header] of rows) {
    test(`${title}: the image, byte by byte`, async () => {
      const reply = await send(head(`GET ${MANIFEST} HTTP/1.1`, header));
      expect(reply.status).toBe(200);
      expect(reply.headers["content-type"]).toBe(IMAGE.mediaType);
      expect(reply.headers["content-encoding"]).toBeUndefined();
      expect(reply.body).toBe(IMAGE_TEXT);
    });
  }

  test("a Forwarded that lies does not get into an address", async () => {
    const line = `POST /v2/${REPOSITORY}/blobs/uploads/ HTTP/1.1`;
    const reply = await send(
      head(line, "Content-Length: 0", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"),
    );
    expect(reply.status).toBe(202);
    expect(reply.headers["location"]).not.toContain("evil.example");
  });

  test("a manifest without a Content-Type is read for what it is", async () => {
    const body = image({ annotations: { pushed: "without a type" } });
    const target = `/v2/${REPOSITORY}/manifests/${digestOf(body)}`;
    const { port } = witness().registry;
    expect((await request(port, { method: "PUT", target, body })).status).toBe(201);
    const pulled = await request(port, { target });
    expect(pulled.headers["content-type"]).toBe(IMAGE.mediaType);
    expect(pulled.headers["content-length"]).toBe(`${descriptorOf(IMAGE.mediaType, body).size}`);
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
