/** One upload that is handed round three servers, by a client whose connection breaks all the time. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { bytesOf, digestOf } from "../support/content.ts";
import { Random } from "../support/random.ts";
import { scratchFolder } from "../support/scratch.ts";
import { useRegistry } from "../support/use-registry.ts";

setDefaultTimeout(120_000);

const dataDir = await scratchFolder();
const servers = [useRegistry({ dataDir }), useRegistry({ dataDir }), useRegistry({ dataDir })] as const;

const UPLOADS = 12;
const SIZE = 200_000;

/** Where a client sends its requests: as the spec says, to each new Location; and as simple scripts do. */
const WAYS = ["each new Location", "the first Location", "the path alone"] as const;
type Way = (typeof WAYS)[number];

test.each(WAYS)(
  "PATCHes without Content-Range that break and go on elsewhere make the blob, sent to %s",
  async (way) => {
    const random = new Random(7);
    const pushes = Array.from({ length: UPLOADS }, (_, at) => push(bytesOf(`${way} ${at}`, SIZE), random.fork(), way));
    expect(await Promise.all(pushes)).toEqual(pushes.map(() => 201));
  },
);

/** Pushes by streams that break, each sent to any of the servers; gives what the close was answered with. */
async function push(content: Uint8Array<ArrayBuffer>, random: Random, way: Way): Promise<number> {
  const anyUrl = (): string => servers[random.between(0, 2)]!().url;
  const begun = await fetch(`${anyUrl()}/v2/breaks/blobs/uploads/`, { method: "POST" });
  let location = begun.headers.get("location") ?? "";
  if (way === "the path alone") [location = ""] = location.split("?");
  for (;;) {
    const status = await fetch(new URL(location, anyUrl()));
    expect(status.status).toBe(204);
    if (way === "each new Location") location = status.headers.get("location") ?? "";
    const last = Number(/^0-(\d+)$/.exec(status.headers.get("range") ?? "")?.[1]);
    const size = last === 0 ? 0 : last + 1; // an upload without bytes says 0-0
    if (size === SIZE) break;
    const bytes = content.slice(size, Math.min(SIZE, size + random.between(2, SIZE / 2)));
    // Only in its new Location can a client say that it does not know of a request that arrived whole.
    const isWhole = way === "each new Location" && random.chance(0.3);
    await sendAndLeave(new URL(location, anyUrl()), bytes, isWhole, random);
  }
  for (;;) {
    const url = new URL(location, anyUrl());
    url.searchParams.set("digest", digestOf(content));
    const { status } = await fetch(url, { method: "PUT" });
    if (status !== 409) return status; // a request that broke may still be at its end
    await Bun.sleep(10);
  }
}

/** Sends a body, whole or a part of one that would go on, and leaves without waiting for the answer. */
async function sendAndLeave({ port, pathname, search }: URL, bytes: Uint8Array, isWhole: boolean, random: Random) {
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => undefined);
  const head = `PATCH ${pathname}${search} HTTP/1.1\r\nHost: registry\r\nTransfer-Encoding: chunked\r\n`;
  socket.write(`${head}Expect: 100-continue\r\n\r\n`);
  // A request that no server has seen before the next one comes cannot be told from it, when neither says where it begins.
  await new Promise((resolve) => socket.once("data", resolve).once("close", resolve));
  socket.write(`${bytes.length.toString(16)}\r\n`);
  socket.write(bytes);
  await new Promise<unknown>((resolve) => socket.write(isWhole ? "\r\n0\r\n\r\n" : "", resolve));
  await Bun.sleep(random.next() * 10);
  if (random.chance(0.3)) socket.destroy();
  else socket.end();
}
