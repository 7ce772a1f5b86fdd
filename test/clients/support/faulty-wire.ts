/**
 * A wire between clients and a registry that does harm: it loses messages, cuts them in two, sends them twice, keeps them
 * waiting, or changes what the registry answers. It holds each message until it is whole, so it is for small images.
 */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { MessageReader } from "./message-reader.ts";

/** What happens to one request and its reply. */
export type Fault =
  /** The registry never hears of the request. */
  | { readonly kind: "request lost" }
  /** The registry gets half of the request. */
  | { readonly kind: "request cut" }
  /** The registry does what it was asked, and the client never hears of it. */
  | { readonly kind: "reply lost" }
  /** The client gets half of the reply. */
  | { readonly kind: "reply cut" }
  /** The registry gets the request twice, and the client the second reply. */
  | { readonly kind: "repeated" }
  | { readonly kind: "delayed"; readonly delayMs: number };

/** Which request suffers: one of them, counted from 0, or each. */
type Place = number | "every";

/** A request that has passed, as `GET /v2/`, and the status that it was answered with. */
export interface Passed {
  readonly request: string;
  readonly status: number;
}

/** Gives a reply's head, with its status line and without the empty line, as the client is to see it. */
export type Change = (request: string, head: string) => string;

export class FaultyWire implements AsyncDisposable {
  readonly #server: Server;
  readonly #registryPort: number;
  readonly #sockets = new Set<Socket>();
  #passed: Passed[] = [];
  #fault: { readonly at: Place; readonly fault: Fault } | undefined;
  #change: Change | undefined;

  private constructor(registryPort: number) {
    this.#registryPort = registryPort;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#serve(client));
  }

  static async open(registryPort: number): Promise<FaultyWire> {
    const wire = new FaultyWire(registryPort);
    const listening = Promise.withResolvers<void>();
    wire.#server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return wire;
  }

  /** What stands before the repository in a reference, such as `127.0.0.1:40123`. */
  get name(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Does `work` while a request suffers a fault; gives all requests that came. */
  async during(work: () => Promise<unknown>, at?: Place, fault?: Fault): Promise<readonly Passed[]> {
    this.#passed = [];
    this.#fault = at === undefined || fault === undefined ? undefined : { at, fault };
    await work();
    return this.#passed;
  }

  /** Does `work` while every reply is changed. */
  async changing(change: Change, work: () => Promise<unknown>): Promise<void> {
    this.#change = change;
    try {
      await work();
    } finally {
      this.#change = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    for (const socket of this.#sockets) socket.destroy();
    await closed.promise;
  }

  #serve(client: Socket): void {
    this.#sockets.add(client);
    client.on("error", () => client.destroy());
    client.on("close", () => this.#sockets.delete(client));
    let request = "";
    let pieces: Buffer[] = [];
    const reader = new MessageReader(
      ({ first }) => {
        request = first.replace(/ HTTP\/1\.[01]$/, "");
        return "as-framed";
      },
      () => undefined,
    );
    client.on("data", (piece) => {
      pieces.push(piece as Buffer);
      reader.feed(piece as Buffer);
      if (reader.isSpeakingTls) client.destroy(); // as by a port that speaks no TLS
      if (!reader.isBetweenMessages) return;
      const message = Buffer.concat(pieces);
      pieces = [];
      void this.#answer(client, request, message);
    });
    client.on("end", () => client.end());
  }

  async #answer(client: Socket, request: string, message: Buffer): Promise<void> {
    const number = this.#passed.length;
    const passed = { request, status: 0 };
    this.#passed.push(passed);
    const isDue = this.#fault?.at === number || this.#fault?.at === "every";
    const fault = isDue ? this.#fault?.fault : undefined;
    if (fault?.kind === "request lost") return void client.destroy();
    if (fault?.kind === "request cut") {
      await this.#cut(message.subarray(0, message.length / 2));
      return void client.destroy();
    }
    if (fault?.kind === "repeated") await this.#ask(message, request);
    if (fault?.kind === "delayed") await Bun.sleep(fault.delayMs);
    const reply = this.#changed(request, await this.#ask(message, request));
    passed.status = Number(reply.toString("latin1", 9, 12));
    if (fault?.kind === "reply lost") return void client.destroy();
    if (fault?.kind !== "reply cut") return void client.write(reply);
    client.write(reply.subarray(0, reply.length / 2), () => client.destroy());
  }

  /** Sends a message on a connection of its own and gives the whole reply. */
  #ask(message: Buffer, request: string): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const pieces: Buffer[] = [];
    const registry = connect(this.#registryPort, "127.0.0.1", () => registry.write(message));
    const reader = new MessageReader(
      ({ first }) => (request.startsWith("HEAD ") || / (?:204|304) /.test(first) ? "none" : "as-framed"),
      () => undefined,
    );
    registry.on("data", (piece) => {
      pieces.push(piece as Buffer);
      reader.feed(piece as Buffer);
      if (!reader.isBetweenMessages) return;
      registry.destroy();
      resolve(Buffer.concat(pieces));
    });
    registry.on("error", reject);
    registry.on("end", () => reject(new Error(`${request}: the registry closed before it had answered`)));
    return promise;
  }

  /** Sends a part of a message and breaks the connection; resolves when the registry has taken the part. */
  async #cut(part: Buffer): Promise<void> {
    const sent = Promise.withResolvers<void>();
    const registry = connect(this.#registryPort, "127.0.0.1", () => registry.write(part, () => sent.resolve()));
    registry.on("error", () => sent.resolve());
    await sent.promise;
    registry.destroy();
  }

  #changed(request: string, reply: Buffer): Buffer {
    if (!this.#change) return reply;
    const end = reply.indexOf("\r\n\r\n");
    const head = this.#change(request, reply.toString("latin1", 0, end));
    return Buffer.concat([Buffer.from(head, "latin1"), reply.subarray(end)]);
  }
}
