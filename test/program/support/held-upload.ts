/** An upload in the middle of which the server does something else. */
import { request } from "node:http";
import type { IncomingMessage } from "node:http";

/** A chunk of which half has been sent. Disposing it breaks it off when it was not finished. */
export interface HeldUpload extends Disposable {
  readonly location: URL;
  /** Sends the other half and gives the answer. */
  finish(): Promise<IncomingMessage>;
}

/** Sends the first half of `content`; resolves when it has reached the upload. */
export async function holdUpload(url: string, content: Uint8Array): Promise<HeldUpload> {
  const begun = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: "POST" });
  const location = new URL(begun.headers.get("location") ?? "", url);
  const chunk = request(location, { method: "PATCH", headers: { "transfer-encoding": "chunked" } });
  const reply = new Promise<IncomingMessage>((resolve, reject) => {
    chunk.once("response", (response) => {
      response.resume();
      resolve(response);
    });
    chunk.on("error", reject);
  });
  reply.catch(() => undefined); // who breaks it off does not ask for it
  const half = content.length / 2;
  chunk.write(content.subarray(0, half));
  await isHeld(location);
  return {
    location,
    finish() {
      chunk.end(content.subarray(half));
      return reply;
    },
    [Symbol.dispose]: () => void chunk.destroy(),
  };
}

/**
 * Resolves when others are refused, wherever they begin. Only the process that writes knows it at once: with a connection
 * for each request one of them reaches it.
 */
async function isHeld(location: URL): Promise<void> {
  const headers = { "content-range": "999999-999999", connection: "close" };
  for (let status = 0; status !== 409;) {
    ({ status } = await fetch(location, { method: "PATCH", headers, body: "x" }));
  }
}
