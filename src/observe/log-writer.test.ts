/** The log's way to a file: lines arrive whole and in order, or are dropped and counted; no request waits. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { openFifo } from "../../test/support/fifo.ts";
import { scratchFolder } from "../../test/support/scratch.ts";
import { LogWriter } from "./log-writer.ts";
import type { DroppedLines } from "./log-writer.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();

/** As the writer is made by the log, and all that it has told of. */
function writerOf(file: number) {
  const writer = new LogWriter(file, ({ lines, auditLines }, reason) => `lost ${lines} ${auditLines} ${reason}\n`);
  const dropped = { lines: 0, auditLines: 0 };
  writer.onDropped = ({ lines, auditLines }: DroppedLines) => {
    dropped.lines += lines;
    dropped.auditLines += auditLines;
  };
  return { writer, dropped };
}

const LINE = `${"x".repeat(999)}\n`;

/** More than all that waits, and what a pipe and a socket hold. */
const MANY = 8000;

const numbered = (number: number): string => `${number} ${LINE}`;

function numbersIn(text: string): readonly number[] {
  return [...text.matchAll(/^(\d+) x{999}$/gm)].map(([, number]) => Number(number));
}

describe("a file", () => {
  test("gets all lines in order, those that were gathered too", async () => {
    const path = join(scratch, "log");
    const { writer, dropped } = writerOf(openSync(path, "w"));
    for (let number = 0; number < MANY; number++) {
      if (number % 3 === 0) writer.write(numbered(number));
      else writer.writeSoon(() => numbered(number), 1000);
      if (number % 1000 === 0) await writer.end();
    }
    await writer.end();
    expect(numbersIn(readFileSync(path, "utf8"))).toEqual(Array.from({ length: MANY }, (_, number) => number));
    expect(dropped.lines).toBe(0);
  });

  test("on a disk that is full loses lines and throws nothing", async () => {
    const { writer, dropped } = writerOf(openSync("/dev/full", "w"));
    writer.write("one\n");
    writer.write("two\n", { isAudit: true });
    writer.writeSoon(() => "three\n", 6);
    await writer.end();
    expect(dropped).toEqual({ lines: 3, auditLines: 1 });
    expect(writer.auditFails).toBeTrue();
  });

  test("that is closed loses lines and throws nothing", async () => {
    const { writer, dropped } = writerOf(9999);
    writer.write("one\n");
    await writer.end();
    expect(dropped.lines).toBe(1);
  });
});

describe("a pipe", () => {
  test("gets a line as soon as it is written", async () => {
    using fifo = await openFifo();
    const { writer } = writerOf(fifo.file);
    writer.write("one\n");
    expect(fifo.read()).toBe("one\n");
    writer.writeSoon(() => "two\n", 4);
    writer.write("three\n");
    expect(fifo.read()).toBe("two\nthree\n");
  });

  test("whose reader stalls takes what waits later; what was dropped is counted, and told once behind it", async () => {
    using fifo = await openFifo();
    const { writer, dropped } = writerOf(fifo.file);
    for (let number = 0; number < MANY; number++) writer.write(numbered(number));
    expect(dropped.lines).toBeGreaterThan(0);
    expect(writer.auditFails).toBeFalse();
    const text = await fifo.readUntil(/lost .*\n/);
    const written = MANY - dropped.lines;
    expect(numbersIn(text)).toEqual(Array.from({ length: written }, (_, number) => number));
    expect(text).toEndWith(`\nlost ${dropped.lines} 0 the reader is too slow\n`);
    writer.write("next\n");
    expect(fifo.read()).toBe("next\n");
  });

  test("whose reader stalls keeps room for lines of the audit", async () => {
    using fifo = await openFifo();
    const { writer, dropped } = writerOf(fifo.file);
    while (dropped.lines === 0) writer.write(LINE);
    for (let number = 0; number < 100; number++) writer.write(numbered(number), { isAudit: true });
    expect(dropped.auditLines).toBe(0);
    expect(numbersIn(await fifo.readUntil(/lost .*\n/))).toHaveLength(100);
  });

  test("whose reader stalls does not build the lines that it drops", async () => {
    using fifo = await openFifo();
    const { writer, dropped } = writerOf(fifo.file);
    while (dropped.lines === 0) writer.write(LINE);
    let made = 0;
    const line = (): string => `${made++}\n`;
    for (let number = 0; number < MANY; number++) writer.writeSoon(line, 64 * 1024);
    expect(made).toBe(0);
    expect(dropped.lines).toBeGreaterThanOrEqual(MANY);
  });

  test("without a reader loses lines, tells so once when there is one again, and goes on", async () => {
    using fifo = await openFifo();
    const { writer, dropped } = writerOf(fifo.file);
    writer.write("one\n");
    fifo.read();
    fifo.leave();
    writer.write("two\n");
    writer.write("three\n", { isAudit: true });
    writer.write("four\n");
    expect(dropped).toEqual({ lines: 3, auditLines: 1 });
    expect(writer.auditFails).toBeTrue();
    fifo.comeBack();
    expect(await fifo.readUntil(/lost .*\n/)).toBe("one\nlost 3 1 EPIPE\n"); // by itself
    expect(writer.auditFails).toBeFalse();
    writer.write("five\n");
    expect(fifo.read()).toBe("five\n");
  });

  test("whose reader goes in the middle of a line does not get another line glued to it", async () => {
    using fifo = await openFifo();
    const { writer, dropped } = writerOf(fifo.file);
    writer.write(`${"y".repeat(500_000)}\n`);
    fifo.leave();
    writer.write("lost\n");
    while (dropped.lines < 2) await Bun.sleep(2);
    fifo.comeBack();
    const text = await fifo.readUntil(/lost 2 .*\n/);
    expect(text).toMatch(/^y+\nlost 2 0 EPIPE\n$/);
  });

  test("of two writers has whole lines", async () => {
    using fifo = await openFifo();
    const { writer: one } = writerOf(fifo.file);
    const { writer: other } = writerOf(fifo.file);
    for (let number = 0; number < 500; number++) {
      one.write(numbered(number));
      other.write(numbered(number));
    }
    one.write("end\n");
    other.write("end\n");
    expect(numbersIn(await fifo.readUntil(/(end[^]*){2}/))).toHaveLength(1000);
  });

  test("whose reader stalls delays no end", async () => {
    using fifo = await openFifo();
    const { writer, dropped } = writerOf(fifo.file);
    while (dropped.lines === 0) writer.write(LINE);
    await writer.end();
    expect(fifo.read().length).toBeGreaterThan(0); // and what could be read is
  });
});

/** A connected socket, and its other end, which reads nothing until it is resumed. */
async function openSocket() {
  const path = join(scratch, `socket-${crypto.randomUUID()}`);
  const server = createServer({ pauseOnConnect: true }).listen(path);
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const client = connect(path);
  await once(client, "connect");
  const [reader] = await accepted;
  server.close();
  return { file: (client as unknown as { _handle: { fd: number } })._handle.fd, client, reader };
}

describe("a socket", () => {
  test("whose reader stalls takes what waits later; what was dropped is counted, and told once behind it", async () => {
    const { file, client, reader } = await openSocket();
    const { writer, dropped } = writerOf(file);
    for (let number = 0; number < MANY; number++) writer.write(numbered(number));
    await writer.end();
    expect(dropped.lines).toBeGreaterThan(0);
    let text = "";
    reader.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
    reader.resume();
    while (!/lost .*\n/.test(text)) await Bun.sleep(2);
    expect(numbersIn(text)).toEqual(Array.from({ length: MANY - dropped.lines }, (_, number) => number));
    writer.write("next\n");
    while (!text.endsWith("\nnext\n")) await Bun.sleep(2);
    expect(text.match(/lost /g)).toHaveLength(1);
    client.destroy();
  });

  test("whose reader has gone loses lines and throws nothing", async () => {
    const { file, client, reader } = await openSocket();
    const { writer, dropped } = writerOf(file);
    reader.destroy();
    await once(client, "close").catch(() => undefined);
    writer.write("one\n");
    await writer.end();
    writer.write("two\n");
    await writer.end();
    expect(dropped.lines).toBe(2);
  });
});
