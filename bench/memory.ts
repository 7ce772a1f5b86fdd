/**
 * Pushes and pulls four blobs of 1 GiB at once, and prints how much memory the server needed for it.
 *
 *   tools/bun bench/memory.ts [BLOBS] [MIB]
 *
 * The claim: memory is bounded by constants, never by a client. It fails when the server's resident memory passes
 * 200 MB.
 */
import { createHash, randomBytes } from "node:crypto";
import { request } from "node:http";
import { startRegistry } from "../test/support/registry.ts";
import { residentMb } from "../test/support/resident.ts";

const [blobs = 4, mebibytes = 1024] = process.argv.slice(2).map(Number);
const LIMIT_MB = 200;
const PIECE = randomBytes(1024 * 1024);

/** Bytes that differ from blob to blob and from piece to piece, made on the fly. */
function* piecesOf(blob: number): Generator<Buffer> {
  for (let at = 0; at < mebibytes; at++) {
    const piece = Buffer.from(PIECE);
    piece.writeUInt32LE(blob, 0);
    piece.writeUInt32LE(at, 4);
    yield piece;
  }
}

function digestOf(pieces: Iterable<Buffer>): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return `sha256:${hash.digest("hex")}`;
}

/** Sends pieces with back-pressure and gives the status. */
function send(method: string, url: URL, pieces: Iterable<Buffer>): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const outgoing = request(url, { method, headers: { "content-length": mebibytes * 1024 * 1024 } }, (reply) => {
    reply.resume().on("end", () => resolve(reply.statusCode ?? 0));
  }).on("error", reject);
  void (async () => {
    for (const piece of pieces) {
      if (!outgoing.write(piece)) await new Promise((drained) => outgoing.once("drain", drained));
    }
    outgoing.end();
  })();
  return promise;
}

/** Reads a blob and gives the digest of what came. */
function pull(url: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  request(url, (reply) => {
    const hash = createHash("sha256");
    reply.on("data", (piece: Buffer) => hash.update(piece));
    reply.on("end", () => resolve(`sha256:${hash.digest("hex")}`));
  })
    .on("error", reject)
    .end();
  return promise;
}

await using registry = await startRegistry();
const idle = await residentMb(registry.pid);
let peak = 0;
const sampling = setInterval(() => void residentMb(registry.pid).then((now) => (peak = Math.max(peak, now))), 50);

const all = Array.from({ length: blobs }, (_, blob) => blob);
const digests = all.map((blob) => digestOf(piecesOf(blob)));
const failures: string[] = [];

async function timed(what: string, work: (blob: number) => Promise<boolean>): Promise<void> {
  peak = 0;
  const started = performance.now();
  const outcomes = await Promise.all(all.map(work));
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${what.padEnd(14)} ${blobs} × ${mebibytes} MiB  ${seconds.toFixed(1)} s  ` +
      `${((blobs * mebibytes) / seconds).toFixed(0)} MiB/s  at most ${peak.toFixed(0)} MB resident`,
  );
  if (outcomes.includes(false)) failures.push(`${what}: a blob did not come through whole`);
  if (peak > LIMIT_MB) failures.push(`${what}: ${peak.toFixed(0)} MB resident, more than ${LIMIT_MB}`);
}

async function push(method: "PATCH" | "PUT", blob: number): Promise<boolean> {
  const opened = await fetch(`${registry.url}/v2/bench/${method.toLowerCase()}${blob}/blobs/uploads/`, {
    method: "POST",
  });
  const location = new URL(opened.headers.get("location") ?? "", registry.url);
  const closing = new URL(location);
  closing.searchParams.set("digest", digests[blob] ?? "");
  if (method === "PUT") return (await send("PUT", closing, piecesOf(blob))) === 201;
  const sent = await send("PATCH", location, piecesOf(blob));
  return sent === 202 && (await fetch(closing, { method: "PUT" })).status === 201;
}

console.log(`idle ${idle.toFixed(0)} MB resident`);
await timed("push by PUT", (blob) => push("PUT", blob));
await timed("push by PATCH", (blob) => push("PATCH", blob));
await timed("pull", async (blob) => {
  const digest = digests[blob] ?? "";
  return (await pull(`${registry.url}/v2/bench/put${blob}/blobs/${digest}`)) === digest;
});
clearInterval(sampling);
for (const failure of failures) console.error(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
