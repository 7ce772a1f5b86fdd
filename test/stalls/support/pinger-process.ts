/** The process of `Pinger`: one connection, one request at a time. */
import { connect } from "node:net";
import type { Waits } from "./pinger.ts";

const [address = "", pauseMs = "2", ...paths] = process.argv.slice(2);
const url = new URL(address);

let waits: number[] = [];
let failures = 0;
let askedAt: number | undefined;
let next = 0;

const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true }, ask);
let received = "";
socket.setEncoding("latin1").on("data", (piece) => {
  received += String(piece);
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(received)?.[1] ?? 0);
  if (received.length < end + 4 + length || askedAt === undefined) return;
  waits.push(performance.now() - askedAt);
  if (!received.startsWith("HTTP/1.1 200")) failures++;
  askedAt = undefined;
  received = "";
  setTimeout(ask, Number(pauseMs));
});
socket.on("close", () => process.exit(1));

function ask(): void {
  const path = paths[next++ % paths.length] ?? "/healthz";
  askedAt = performance.now();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${url.host}\r\nAccept: */*\r\n\r\n`);
}

process.on("message", () => {
  const now = performance.now();
  // A request that waits for longer than others did is what is to be told.
  const waiting = askedAt !== undefined && now - askedAt > Number(pauseMs) ? [now - askedAt] : [];
  const sorted = [...waits, ...waiting].toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  const report: Waits = {
    count: waits.length,
    longestMs: at(1),
    p99Ms: at(0.99),
    p999Ms: at(0.999),
    medianMs: at(0.5),
    failures,
  };
  waits = [];
  failures = 0;
  process.send?.(report);
});
process.on("disconnect", () => process.exit());
