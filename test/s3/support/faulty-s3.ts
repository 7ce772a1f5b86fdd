/** A proxy before S3 that does harm to chosen requests, and counts them. It forwards bytes as they come. */
import { createServer, request as forward } from "node:http";
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What happens to one request. */
export type Fault =
  /** S3 says that it is asked too often, and does nothing. */
  | { readonly kind: "slow down" }
  /** S3 does nothing, and the connection is reset. */
  | { readonly kind: "reset" }
  /** S3 does what it was asked, and its answer never comes. */
  | { readonly kind: "answer lost" }
  /** The answer ends after so many bytes of its body. */
  | { readonly kind: "truncated"; readonly afterBytes: number }
  /** The request never arrives, and its connection stays. */
  | { readonly kind: "held"; arrived(): void }
  /** S3 says that there is no such object. */
  | { readonly kind: "not found" };

/** A request as `PUT part`, `POST complete`, `GET object` … */
export type Call = `${string} ${"object" | "part" | "copy" | "create" | "complete" | "abort" | "list" | "uploads"}`;

export class FaultyS3 implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  #faults: { readonly matches: (call: Call, path: string) => boolean; readonly fault: Fault; left: number }[] = [];
  /** All requests in their order. */
  readonly calls: Call[] = [];
  /** Bytes of request bodies that S3 has not answered for yet, now and at most. */
  inFlight = 0;
  mostInFlight = 0;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((asked, answer) => this.#serve(asked, answer));
  }

  static async open(target: string): Promise<FaultyS3> {
    const proxy = new FaultyS3(target);
    const listening = Promise.withResolvers<void>();
    proxy.#server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Harms the next `times` requests that match. */
  harm(fault: Fault, matches: (call: Call, path: string) => boolean, times = 1): void {
    this.#faults.push({ matches, fault, left: times });
  }

  /** Holds all requests of that kind from now on; resolves when there is one. */
  held(call: Call): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.harm({ kind: "held", arrived: resolve }, (each) => each === call, Infinity);
    return promise;
  }

  /** How many requests of that kind there were. */
  count(call: Call): number {
    return this.calls.filter((each) => each === call).length;
  }

  reset(): void {
    this.#faults = [];
    this.calls.length = 0;
    this.mostInFlight = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(asked: IncomingMessage, answer: ServerResponse): void {
    const call = callOf(asked);
    this.calls.push(call);
    const found = this.#faults.find(({ matches, left }) => left > 0 && matches(call, asked.url ?? ""));
    if (found) found.left -= 1;
    const fault = found?.fault;
    if (fault?.kind === "held") return fault.arrived();
    if (fault?.kind === "reset") return void asked.socket.resetAndDestroy();
    if (fault?.kind === "slow down") return refuse(asked, answer, 503, "SlowDown");
    if (fault?.kind === "not found") return refuse(asked, answer, 404, "NoSuchKey");
    const bytes = asked.method === "PUT" || asked.method === "POST" ? Number(asked.headers["content-length"] ?? 0) : 0;
    this.inFlight += bytes;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    const { hostname, port } = this.#target;
    const passed = forward({ hostname, port, method: asked.method, path: asked.url, headers: asked.headers });
    passed.on("response", (given) => {
      this.inFlight -= bytes;
      if (fault?.kind === "answer lost") {
        given.resume();
        given.on("end", () => asked.socket.resetAndDestroy());
        return;
      }
      answer.writeHead(given.statusCode ?? 500, given.headers as OutgoingHttpHeaders);
      if (fault?.kind === "truncated") cutOff(given, answer, fault.afterBytes);
      else given.pipe(answer);
    });
    passed.on("error", () => asked.socket.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }
}

function cutOff(given: IncomingMessage, answer: ServerResponse, afterBytes: number): void {
  let left = afterBytes;
  given.on("data", (piece: Buffer) => {
    if (left <= 0) return;
    const taken = piece.subarray(0, left);
    left -= taken.length;
    answer.write(taken, () => {
      if (left <= 0) answer.socket?.destroy();
    });
  });
  given.on("end", () => answer.end());
}

function refuse(asked: IncomingMessage, answer: ServerResponse, status: number, code: string): void {
  asked.resume();
  asked.on("end", () => {
    answer.writeHead(status, { "content-type": "application/xml" });
    answer.end(
      asked.method === "HEAD" ? undefined : `<Error><Code>${code}</Code><Message>said the test</Message></Error>`,
    );
  });
}

function callOf({ method = "GET", url = "", headers }: IncomingMessage): Call {
  const { searchParams: query } = new URL(url, "http://s3");
  if (query.has("list-type")) return `${method} list`;
  if (query.has("uploads")) return method === "POST" ? `${method} create` : `${method} uploads`;
  if (headers["x-amz-copy-source"] !== undefined) return `${method} copy`;
  if (query.has("partNumber")) return `${method} part`;
  if (query.has("uploadId"))
    return method === "POST" ? `${method} complete` : method === "DELETE" ? `${method} abort` : `${method} uploads`;
  return `${method} object`;
}
