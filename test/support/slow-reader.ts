/** A client that reads the beginning of a reply, and the rest when it is told to. */
import { connect } from "node:net";

export interface SlowReader {
  /** Reads on until the server ends the connection; gives the length that was announced and the body that came. */
  finish(): Promise<{ readonly length: number; readonly body: Uint8Array }>;
}

/** Sends a GET; resolves when the beginning of the reply is here. What comes after it waits in the server. */
export async function startReading(port: number, path: string): Promise<SlowReader> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => {
    if (pieces.push(piece) === 1) socket.pause();
    begun.resolve();
  });
  socket.on("error", begun.reject);
  socket.on("close", () => ended.resolve());
  await begun.promise;
  return {
    async finish() {
      socket.resume();
      await ended.promise;
      const all = Buffer.concat(pieces);
      const end = all.indexOf("\r\n\r\n") + 4;
      const length = Number(/^content-length: (\d+)/im.exec(all.toString("latin1", 0, end))?.[1]);
      return { length, body: all.subarray(end) };
    },
  };
}
