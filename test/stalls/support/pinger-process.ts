/** The process of `Pinger`: one connection, one request at a time, the next one 2 ms after an answer. */
import { connect } from "node:net";
import type { Waits } from "./pinger.ts";

const PAUSE_MS = 2;

const url = new URL(process.argv[2] ?? "");
const REQUEST = `GET /healthz HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`;

let waits: number[] = [];
let askedAt: number | undefined;

const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true }, ask);
let received = "";
socket.setEncoding("latin1").on("data", (piece) => {
  received += String(piece);
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(received)?.[1] ?? 0);
  if (received.length < end + 4 + length || askedAt === undefined) return;
  waits.push(performance.now() - askedAt);
  askedAt = undefined;
  received = "";
  setTimeout(ask, PAUSE_MS);
});
socket.on("close", () => process.exit(1));

function ask(): void {
  askedAt = performance.now();
  socket.write(REQUEST);
}

process.on("message", () => {
  const now = performance.now();
  // When it waits for longer than others waited, that is what is to be told.
  const sorted = [...waits, ...(askedAt !== undefined && now - askedAt > PAUSE_MS ? [now - askedAt] : [])].toSorted(
    (a, b) => a - b,
  );
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  const report: Waits = { count: waits.length, longestMs: at(1), p99Ms: at(0.99), medianMs: at(0.5) };
  waits = [];
  process.send?.(report);
});
process.on("disconnect", () => process.exit());
