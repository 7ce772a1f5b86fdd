/** Requests written by hand on a socket, for what no HTTP client would send. */
import { connect } from "node:net";

export interface RawReply {
  /** 0 when the server closed without an answer. */
  readonly status: number;
  /** Names in lower case; a header that came several times is joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** All that arrived. */
  readonly text: string;
  /** Whether the server closed the connection before the time was over. */
  readonly closed: boolean;
}

/**
 * Sends `bytes` and gives what came back: until the server closes, until the first reply is complete, or until
 * `timeoutMs` of silence.
 */
export function sendRaw(
  port: number,
  bytes: string | Uint8Array,
  options: { readonly timeoutMs?: number; readonly wholeConnection?: boolean } = {},
): Promise<RawReply> {
  const { timeoutMs = 3000, wholeConnection = false } = options;
  const { promise, resolve } = Promise.withResolvers<RawReply>();
  const parts: Buffer[] = [];
  const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
  const finish = (closed: boolean): void => {
    socket.destroy();
    resolve({ ...parseReply(Buffer.concat(parts).toString("latin1")), closed });
  };
  socket.setTimeout(timeoutMs, () => finish(false));
  socket.on("data", (part: Buffer) => {
    parts.push(part);
    if (!wholeConnection && isComplete(Buffer.concat(parts).toString("latin1"))) finish(false);
  });
  socket.on("end", () => finish(true));
  socket.on("error", () => finish(true));
  return promise;
}

function isComplete(text: string): boolean {
  const { headers, body, status } = parseReply(text);
  if (!text.includes("\r\n\r\n")) return false;
  if (status === 204 || status === 304) return true;
  return headers["content-length"] !== undefined && body.length >= Number(headers["content-length"]);
}

function parseReply(text: string): Omit<RawReply, "closed"> {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0), headers, body: rest.join("\r\n\r\n"), text };
}
