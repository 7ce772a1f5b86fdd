/** The registry on a port with node:http, for programs that embed it on Node; Bun's server is in listen.ts. */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Logger } from "../../observe/logger.ts";
import { LIMITS } from "../http/limits.ts";

/** Answers a request that came from `remoteAddress`; never rejects. */
export type Respond = (request: Request, remoteAddress: string | undefined) => Promise<Response>;

export class NodeListener {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens for plain HTTP; port 0 stands for any free port. Rejects with the system's error. */
  static async open(
    { hostname, port }: { readonly hostname: string; readonly port: number },
    respond: Respond,
    log: Logger,
  ): Promise<NodeListener> {
    const server = createServer(
      // Large layers take longer than the five minutes after which Node ends a request.
      { maxHeaderSize: LIMITS.maxHeaderBytes, requestTimeout: 0, keepAliveTimeout: LIMITS.idleSeconds * 1000 },
      (message, response) => {
        answer(message, response, respond).catch((error: unknown) => {
          // The head was sent, so only closing the connection tells the client.
          if (message.destroyed) log.debug({ err: error }, "a client hung up");
          else log.error({ err: error }, "a response broke off");
          response.destroy();
        });
      },
    );
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, hostname, resolve);
    });
    return new NodeListener(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no new connection; resolves when the running requests are answered. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await closed;
  }
}

async function answer(message: IncomingMessage, response: ServerResponse, respond: Respond): Promise<void> {
  const request = requestOf(message, response);
  if (!request) {
    response.writeHead(400).end();
    return;
  }
  const { status, headers, body } = await respond(request, message.socket.remoteAddress);
  response.writeHead(status, [...headers].flat());
  if (body) await pipeline(Readable.fromWeb(body), response);
  else response.end();
}

/** The message as the web has it; undefined when its target and Host make no address, or its method is not for us (TRACE). */
function requestOf(message: IncomingMessage, response: ServerResponse): Request | undefined {
  const { method = "GET", rawHeaders } = message;
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
  const hangUp = new AbortController();
  response.once("close", () => hangUp.abort());
  const hasBody = method !== "GET" && method !== "HEAD";
  try {
    return new Request(`http://${message.headers.host ?? "localhost"}${message.url ?? "/"}`, {
      method,
      headers,
      signal: hangUp.signal,
      ...(hasBody && { body: Readable.toWeb(message), duplex: "half" }),
    });
  } catch {
    return undefined;
  }
}
