/** HTTP/1.1 on one plain socket that is kept open. Response bodies are discarded. */
import type { Socket } from "bun";

export interface Reply {
  readonly status: number;
  /** As it was sent: a path or a whole address. */
  readonly location: string | undefined;
  readonly bodyBytes: number;
}

export interface Outgoing {
  readonly body?: readonly Uint8Array[];
  /** Lines of the head, each with its end. */
  readonly headers?: string;
  /** Called with the body of the reply as it comes. */
  readonly onBody?: ((bytes: Buffer) => void) | undefined;
}

export class Connection implements Disposable {
  readonly #port: number;
  #socket: Socket | undefined;
  /** What has come of the head of a reply that is not complete. */
  #head: Buffer = NOTHING;
  /** The reply whose body is still coming. */
  #reply: Reply | undefined;
  #missingBytes = 0;
  #isBodiless = false;
  #waiting: PromiseWithResolvers<Reply> | undefined;
  #room: PromiseWithResolvers<void> | undefined;
  #onBody: Outgoing["onBody"];
  #isClosed = false;

  private constructor(port: number) {
    this.#port = port;
  }

  static async open(port: number): Promise<Connection> {
    const connection = new Connection(port);
    const close = (): void => connection.#close();
    connection.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => connection.#take(bytes),
        drain: () => connection.#room?.resolve(),
        error: close,
        close,
        end: close,
      },
    });
    return connection;
  }

  /** False when no more can be asked on it. */
  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** Sends a request and gives the reply, whose status must be `expected`. One at a time. */
  async request(
    expected: number,
    method: string,
    target: string,
    body: readonly Uint8Array[] = [],
    headers = "",
  ): Promise<Reply> {
    const reply = await this.exchange(method, target, { body, headers });
    if (reply.status !== expected) throw new Error(`${method} ${target} was answered with ${reply.status}`);
    return reply;
  }

  /** Sends a request and gives the reply, whatever its status. One at a time. */
  async exchange(method: string, target: string, { body = [], headers = "", onBody }: Outgoing = {}): Promise<Reply> {
    if (this.#isClosed) throw new Error(CLOSED);
    const length = body.reduce((sum, piece) => sum + piece.length, 0);
    const waiting = Promise.withResolvers<Reply>();
    this.#waiting = waiting;
    waiting.promise.catch(() => undefined); // it may fail while the body is still on its way
    const lengthLine = method === "GET" || method === "HEAD" ? "" : `Content-Length: ${length}\r\n`;
    const head = Buffer.from(
      `${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\n${lengthLine}${headers}\r\n`,
    );
    this.#isBodiless = method === "HEAD";
    this.#onBody = onBody;
    if (length > 0 && length < SMALL_BYTES) await this.#write(Buffer.concat([head, ...body]));
    else for (const piece of [head, ...body]) await this.#write(piece);
    return await waiting.promise;
  }

  [Symbol.dispose](): void {
    this.#close();
    this.#socket?.end();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; ;) {
      if (this.#isClosed) throw new Error(CLOSED);
      rest = rest.subarray(this.#socket?.write(rest));
      if (rest.length === 0) return;
      this.#room = Promise.withResolvers();
      await this.#room.promise;
    }
  }

  #take(bytes: Buffer): void {
    let body = bytes;
    if (this.#reply === undefined) {
      const all = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
      const end = all.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#head = Buffer.from(all);
        return;
      }
      this.#head = NOTHING;
      const reply = parseHead(all.toString("latin1", 0, end), this.#isBodiless);
      body = all.subarray(end + 4);
      if (reply instanceof Error) return this.#close(reply);
      if (reply.status === 100) return this.#take(body);
      this.#reply = reply;
      this.#missingBytes = reply.bodyBytes;
    }
    this.#missingBytes -= body.length;
    if (body.length > 0) this.#onBody?.(body);
    if (this.#missingBytes > 0) return;
    const reply = this.#reply;
    this.#reply = undefined;
    this.#waiting?.resolve(reply);
  }

  /** Nothing that was under way can be answered any more. */
  #close(error = new Error(CLOSED)): void {
    this.#isClosed = true;
    this.#waiting?.reject(error);
    this.#room?.reject(error);
  }
}

const CLOSED = "the connection was closed";

const NOTHING = Buffer.alloc(0);

/** Up to here a copy is cheaper than a second write. */
const SMALL_BYTES = 64 * 1024;

function parseHead(head: string, isBodiless: boolean): Reply | Error {
  const status = Number(head.slice(9, 12));
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  const mayHaveBody = !isBodiless && status !== 204 && status !== 100;
  if (mayHaveBody && length === undefined) return new Error(`a reply without a length:\n${head}`);
  return {
    status,
    location: /\r\nlocation: *(\S+)/i.exec(head)?.[1],
    bodyBytes: mayHaveBody ? Number(length) : 0,
  };
}
