import { afterAll, describe, expect, test } from "bun:test";
import { Connection } from "./connection.ts";

/** Answers each request with the pieces that its path asks for, `|` between them, and counts what bodies brought. */
const received = { bytes: 0 };
const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    async data(socket, bytes) {
      received.bytes += bytes.length;
      const target = /^\w+ (\S+) HTTP/.exec(bytes.toString("latin1"))?.[1];
      if (target === undefined) return;
      for (const piece of decodeURIComponent(target).split("|")) {
        socket.write(piece);
        socket.flush();
        await Bun.sleep(5); // so that the pieces arrive one by one
      }
    },
  },
});
afterAll(() => server.stop(true));

const asking = (...pieces: string[]): string => encodeURIComponent(pieces.join("|"));

describe("a connection", () => {
  test("reads replies however they were cut, one after the other", async () => {
    using connection = await Connection.open(server.port);
    const target = asking("HTTP/1.1 202 Acc", "epted\r\nLocation: /there\r\nContent-Le", "ngth: 4\r\n\r\nab", "cd");
    for (let round = 0; round < 3; round++) {
      const reply = await connection.request(202, "POST", target);
      expect(reply).toEqual({ status: 202, location: "/there", bodyBytes: 4 });
    }
  });

  test("waits for no body after HEAD", async () => {
    using connection = await Connection.open(server.port);
    const target = asking("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    expect((await connection.request(200, "HEAD", target)).bodyBytes).toBe(0);
  });

  test("gives the body to who wants it, as it comes", async () => {
    using connection = await Connection.open(server.port);
    let body = "";
    const target = asking("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nab", "cd", "ef");
    const reply = await connection.exchange("GET", target, { onBody: (bytes) => (body += bytes.toString()) });
    expect(reply.status).toBe(404);
    expect(body).toBe("abcdef");
  });

  test("is closed by a reply whose end it cannot know, and then refuses to ask", async () => {
    using connection = await Connection.open(server.port);
    expect(connection.isOpen).toBe(true);
    await expect(connection.request(200, "GET", asking("HTTP/1.1 200 OK\r\n\r\n"))).rejects.toThrow("without a length");
    expect(connection.isOpen).toBe(false);
    await expect(connection.request(200, "GET", "/")).rejects.toThrow("closed");
  });

  test("rejects when the status is another one", async () => {
    using connection = await Connection.open(server.port);
    const target = asking("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    await expect(connection.request(200, "GET", target)).rejects.toThrow("404");
  });

  test("sends a body that is bigger than what the socket takes at once", async () => {
    using connection = await Connection.open(server.port);
    const before = received.bytes;
    const body = [new Uint8Array(8 * 2 ** 20), new Uint8Array(8 * 2 ** 20)];
    await connection.request(200, "PUT", asking("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), body);
    // The answer came early, and what is on its way still arrives.
    while (received.bytes - before < 16 * 2 ** 20) await Bun.sleep(1);
    expect(received.bytes - before).toBeLessThan(16 * 2 ** 20 + 1000);
  });
});
