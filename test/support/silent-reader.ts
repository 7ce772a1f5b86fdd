/** Clients that ask and take nothing of what is sent to them, over HTTP/1.1 and HTTP/2, in the clear and over TLS. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectSecurely } from "node:tls";

export type Protocol = "HTTP/1.1" | "HTTP/2";

export interface SilentReaders extends AsyncDisposable {
  readonly sockets: readonly Socket[];
}

export interface SilentReaderOptions {
  readonly port: number;
  readonly protocol: Protocol;
  readonly isSecure: boolean;
  /** Of how many connections the requests are spread; over HTTP/1.1 each has its own. */
  readonly connections: number;
}

/** Asks for each path once. Resolves when the server has seen every request. */
export async function askSilently(paths: readonly string[], options: SilentReaderOptions): Promise<SilentReaders> {
  const { protocol, connections } = options;
  const count = protocol === "HTTP/1.1" ? paths.length : connections;
  const sockets = await Promise.all(
    Array.from({ length: count }, (_, at) => {
      const own = paths.filter((_path, index) => index % count === at);
      return protocol === "HTTP/1.1" ? askOnce(own[0] ?? "/v2/", options) : askStreams(own, options);
    }),
  );
  return {
    sockets,
    async [Symbol.asyncDispose]() {
      const left = sockets.filter((socket) => !socket.closed);
      const closed = left.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
      for (const socket of left) socket.destroy();
      await Promise.all(closed);
    },
  };
}

async function open({ port, isSecure, protocol }: SilentReaderOptions): Promise<Socket> {
  const address = { port, host: "127.0.0.1" };
  const ALPNProtocols = [protocol === "HTTP/2" ? "h2" : "http/1.1"];
  const socket = isSecure
    ? connectSecurely({ ...address, ALPNProtocols, rejectUnauthorized: false })
    : connect(address);
  await new Promise((resolve, reject) => {
    socket.once(isSecure ? "secureConnect" : "connect", resolve).once("error", reject);
  });
  socket.on("error", () => socket.destroy());
  return socket;
}

/** The rest of the answer waits in the server, as far as the kernel does not take it. */
async function askOnce(path: string, options: SilentReaderOptions): Promise<Socket> {
  const socket = await open(options);
  const begun = new Promise((resolve) => socket.once("data", resolve));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: registry\r\n\r\n`);
  await Promise.race([begun, Bun.sleep(500)]); // what waits for room has no beginning
  socket.pause();
  return socket;
}

/** Opens a stream for each path, without a window in which the server could send a byte of a body. */
async function askStreams(paths: readonly string[], options: SilentReaderOptions): Promise<Socket> {
  const socket = await open(options);
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(4, 0); // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.5.2): 0
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(4, 0, 0, settings));
  for (const [at, path] of paths.entries()) socket.write(headersFrame(2 * at + 1, path));
  // A ping is answered after what came before it was dispatched.
  const pong = new Promise<void>((resolve) => {
    let received = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      received = Buffer.concat([received, piece]);
      while (received.length >= 9 && received.length >= 9 + received.readUIntBE(0, 3)) {
        if (received[3] === 6 && received[4] === 1) resolve();
        received = received.subarray(9 + received.readUIntBE(0, 3));
      }
    });
  });
  socket.write(frame(6, 0, 0, Buffer.alloc(8)));
  await pong;
  return socket;
}

/** A frame (RFC 9113, 4.1). */
function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A GET as a HEADERS frame with END_STREAM and END_HEADERS; its fields are literals (RFC 7541, 6.2.2). */
function headersFrame(stream: number, path: string): Buffer {
  const fields = { ":method": "GET", ":scheme": "https", ":path": path, ":authority": "registry" };
  const block = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([Buffer.from([0]), text(name), text(value)]),
  );
  return frame(1, 5, stream, Buffer.concat(block));
}

/** A string without Huffman coding; its length is an integer with a prefix of 7 bits (RFC 7541, 5.1 and 5.2). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const rest = bytes.length - 127;
  const length = rest < 128 ? [127, rest] : [127, (rest & 127) | 128, rest >> 7];
  return Buffer.concat([Buffer.from(length), bytes]);
}
