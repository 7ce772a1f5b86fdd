/** Requests put together by hand: nothing in them is checked, escaped or completed. */
import { connect } from "node:net";
import { sendRaw } from "./raw.ts";
import type { RawReply } from "./raw.ts";

export interface RawRequest {
  /** GET when absent. */
  readonly method?: string;
  /** What stands between the method and the version; one byte for each character. */
  readonly target: string;
  /** A list is sent as that many headers. `Host`, `Connection` and the body's length are given when not named here. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Sent with a `Content-Length`. */
  readonly body?: string | Uint8Array;
  /** Sent instead of `body`, without a length, as `Transfer-Encoding: chunked`. */
  readonly chunks?: readonly (string | Uint8Array)[];
}

/** Sends one request on a connection of its own and gives the first reply. */
export function request(port: number, wanted: RawRequest): Promise<RawReply> {
  return sendRaw(port, formatRequest(wanted, `127.0.0.1:${port}`), { timeoutMs: 20_000 });
}

/** The bytes of a request that asks for the connection to be closed after it. */
export function formatRequest(wanted: RawRequest, host: string): Buffer {
  const { method = "GET", target, headers = {}, body, chunks } = wanted;
  const lines = [`${method} ${target} HTTP/1.1`];
  const named = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const add = (name: string, value: string | readonly string[]): void => {
    for (const one of [value].flat()) lines.push(`${name}: ${one}`);
  };
  const addDefault = (name: string, value: string): void => {
    if (!named.has(name.toLowerCase())) add(name, value);
  };
  addDefault("Host", host);
  addDefault("Connection", "close");
  for (const [name, value] of Object.entries(headers)) add(name, value);
  const length = body === undefined ? 0 : Buffer.byteLength(body);
  if (chunks) addDefault("Transfer-Encoding", "chunked");
  else if (body !== undefined || ["POST", "PUT", "PATCH"].includes(method)) addDefault("Content-Length", `${length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return Buffer.concat([head, chunks ? formatChunks(chunks) : Buffer.from(body ?? "")]);
}

/** A whole body in chunks, its end included. */
export function formatChunks(chunks: readonly (string | Uint8Array)[]): Buffer {
  const parts = chunks.flatMap((chunk) => [
    Buffer.from(`${Buffer.byteLength(chunk).toString(16)}\r\n`),
    Buffer.from(chunk),
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/** The bytes of a reply's body, its chunks joined. */
export function bodyOf(reply: RawReply): Buffer {
  const bytes = Buffer.from(reply.body, "latin1");
  return reply.headers["transfer-encoding"]?.toLowerCase() === "chunked" ? joinChunks(bytes) : bytes;
}

/** The content of a whole body in chunks. */
function joinChunks(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (end < 0 || !(size > 0)) break;
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
  return Buffer.concat(parts);
}

/** Sends bytes and goes away, without waiting for an answer. */
export function sendAndHangUp(port: number, bytes: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(port, "127.0.0.1", () => socket.write(bytes, () => socket.destroy()));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => resolve());
  return promise;
}

/** Sends `first`; when what came back holds `cue`, sends `second`; gives all that came until the server closed. */
export function sendInTurns(port: number, first: Uint8Array, cue: string, second: Uint8Array): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  let isSecondSent = false;
  const socket = connect(port, "127.0.0.1", () => socket.write(first));
  const finish = (): void => {
    socket.destroy();
    resolve(text);
  };
  socket.on("data", (part) => {
    text += part.toString("latin1");
    if (isSecondSent || !text.includes(cue)) return;
    isSecondSent = true;
    socket.write(second);
  });
  socket.on("end", finish);
  socket.on("error", finish);
  socket.setTimeout(20_000, finish);
  return promise;
}

/** The replies of a connection in their order; `methods` are those of the requests, since a HEAD's reply has no body. */
export function splitReplies(text: string, methods: readonly string[]): readonly Omit<RawReply, "closed" | "text">[] {
  const replies: Omit<RawReply, "closed" | "text">[] = [];
  let rest = text;
  while (rest !== "") {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) break;
    const [first = "", ...lines] = rest.slice(0, end).split("\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0);
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    rest = rest.slice(end + 4);
    if (status >= 100 && status < 200) continue;
    const isBodiless = methods[replies.length] === "HEAD" || status === 204 || status === 304;
    const length = isBodiless ? 0 : Number(headers["content-length"] ?? rest.length);
    replies.push({ status, headers, body: rest.slice(0, length) });
    rest = rest.slice(length);
  }
  return replies;
}
