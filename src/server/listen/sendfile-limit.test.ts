/** Long sends of the kernel are interrupted, and what is sent stays whole. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../observe/logger.ts";
import { listen } from "./listen.ts";
import { SendfileLimit } from "./sendfile-limit.ts";

setDefaultTimeout(60_000);

const SIZE = 64 * 1024 * 1024;

/** Keeps the main thread busy, as a long send does. */
function spinUntil(isDone: () => boolean, milliseconds: number): void {
  const deadline = performance.now() + milliseconds;
  while (!isDone() && performance.now() < deadline);
}

/** Runs a text as the program of another process, which gets the arguments. */
function program(text: string, ...args: string[]): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  return Bun.spawn([process.execPath, "-e", text, ...args], { stdout: "pipe" });
}

describe.skipIf(process.platform !== "linux")("a busy main thread", () => {
  test("gets signals while files are being sent", async () => {
    using limit = new SendfileLimit();
    await limit.start();
    limit.isSending = true;
    spinUntil(() => limit.signals >= 3, 30_000);
    expect(limit.signals).toBeGreaterThanOrEqual(3);
  });

  test("gets none before the first file and after the last one", async () => {
    using limit = new SendfileLimit();
    await limit.start();
    spinUntil(() => false, 20);
    expect(limit.signals).toBe(0);
    limit.isSending = true;
    spinUntil(() => limit.signals > 0, 30_000);
    limit.isSending = false;
    let signals: number;
    do {
      ({ signals } = limit);
      await Bun.sleep(100); // the thread may have looked before, and be late
    } while (limit.signals !== signals);
    spinUntil(() => false, 20);
    expect(limit.signals).toBe(signals);
  });

  test("has one thread, however often it is started", async () => {
    using limit = new SendfileLimit();
    await Promise.all([limit.start(), limit.start()]);
    expect(limit.start()).toBeUndefined();
    expect(process.listenerCount("SIGURG")).toBe(1);
  });
});

test("files that are interrupted all the time arrive whole, one after the other on a connection", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stowage-sendfile-"));
  try {
    const path = join(folder, "file");
    const bytes = Buffer.alloc(SIZE);
    for (let at = 0; at < SIZE; at += 4096) bytes.writeUInt32LE(at, at);
    await Bun.write(path, bytes);
    const digest = Bun.SHA256.hash(bytes, "hex");
    const reply = {
      status: 200,
      headers: { "content-length": String(SIZE) },
      body: { kind: "file", path, range: { start: 0, end: SIZE - 1 } },
    } as const;
    const listening = await listen({ kind: "tcp", hostname: "127.0.0.1", port: 0 }, () => reply, {
      log: silentLogger(),
    });
    const noise = program(`const pid = ${process.pid}; for (;;) { process.kill(pid, "SIGURG"); Bun.sleepSync(0.05); }`);
    const client = program(
      `for (let n = 0; n < 4; n++) {
        const reply = await fetch(process.argv[1]);
        const hash = new Bun.CryptoHasher("sha256");
        for await (const piece of reply.body) hash.update(piece);
        console.log(reply.headers.get("content-length"), hash.digest("hex"));
      }`,
      listening.url,
    );
    const received = await new Response(client.stdout).text();
    noise.kill("SIGKILL");
    await listening.stop();
    expect(received.trim().split("\n")).toEqual(Array<string>(4).fill(`${SIZE} ${digest}`));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
