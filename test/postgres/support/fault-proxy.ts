/** A proxy between the program and PostgreSQL, which counts round trips and breaks connections at chosen points. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

/** What the proxy does with bytes: passes them on, ends both sides at once, or keeps them for ever. */
export type Verdict = "pass" | "cut" | "swallow";

export interface ProxyHooks {
  /** Is asked of what the client sent. */
  fromClient?: (bytes: Buffer) => Verdict;
  /** Is asked of what the server answered. */
  fromServer?: (bytes: Buffer) => Verdict;
}

export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  hooks: ProxyHooks = {};
  /** How often the client sent something after the server had answered, or at first: what each costs is a round trip. */
  roundTrips = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Opens a proxy to the port of this machine. */
  static async open(port: number): Promise<FaultProxy> {
    const server = createServer({ noDelay: true });
    const proxy = new FaultProxy(server);
    server.on("connection", (client) => proxy.#serve(client, port));
    server.listen(0, "127.0.0.1");
    await new Promise((resolve) => {
      server.once("listening", resolve);
    });
    return proxy;
  }

  /** The URL, by way of the proxy. */
  url(direct: string): string {
    const url = new URL(direct);
    url.port = String((this.#server.address() as AddressInfo).port);
    return url.href;
  }

  /** Round trips that `work` makes on connections that are open. */
  async count(work: () => Promise<unknown>): Promise<number> {
    const before = this.roundTrips;
    await work();
    return this.roundTrips - before;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket, port: number): void {
    const server = connect({ port, host: "127.0.0.1", noDelay: true });
    let hasAnswered = true;
    const cut = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", cut);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        cut();
      });
    }
    client.on("data", (bytes) => {
      if (hasAnswered) this.roundTrips++;
      hasAnswered = false;
      const verdict = this.hooks.fromClient?.(Buffer.from(bytes)) ?? "pass";
      if (verdict === "pass") server.write(bytes);
      else if (verdict === "cut") cut();
    });
    server.on("data", (bytes) => {
      hasAnswered = true;
      const verdict = this.hooks.fromServer?.(Buffer.from(bytes)) ?? "pass";
      if (verdict === "pass") client.write(bytes);
      else if (verdict === "cut") cut();
    });
  }
}
