/** How a server ends when it is told to: what runs finishes, nothing new begins, and a second signal ends it at once. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomFillSync } from "node:crypto";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { startListening } from "../support/server-process.ts";
import { openConnection, refusesConnections } from "./support/connections.ts";
import { holdUpload } from "./support/held-upload.ts";

setDefaultTimeout(60_000);

/** More than the buffers of two sockets hold. */
const LARGE = 24 * 1024 * 1024;

for (const workers of ["1", "2"])
  describe(`a server that is told to stop (workers: ${workers})`, () => {
    const env = { REGISTRY_WORKERS: workers };

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      test(`ends with exit code 0 (${signal})`, async () => {
        await using server = await startListening({ env });
        await pushImage(server.url, "team/app", "latest");
        server.signal(signal);
        expect(await server.ended).toBe(0);
        expect(server.errors()).toBe("");
        expect(server.output()).toContain(`"signal":"${signal}"`);
      });
    }

    test("ends with exit code 0 as soon as it has said where it listens", async () => {
      for (let round = 0; round < 5; round++) {
        await using server = await startListening({ env });
        expect(await server.stop()).toBe(0);
      }
    });

    test("lets a running upload finish, and takes no new connection", async () => {
      await using server = await startListening({ env });
      const content = bytesOf("half and half", 200_000);
      using upload = await holdUpload(server.url, content);
      server.signal("SIGTERM");
      await server.printed(/"stopping: /);
      await refusesConnections(server.port);
      expect((await upload.finish()).statusCode).toBe(202);
      expect(await server.ended).toBe(0);

      await using next = await startListening({ dataDir: server.dataDir });
      const again = new URL(upload.location.pathname, next.url);
      expect((await fetch(again)).headers.get("range")).toBe("0-199999");
      again.searchParams.set("digest", digestOf(content));
      expect((await fetch(again, { method: "PUT" })).status).toBe(201);
    });

    test("waits for running requests no longer than http.draintimeout", async () => {
      await using server = await startListening({ env: { ...env, REGISTRY_HTTP_DRAINTIMEOUT: "0" } });
      using _upload = await holdUpload(server.url, bytesOf("half", 200_000));
      server.signal("SIGTERM");
      await server.printed(/some requests did not finish in time/);
      expect(await server.ended).toBe(0);
    });

    test("lets a running download finish", async () => {
      await using server = await startListening({ env });
      const digest = await pushBlob(server.url, "team/app", randomFillSync(new Uint8Array(LARGE)));
      const download = await beginDownload(server.port, digest);
      server.signal("SIGTERM");
      await server.printed(/"stopping: /);
      await refusesConnections(server.port);
      const { status, body } = await readToEnd(download);
      expect(status).toBe("HTTP/1.1 200 OK");
      expect(digestOf(body)).toBe(digest);
      expect(await server.ended).toBe(0);
    });

    test("does not wait for connections on which nothing runs", async () => {
      await using server = await startListening({ env });
      const { port } = server;
      const idle = [await openConnection(port), await openConnection(port), await openConnection(port)];
      idle[1]!.write("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"); // answered, and kept alive
      idle[2]!.write("GET /v2/ HTTP/1.1\r\nHost: lo"); // began to speak
      await new Promise((resolve) => idle[1]!.once("data", resolve));
      expect(await server.stop()).toBe(0);
      for (const socket of idle) socket.destroy();
    });

    test("is ended at once by a second signal", async () => {
      await using server = await startListening({ env });
      using _upload = await holdUpload(server.url, bytesOf("never ends", 200_000));
      server.signal("SIGTERM");
      await server.printed(/"stopping: /);
      server.signal("SIGTERM");
      expect(await server.ended).toBe(1);
    });
  });

/** A download whose head has come, and of which no more is read for now. */
async function beginDownload(port: number, digest: string) {
  const socket = await openConnection(port);
  const pieces: Buffer[] = [];
  socket.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  pieces.push(await new Promise<Buffer>((resolve) => socket.once("data", (piece: Buffer) => resolve(piece))));
  socket.pause();
  return { socket, pieces };
}

async function readToEnd({ socket, pieces }: Awaited<ReturnType<typeof beginDownload>>) {
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
  const whole = Buffer.concat(pieces);
  const end = whole.indexOf("\r\n\r\n");
  return { status: whole.subarray(0, whole.indexOf("\r\n")).toString(), body: whole.subarray(end + 4) };
}
