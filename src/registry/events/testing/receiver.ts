/** A receiver of events, for tests: over a real socket, and as unhelpful as a test wants it to be. */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { RegistryEvent } from "../event.ts";

export interface Delivery {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly event: RegistryEvent;
}

/** What a receiver does with a delivery: the status that it answers, or no answer at all. */
export type Answer = (delivery: Delivery, at: number) => number | "breaks" | "hangs";

export class Receiver implements AsyncDisposable {
  /** Every try, in order. */
  readonly tries: Delivery[] = [];
  /** Those that were answered with 2xx or 3xx. */
  readonly taken: Delivery[] = [];
  readonly #server: Server;
  readonly #port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  static async start(answer: Answer = () => 200, port = 0): Promise<Receiver> {
    let receiver: Receiver | undefined;
    const server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const body = Buffer.concat(pieces).toString();
        const parsed = JSON.parse(body) as { events?: RegistryEvent[]; data: RegistryEvent };
        const event = parsed.events?.[0] ?? parsed.data;
        const delivery = { headers: request.headers, body, event };
        const status = answer(delivery, receiver?.tries.push(delivery) ?? 0);
        if (status === "breaks") return void request.socket.destroy();
        if (status === "hangs") return;
        if (status < 400) receiver?.taken.push(delivery);
        response.writeHead(status).end("thanks");
      });
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    receiver = new Receiver(server);
    return receiver;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/events`;
  }

  /** What was taken, each id once, in the order in which it first came. */
  get events(): readonly RegistryEvent[] {
    return [...new Map(this.taken.map(({ event }) => [event.id, event])).values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
