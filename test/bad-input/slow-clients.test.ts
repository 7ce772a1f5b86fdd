/** Clients that are slow, silent or speak something else: they cost little, and other clients do not notice them. */
import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { sendRaw } from "../support/raw.ts";
import type { RawReply } from "../support/raw.ts";
import { request } from "../support/raw-request.ts";
import { residentMb } from "../support/resident.ts";
import { Session } from "./session.ts";
import { LAYER, REPOSITORY, testAliveAndQuiet, useWitness } from "./witness.ts";

const witness = useWitness({ withCatalog: false });

const MANIFEST = `/v2/${REPOSITORY}/manifests/v1`;
const MEGABYTE = 1024 * 1024;

/** So many of each: enough to see what one of them costs. */
const MANY = 200;

/** Connections that are open until disposed of. */
class Crowd implements AsyncDisposable {
  readonly #sockets: readonly Socket[];
  /** What the server had open before. */
  readonly #handles: number;

  private constructor(sockets: readonly Socket[], handles: number) {
    this.#sockets = sockets;
    this.#handles = handles;
  }

  /** Opens `count` connections, and sends `first` down each. What comes back is not read when `reads` is false. */
  static async open(count: number, first: string | Uint8Array, { reads = true } = {}): Promise<Crowd> {
    const { port } = witness().registry;
    const handles = await openHandles();
    const opened = Array.from({ length: count }, async () => {
      const socket = connect(port, "127.0.0.1");
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      socket.on("error", () => socket.destroy());
      if (reads) socket.resume();
      else socket.pause();
      socket.write(first);
      return socket;
    });
    return new Crowd(await Promise.all(opened), handles);
  }

  /** Sends a piece down each. */
  drip(piece: string): void {
    for (const socket of this.#sockets) socket.write(piece, "latin1");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    while ((await openHandles()) > this.#handles + 8) await Bun.sleep(10);
  }
}

/** Files and sockets that the server has open. */
async function openHandles(): Promise<number> {
  return (await readdir(`/proc/${witness().registry.pid}/fd`)).length;
}

/** Another client pushes and pulls an image meanwhile. */
async function expectServesOthers(seed: string): Promise<void> {
  const { url } = witness().registry;
  const image = await pushImage(url, "others/app", seed, seed);
  expect(await (await fetch(`${url}/v2/others/app/manifests/${seed}`)).text()).toBe(image.body);
  expect((await request(witness().registry.port, { target: MANIFEST })).status).toBe(200);
}

describe("clients that hold a connection and say little do not keep others from being served", () => {
  const { hostname: host } = new URL("http://registry.example");
  const rows: readonly (readonly [title: string, first: string, drip: string])[] = [
    ["nothing at all", "", ""],
    ["half a request line", "GET /v2/", "x"],
    ["headers without an end, a byte at a time", `GET ${MANIFEST} HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `, "y"],
    [
      "a body of which a byte comes now and then",
      `PUT ${MANIFEST} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1000\r\n\r\n{`,
      " ",
    ],
    [
      "a chunked body that never ends",
      `PUT ${MANIFEST} HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`,
      "1\r\n \r\n",
    ],
  ];
  for (const [title, first, drip] of rows) {
    test(title, async () => {
      await using crowd = await Crowd.open(MANY, first);
      for (let round = 0; round < 5; round++) {
        crowd.drip(drip);
        await expectServesOthers(`slow-${round}`);
      }
    });
  }

  test("uploads of which a byte comes now and then, each with its session", async () => {
    const { registry } = witness();
    const sessions = await Promise.all(Array.from({ length: 50 }, () => Session.open(registry)));
    const before = await residentMb(witness().registry.pid);
    const blob = bytesOf("slow", 300_000);
    const piece = (start: number, end: number): string => Buffer.from(blob.subarray(start, end)).toString("latin1");
    const crowds = await Promise.all(
      sessions.map(({ path }) => {
        const head = `PATCH ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${blob.length}\r\n\r\n`;
        return Crowd.open(1, Buffer.from(head + piece(0, 20_000), "latin1"));
      }),
    );
    for (let round = 0; round < 3; round++) {
      for (const crowd of crowds) crowd.drip(piece(20_000 + round * 100, 20_100 + round * 100));
      await expectServesOthers(`upload-${round}`);
    }
    // A buffer for each writer, and no more.
    expect((await residentMb(witness().registry.pid)) - before).toBeLessThan(50);
    await Promise.all(crowds.map((crowd) => crowd[Symbol.asyncDispose]()));
    for (const session of sessions) await session.expectResumes(blob);
  });
});

test("readers that stop reading cost no memory: what is sent to them stays on the disk", async () => {
  const { registry } = witness();
  const blob = bytesOf("large", 32 * MEGABYTE);
  await pushBlob(registry.url, "large/app", blob);
  const before = await residentMb(witness().registry.pid);
  const target = `GET /v2/large/app/blobs/${digestOf(blob)} HTTP/1.1\r\nHost: a\r\n\r\n`;
  {
    await using _crowd = await Crowd.open(50, target, { reads: false });
    for (let round = 0; round < 3; round++) await expectServesOthers(`stalled-${round}`);
    // 50 times 32 MiB were asked for.
    expect((await residentMb(witness().registry.pid)) - before).toBeLessThan(100);
  }
  {
    // Several ranges go out as a stream of our own making.
    const ranges = `Range: bytes=0-15000000,16000000-30000000\r\n`;
    await using _crowd = await Crowd.open(20, target.replace("\r\n\r\n", `\r\n${ranges}\r\n`), { reads: false });
    for (let round = 0; round < 3; round++) await expectServesOthers(`ranges-${round}`);
    expect((await residentMb(witness().registry.pid)) - before).toBeLessThan(150);
  }
  const pulled = await fetch(`${registry.url}/v2/large/app/blobs/${digestOf(blob)}`);
  expect(digestOf(await pulled.bytes())).toBe(digestOf(blob));
});

test("64 readers that go away after a part leave nothing open", async () => {
  const { registry } = witness();
  const blob = bytesOf("dropped", 16 * MEGABYTE);
  await pushBlob(registry.url, "large/app", blob);
  const target = `/v2/large/app/blobs/${digestOf(blob)}`;
  const before = await openHandles();
  const drop = async (start: number): Promise<void> => {
    const socket = connect(registry.port, "127.0.0.1");
    socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nRange: bytes=${start}-\r\n\r\n`);
    let seen = 0;
    for await (const part of socket) {
      seen += (part as Buffer).length;
      if (seen > MEGABYTE) break;
    }
    socket.destroy();
    expect(seen).toBeGreaterThan(MEGABYTE);
  };
  await Promise.all(Array.from({ length: 64 }, (_, at) => drop(at * 1000)));
  while ((await openHandles()) > before + 8) await Bun.sleep(10);
});

test.each([
  ["at once when it would be very large", 3_000_000_000],
  ["in seconds when the client may be waiting", 3_000_000],
])("a request that is refused, and whose body does not come, is answered %s", async (_when, size) => {
  const target = `/v2/${REPOSITORY}/blobs/uploads/0b5a2e0e-3f5e-4a53-9d0f-3f6f0f8f1a11`;
  const head = `PATCH ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`;
  const { status, headers } = await sendRaw(witness().registry.port, head, { timeoutMs: 30_000 });
  expect([status, headers["connection"]]).toEqual([404, "close"]);
});

test("a client that speaks TLS to the plain port is refused, and told nothing it could take for TLS", async () => {
  // The beginning of a ClientHello (RFC 8446, 4.1.2): record type 22, version 3.1, a handshake of 0x1fc bytes.
  const hello = Buffer.concat([
    Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
    Buffer.alloc(505, 7),
  ]);
  const reply = await sendRaw(witness().registry.port, hello, { timeoutMs: 20_000 });
  expect([reply.status, reply.closed]).toEqual([400, true]);
  expect(reply.text).toStartWith("HTTP/1.1 400 ");
  await using _idle = await Crowd.open(MANY, hello.subarray(0, 5));
  await expectServesOthers("tls");
});

test("2,000 ranges in one request are answered as the parts that they name", async () => {
  const blob = bytesOf("ranges", 200_000);
  await pushBlob(witness().registry.url, "large/app", blob);
  const ranges = Array.from({ length: 2000 }, (_, at) => `${at * 100}-${at * 100 + 1}`).join(",");
  const reply = await fetch(`${witness().registry.url}/v2/large/app/blobs/${digestOf(blob)}`, {
    headers: { range: `bytes=${ranges}` },
  });
  expect(reply.status).toBe(206);
  const boundary = /boundary=(\S+)/.exec(reply.headers.get("content-type") ?? "")?.[1] ?? "";
  const body = Buffer.from(await reply.bytes());
  expect(reply.headers.get("content-length")).toBe(String(body.length));
  const parts = body.toString("latin1").split(`--${boundary}`).slice(1, -1);
  expect(parts).toHaveLength(2000);
  const expected = (at: number): string => Buffer.from(blob.subarray(at * 100, at * 100 + 2)).toString("latin1");
  for (const [at, part] of parts.entries()) expect(part).toEndWith(`\r\n\r\n${expected(at)}\r\n`);
});

/** Sends a request with so many headers of that size. */
function askWith(count: number, size: number): Promise<RawReply> {
  const headers = Array.from({ length: count }, (_, at) => `X${at}: ${"v".repeat(size)}\r\n`).join("");
  const text = `GET ${MANIFEST} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${headers}\r\n`;
  return sendRaw(witness().registry.port, text, { timeoutMs: 20_000 });
}

test("10,000 headers are refused by the parser when they are too large together, and harmless when they are not", async () => {
  expect((await askWith(10_000, 10)).status).toBe(431);
  expect([200, 431]).toContain((await askWith(5000, 1)).status);
  await expectServesOthers("headers");
});

test("a manifest of 5 MiB is refused with 413, and its sender gets to see it", async () => {
  const body = `{"schemaVersion":2,"annotations":{"a":"${"x".repeat(5 * MEGABYTE)}"}}`;
  for (const framing of [{ body }, { chunks: body.match(/[^]{1,65536}/g) ?? [] }]) {
    const reply = await request(witness().registry.port, {
      method: "PUT",
      target: MANIFEST,
      headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
      ...framing,
    });
    expect([reply.status, reply.body.includes("SIZE_INVALID")]).toEqual([413, true]);
  }
  expect((await request(witness().registry.port, { target: `/v2/${REPOSITORY}/blobs/${LAYER.digest}` })).status).toBe(
    200,
  );
});

testAliveAndQuiet(witness);
