/**
 * A wire between clients and a registry that notes what passes. What is said goes through as it is, so a client cannot
 * tell it from the registry itself; on request it breaks a transfer in the middle, once.
 */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { TlsOptions } from "node:tls";
import type { Issued } from "../../support/certificates.ts";
import { MessageReader } from "./message-reader.ts";
import type { Head } from "./message-reader.ts";

/** A request and what is known of its reply by now. */
export interface Exchange {
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes of its body so far, with the framing of chunks. */
  sent: number;
  /** 0 until the registry answers. */
  status: number;
  replyHeaders: Readonly<Record<string, string>>;
  received: number;
}

/** With TLS the wire is an end of both sides: clients take it for the registry, and the registry takes it for a client. */
export interface WireTls {
  /** Where the registry listens, and the wire too: the certificate names no other address. */
  readonly address: string;
  readonly server: Issued;
  /** Who vouches for the registry. */
  readonly ca: string;
  /** Who vouches for clients, and what the wire shows as one of them; clients need no certificate when absent. */
  readonly clients?: { readonly ca: string; readonly own: Issued } | undefined;
}

interface Cut {
  readonly matches: (exchange: Exchange) => boolean;
  readonly side: "sent" | "received";
  readonly afterBytes: number;
}

export class Wire implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #exchanges: Exchange[] = [];
  readonly #tls: WireTls | undefined;
  #registryPort: number;
  #cut: Cut | undefined;

  private constructor(registryPort: number, tls: WireTls | undefined) {
    this.#registryPort = registryPort;
    this.#tls = tls;
    const carry = (client: Socket): void => this.#carry(client);
    // A client may end its side and still read.
    const options = { allowHalfOpen: true };
    this.#server = tls ? createTlsServer({ ...options, ...serverOptions(tls) }, carry) : createServer(options, carry);
  }

  static async open(registryPort: number, tls?: WireTls): Promise<Wire> {
    const wire = new Wire(registryPort, tls);
    const listening = Promise.withResolvers<void>();
    wire.#server.listen(0, tls?.address ?? "127.0.0.1", listening.resolve);
    await listening.promise;
    return wire;
  }

  /** Such as `127.0.0.1:40123`. */
  get name(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  /** All requests so far, in the order in which they began. */
  get exchanges(): readonly Exchange[] {
    return this.#exchanges;
  }

  /** From now on connections lead to the registry on this port. */
  leadTo(registryPort: number): void {
    this.#registryPort = registryPort;
  }

  /** The requests that began while `work` was done. */
  async during(work: () => Promise<unknown>): Promise<readonly Exchange[]> {
    const first = this.#exchanges.length;
    await work();
    return this.#exchanges.slice(first);
  }

  /** Breaks the connection of the next request that matches, once so many bytes of its body have passed. */
  cutRequest(matches: (exchange: Exchange) => boolean, afterBytes: number): void {
    this.#cut = { matches, side: "sent", afterBytes };
  }

  /** Breaks the connection of the next reply that matches, once so many bytes of its body have passed. */
  cutReply(matches: (exchange: Exchange) => boolean, afterBytes: number): void {
    this.#cut = { matches, side: "received", afterBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    for (const socket of this.#sockets) socket.destroy();
    await closed.promise;
  }

  #carry(client: Socket): void {
    const registry = this.#connect();
    const destroy = (): void => {
      client.destroy();
      registry.destroy();
    };
    for (const socket of [client, registry]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", destroy);
      socket.on("close", () => this.#sockets.delete(socket));
    }
    this.#note(client, registry, destroy);
    client.pipe(registry);
    registry.pipe(client);
  }

  #connect(): Socket {
    const [tls, options] = [this.#tls, { port: this.#registryPort, allowHalfOpen: true }];
    if (!tls) return connect({ ...options, host: "127.0.0.1" });
    return connectTls({ ...options, host: tls.address, ca: tls.ca, ...tls.clients?.own });
  }

  /** Reads along on both sides of one connection. */
  #note(client: Socket, registry: Socket, destroy: () => void): void {
    const unanswered: Exchange[] = [];
    let asking: Exchange | undefined;
    let answering: Exchange | undefined;
    const requests = new MessageReader(
      (head) => {
        asking = exchangeOf(head);
        unanswered.push(asking);
        this.#exchanges.push(asking);
        return "as-framed";
      },
      (bytes) => {
        if (asking) asking.sent += bytes;
        this.#cutIfDue("sent", asking, destroy);
      },
    );
    const replies = new MessageReader(
      (head) => {
        const [, status = "0"] = head.first.split(" ");
        if (status.startsWith("1")) return "none"; // an interim reply: the real one is yet to come
        answering = unanswered.shift();
        if (!answering) return "as-framed";
        answering.status = Number(status);
        answering.replyHeaders = head.headers;
        return answering.method === "HEAD" || status === "204" || status === "304" ? "none" : "as-framed";
      },
      (bytes) => {
        if (answering) answering.received += bytes;
        this.#cutIfDue("received", answering, destroy);
      },
    );
    client.on("data", (bytes) => requests.feed(bytes as Buffer));
    registry.on("data", (bytes) => replies.feed(bytes as Buffer));
  }

  #cutIfDue(side: Cut["side"], exchange: Exchange | undefined, destroy: () => void): void {
    const cut = this.#cut;
    if (!cut || !exchange || cut.side !== side || exchange[side] < cut.afterBytes || !cut.matches(exchange)) return;
    this.#cut = undefined;
    destroy();
  }
}

function serverOptions({ server, clients }: WireTls): TlsOptions {
  return clients ? { ...server, ca: clients.ca, requestCert: true, rejectUnauthorized: true } : server;
}

function exchangeOf(head: Head): Exchange {
  const [method = "", target = ""] = head.first.split(" ");
  return { method, target, headers: head.headers, sent: 0, status: 0, replyHeaders: {}, received: 0 };
}

/** The requests that send content: each kind of upload, but not a blob that is mounted from another repository. */
export function uploadsIn(exchanges: readonly Exchange[]): readonly Exchange[] {
  return exchanges.filter(
    ({ method, target, status }) =>
      /\/blobs\/uploads\//.test(target) &&
      ["POST", "PATCH", "PUT"].includes(method) &&
      status !== 401 && // asked again when it is known who asks
      !isMount({ target, status }),
  );
}

/** The requests by which a blob of another repository became one of this repository. */
export function mountsIn(exchanges: readonly Exchange[]): readonly Exchange[] {
  return exchanges.filter((exchange) => exchange.method === "POST" && isMount(exchange));
}

/** The requests that fetch a blob or parts of it. */
export function blobReadsIn(exchanges: readonly Exchange[]): readonly Exchange[] {
  return exchanges.filter(({ method, target }) => method === "GET" && /\/blobs\/sha256:/.test(target));
}

function isMount({ target, status }: { readonly target: string; readonly status: number }): boolean {
  return /[?&]mount=/.test(target) && status === 201;
}
