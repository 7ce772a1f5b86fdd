/** An upload session, and what is asserted of it after a request that was refused. */
import { expect } from "bun:test";
import { bytesOf, digestOf } from "../support/content.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { REPOSITORY } from "./witness.ts";

/** What sessions are opened for: two halves of a blob. */
export const BLOB: Uint8Array<ArrayBuffer> = bytesOf("session", 1024);
export const BLOB_DIGEST: string = digestOf(BLOB);
export const FIRST_HALF: Uint8Array<ArrayBuffer> = BLOB.slice(0, 512);
export const SECOND_HALF: Uint8Array<ArrayBuffer> = BLOB.slice(512);

export class Session {
  readonly #url: string;
  readonly #repository: string;
  #path: string;

  private constructor(url: string, repository: string, path: string) {
    this.#url = url;
    this.#repository = repository;
    this.#path = path;
  }

  /** Opens a session, and sends the first bytes of its blob. */
  static async open(
    registry: RunningRegistry,
    first: Uint8Array<ArrayBuffer> = new Uint8Array(),
    repository: string = REPOSITORY,
  ): Promise<Session> {
    const reply = await fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    expect(reply.status).toBe(202);
    const session = new Session(registry.url, repository, pathOf(reply, registry.url));
    if (first.length > 0) await session.send(first);
    return session;
  }

  /** Path and query of its latest `Location`. */
  get path(): string {
    return this.#path;
  }

  /** Its path with more of a query, such as `digest=…`. */
  with(query: string): string {
    return `${this.#path}${this.#path.includes("?") ? "&" : "?"}${query}`;
  }

  /** Its id: the last part of its path. */
  get id(): string {
    return this.#path.split("?")[0]?.split("/").at(-1) ?? "";
  }

  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const reply = await fetch(this.#url + this.#path, { method: "PATCH", body: bytes });
    expect(reply.status).toBe(202);
    this.#path = pathOf(reply, this.#url);
  }

  /** Where it stands, as `Range` tells it: 0 and 1 bytes look alike, so tests send none or many. */
  async size(): Promise<number> {
    const reply = await fetch(this.#url + this.#path);
    expect(reply.status).toBe(204);
    return sizeOf(reply.headers.get("range"));
  }

  /** Asserts that it stands where it stood: no byte of a refused request is kept. */
  async expectSize(bytes: number): Promise<void> {
    expect(await this.size()).toBe(bytes);
  }

  /** Asserts that it still leads to the blob it was opened for. */
  async expectCompletes(rest: Uint8Array<ArrayBuffer>, whole: Uint8Array<ArrayBuffer> = BLOB): Promise<void> {
    const digest = digestOf(whole);
    const closed = await fetch(this.#url + this.with(`digest=${digest}`), { method: "PUT", body: rest });
    expect(closed.status).toBe(201);
    const blob = await fetch(`${this.#url}/v2/${this.#repository}/blobs/${digest}`);
    expect(blob.status).toBe(200);
    expect(Buffer.from(await blob.arrayBuffer()).equals(whole)).toBe(true);
  }

  /**
   * Sends `whole` from wherever the session stands, as a client does after its connection broke, and closes it. The
   * session may still be busy with the broken request: then it says so, and is asked again.
   */
  async expectResumes(whole: Uint8Array<ArrayBuffer> = BLOB): Promise<void> {
    for (let attempt = 0; attempt < 1000; attempt++) {
      const start = await this.size();
      expect(start).toBeLessThanOrEqual(whole.length);
      if (start === whole.length) break;
      const reply = await fetch(this.#url + this.#path, {
        method: "PATCH",
        body: whole.subarray(start),
        headers: { "content-range": `${start}-${whole.length - 1}` },
      });
      if (reply.status === 202) break;
      expect([409, 416]).toContain(reply.status);
    }
    await this.expectCompletes(new Uint8Array(), whole);
  }

  async expectGone(): Promise<void> {
    const reply = await fetch(this.#url + this.#path);
    expect(reply.status).toBe(404);
    expect(await reply.json()).toMatchObject({ errors: [{ code: "BLOB_UPLOAD_UNKNOWN" }] });
  }

  async cancel(): Promise<void> {
    expect((await fetch(this.#url + this.#path, { method: "DELETE" })).status).toBe(204);
  }
}

/** How many bytes a session's `Range` counts: `0-<last>`, and `0-0` for none. */
export function sizeOf(range: string | null | undefined): number {
  // "Range: 0-<last byte>": no unit before it, Docker's client reads it as two integers.
  expect(range).toMatch(/^0-\d+$/);
  const last = Number(range?.slice(2));
  return last === 0 ? 0 : last + 1;
}

function pathOf(reply: Response, base: string): string {
  const { pathname, search } = new URL(reply.headers.get("location") ?? "", base);
  return pathname + search;
}
