/** HEAD on plain sockets: wrk would wait for the body. */
import type { Socket } from "bun";
import { ACCEPT, latencyOf } from "./load.ts";
import type { Load } from "./load.ts";

export interface HeadOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
}

/** Each connection asks again as soon as it has its answer. Rejects when one was not 200. */
export async function head({ port, path, connections, seconds }: HeadOptions): Promise<Load> {
  const request = Buffer.from(`HEAD ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: ${ACCEPT}\r\n\r\n`);
  const success = Buffer.from("HTTP/1.1 200 ");
  const millis: number[] = [];
  const finished = Promise.withResolvers<void>();
  const sentAt = new Map<Socket, number>();
  const started = performance.now();
  const until = started + seconds * 1000;
  let open = connections;
  const send = (socket: Socket): void => {
    sentAt.set(socket, performance.now());
    socket.write(request);
  };
  const take = (socket: Socket, bytes: Buffer): void => {
    // One request is under way, so what has arrived is one answer: all of it when it ends with an empty line.
    if (bytes.compare(success, 0, success.length, 0, success.length) !== 0 || bytes.at(-4) !== 13) {
      return finished.reject(new Error(`HEAD ${path} was answered with ${bytes.toString("latin1")}`));
    }
    const now = performance.now();
    millis.push(now - sentAt.get(socket)!);
    if (now < until) return send(socket);
    socket.end();
    if (--open === 0) finished.resolve();
  };
  const close = (): void => finished.reject(new Error(`a connection was closed during HEAD ${path}`));
  const sockets = Array.from({ length: connections }, () =>
    Bun.connect({ hostname: "127.0.0.1", port, socket: { open: send, data: take, error: close, end: close } }),
  );
  await Promise.all(sockets);
  await finished.promise;
  const took = (performance.now() - started) / 1000;
  return { operations: millis.length, seconds: took, bytes: 0, latencyMs: latencyOf(millis) };
}
