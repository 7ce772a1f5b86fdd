/** A proxy before several replicas, as a load balancer without sticky sessions is: each request goes to the next replica. */
import { createServer, request as forward } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Uploads whose last replica is known; those that began long ago may stay where they are for a request. */
const MOST_UPLOADS = 10_000;

export class RoundRobin implements AsyncDisposable {
  readonly #server: Server;
  readonly #replicas: readonly URL[];
  /** The number of the replica that had the last request of an upload. */
  readonly #lastOf = new Map<string, number>();
  #next = 0;
  /** Replicas that get no requests: what a health check says after a moment. */
  readonly down = new Set<number>();
  /** How many requests of an upload went to another replica than the one before. */
  moves = 0;

  private constructor(replicas: readonly string[]) {
    this.#replicas = replicas.map((url) => new URL(url));
    this.#server = createServer((asked, answer) => this.#serve(asked, answer));
  }

  static async open(replicas: readonly string[]): Promise<RoundRobin> {
    const proxy = new RoundRobin(replicas);
    const listening = Promise.withResolvers<void>();
    proxy.#server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(asked: IncomingMessage, answer: ServerResponse): void {
    const upload = uploadIn(asked.url);
    const at = this.#choose(upload);
    const replica = this.#replicas[at];
    if (!replica) return void answer.writeHead(503).end();
    if (upload !== undefined) this.#remember(upload, at);
    const { hostname, port } = replica;
    const passed = forward({ hostname, port, method: asked.method, path: asked.url, headers: asked.headers });
    passed.on("response", (given) => {
      const begun = uploadIn(given.headers.location);
      if (begun !== undefined && upload === undefined) this.#remember(begun, at);
      answer.writeHead(given.statusCode ?? 502, given.headers as OutgoingHttpHeaders);
      given.on("error", () => answer.destroy());
      given.on("aborted", () => answer.destroy());
      given.pipe(answer);
    });
    passed.on("error", () => {
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(502).end();
    });
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }

  #choose(upload: string | undefined): number {
    const last = upload === undefined ? undefined : this.#lastOf.get(upload);
    let at = this.#next++ % this.#replicas.length;
    for (let tried = 0; tried < this.#replicas.length; tried++, at = (at + 1) % this.#replicas.length) {
      if (!this.down.has(at) && at !== last) break;
    }
    if (last !== undefined && at !== last) this.moves++;
    return at;
  }

  #remember(upload: string, at: number): void {
    this.#lastOf.delete(upload);
    this.#lastOf.set(upload, at);
    const [oldest] = this.#lastOf.keys();
    if (this.#lastOf.size > MOST_UPLOADS && oldest !== undefined) this.#lastOf.delete(oldest);
  }
}

function uploadIn(path: string | undefined): string | undefined {
  return /\/blobs\/uploads\/([0-9a-f-]{36})/.exec(path ?? "")?.[1];
}
