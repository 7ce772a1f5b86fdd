/** A registry inside another program on a port, with the server that its runtime has. */
import type { Logger } from "../../observe/logger.ts";
import type { Handler } from "../http/handler.ts";
import { openedOrRefused } from "../http/error-reply.ts";
import { streamFile, toResponse } from "../http/reply.ts";

/** Where `registry.listen` listens. */
export interface ListenOptions {
  /** `127.0.0.1` when absent: only programs of this machine reach it. */
  readonly hostname?: string;
  /** Any free port when absent or 0. */
  readonly port?: number;
  /**
   * What a registry that asks for no login does, on an address of this machine alone, with requests that pages of other web
   * sites make a browser send, and with names that are not its own. Refused with `DENIED` when absent.
   */
  readonly otherSites?: "refused" | "served";
}

interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** A registry on a port. */
export interface RegistryListener extends AsyncDisposable {
  /** Such as `http://127.0.0.1:41327`. */
  readonly url: string;
  /** As names of images begin: `127.0.0.1:41327`. */
  readonly host: string;
  readonly port: number;
  /** Takes no new connection, and resolves when the running requests are answered. */
  close(): Promise<void>;
}

/** Listens in the clear. Rejects with the reason when the address cannot be listened on. */
export async function listenOnRuntime(
  handle: Handler,
  log: Logger,
  { hostname, port }: Place,
): Promise<RegistryListener> {
  const open = process.versions["bun"] === undefined ? listenOnNode : listenOnBun;
  const opened = await open({ hostname, port }, handle, log);
  const host = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${opened.port}`;
  let stopped: Promise<unknown> | undefined;
  const close = async (): Promise<void> => {
    await (stopped ??= opened.stop());
  };
  return { url: `http://${host}`, host, port: opened.port, close, [Symbol.asyncDispose]: close };
}

interface Opened {
  readonly port: number;
  stop(): Promise<unknown>;
}

/** The module of the other runtime is not loaded. */
async function listenOnNode(place: Place, handle: Handler, log: Logger): Promise<Opened> {
  const { NodeListener } = await import("./node-listener.ts");
  const respond = async (request: Request, peer: string | undefined): Promise<Response> => {
    const reply = await handle(request, undefined, peer);
    return toResponse(await openedOrRefused(reply, request.method, log), request.method, streamFile);
  };
  return await NodeListener.open(place, respond, log);
}

async function listenOnBun(place: Place, handle: Handler, log: Logger): Promise<Opened> {
  const { listen } = await import("./listen.ts");
  const listening = await listen({ kind: "tcp", ...place }, handle, { log });
  const { address } = listening;
  return { port: address.kind === "tcp" ? address.port : place.port, stop: () => listening.stop() };
}
