/** Upload sessions, from POST to PUT, with what every reply on the way must have. */
import { expect } from "bun:test";
import type { Bytes, RepositoryClient } from "../support/repository-client.ts";

/** Opens a session and gives its `Location`. */
export async function openSession(repository: RepositoryClient, query = ""): Promise<string> {
  return expectSession(await repository.send("POST", `blobs/uploads/${query}`), repository, 202, 0);
}

/** Sends a chunk, with a `Content-Range` when `start` is given; gives the `Location` to go on with. */
export async function sendChunk(
  repository: RepositoryClient,
  location: string,
  bytes: Bytes,
  start?: number,
): Promise<string> {
  const range = start === undefined ? {} : { "content-range": rangeOf(start, bytes) };
  const headers = { "content-type": "application/octet-stream", ...range };
  const reply = await repository.send("PATCH", location, { body: bytes, headers });
  return expectSession(reply, repository, 202);
}

/** A session that has `bytes` already; gives its `Location`. */
export async function sessionWith(repository: RepositoryClient, bytes: Bytes): Promise<string> {
  return await sendChunk(repository, await openSession(repository), bytes);
}

/** Closes a session, with the last bytes when there are any; gives the reply, whatever it is. */
export function closeSession(
  repository: RepositoryClient,
  location: string,
  digest: string,
  bytes?: Bytes,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const asked = bytes === undefined ? { headers } : { headers, body: bytes };
  return repository.send("PUT", withQuery(location, `digest=${digest}`), asked);
}

/**
 * Asserts that a reply describes a session of this repository that has `size` bytes, if that is given, and gives its
 * `Location`.
 */
export function expectSession(reply: Response, repository: RepositoryClient, status: number, size?: number): string {
  expect(reply.status).toBe(status);
  const location = reply.headers.get("location") ?? "";
  // Relative, so that it is right behind every proxy, and of the form that clients know.
  expect(location).toStartWith(`${repository.path}/blobs/uploads/`);
  const uuid = reply.headers.get("docker-upload-uuid") ?? "";
  expect(uuid).not.toBe("");
  expect(location).toContain(uuid);
  // "Range: 0-<end-of-range>", without a unit: Docker's client reads two integers.
  expect(reply.headers.get("range")).toMatch(/^0-\d+$/);
  if (size !== undefined) expect(reply.headers.get("range")).toBe(`0-${Math.max(0, size - 1)}`);
  if (status === 202) expect(reply.headers.get("content-length")).toBe("0");
  return location;
}

/** Asserts that the session goes on and has `size` bytes. */
export async function expectSessionSize(repository: RepositoryClient, location: string, size: number): Promise<void> {
  expectSession(await repository.get(location), repository, 204, size);
}

/** Asserts that a blob was accepted: 201, a `Location` where exactly these bytes are, and the digest that was asked for. */
export async function expectBlobCreated(
  reply: Response,
  repository: RepositoryClient,
  digest: string,
  bytes: Bytes,
): Promise<void> {
  expect(reply.status).toBe(201);
  expect(reply.headers.get("content-length")).toBe("0");
  expect(reply.headers.get("docker-content-digest")).toBe(digest);
  const location = reply.headers.get("location") ?? "";
  expect(location).toBe(`${repository.path}/blobs/${digest}`);
  // "With <blob-location> being a pullable blob URL."
  const pulled = await repository.get(location);
  expect(pulled.status).toBe(200);
  expect(await holds(pulled, bytes)).toBe(true);
}

/** Whether the body of a reply is exactly these bytes. */
export async function holds(reply: Response, bytes: Bytes): Promise<boolean> {
  return Buffer.from(await reply.arrayBuffer()).equals(Buffer.from(bytes));
}

/** An address with more of a query. */
export function withQuery(location: string, query: string): string {
  return `${location}${location.includes("?") ? "&" : "?"}${query}`;
}

/** The `Content-Range` of a chunk: both ends are counted in. */
export function rangeOf(start: number, bytes: Bytes): string {
  return `${start}-${start + Buffer.byteLength(bytes) - 1}`;
}
