/** What every refusal has in common, whatever was refused. */
import { expect, test } from "bun:test";
import type { RawReply } from "../support/raw.ts";
import { bodyOf, request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { ROOT } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";

/** The codes of distribution-spec, "Error Codes", and those of Docker's registry API that it names as legacy. */
export type Code =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "EXTENSION_UNKNOWN"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "PAGINATION_NUMBER_INVALID"
  | "SIZE_INVALID"
  | "TAG_INVALID"
  | "UNSUPPORTED";

/** A status and the code in the body, such as `400 NAME_INVALID`. */
export type Refusal = `${number} ${Code}`;

/** One row of a table: a request, and how it is refused. Several answers stand where no rule prefers one. */
export interface BadRequest {
  readonly title: string;
  readonly request: RawRequest;
  readonly expected: Refusal | readonly Refusal[];
}

export interface ErrorEntry {
  readonly code: string;
  readonly message: string;
  readonly detail?: unknown;
}

/** Sends a request that has to be refused in one of the ways expected, and gives the reply for a closer look. */
export async function expectRefused(
  registry: RunningRegistry,
  wanted: RawRequest,
  expected: Refusal | readonly Refusal[],
): Promise<RawReply> {
  const reply = await request(registry.port, wanted);
  expectRefusal(registry, wanted, reply, expected);
  return reply;
}

/** Asserts that a reply is a refusal in one of the ways expected, with all that belongs to one. */
export function expectRefusal(
  registry: RunningRegistry,
  wanted: RawRequest,
  reply: Omit<RawReply, "closed" | "text">,
  expected: Refusal | readonly Refusal[],
): void {
  const refusals: readonly string[] = [expected].flat();
  if (wanted.target.startsWith("/v2")) {
    expect(reply.headers["docker-distribution-api-version"]).toBe("registry/2.0");
  }
  if (wanted.method === "HEAD") {
    // RFC 9110, 9.3.2: a HEAD "MUST NOT" be answered with content, errors included.
    expect(reply.body).toBe("");
    expect(refusals.map((refusal) => Number(refusal.slice(0, 3)))).toContain(reply.status);
    return;
  }
  const [first] = expectErrorBody(registry, reply);
  expect(refusals).toContain(`${reply.status} ${first?.code}`);
}

/**
 * Asserts that a reply holds what the spec calls an error body, and nothing of the server's inside:
 * `{"errors":[{"code":…,"message":…,"detail":…}]}`. Gives the entries.
 */
export function expectErrorBody(
  registry: RunningRegistry,
  reply: Omit<RawReply, "closed" | "text">,
): readonly ErrorEntry[] {
  expect(reply.status).toBeGreaterThanOrEqual(400);
  expect(reply.status).toBeLessThan(500);
  // Docker's client parses the body only when the type is exactly this.
  expect(reply.headers["content-type"]).toBe("application/json");
  expect(reply.headers["content-length"]).toBe(`${reply.body.length}`);
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bodyOf({ ...reply, text: "", closed: true }));
  const { errors, ...more } = JSON.parse(text) as { errors: readonly ErrorEntry[] };
  expect(more).toEqual({});
  expect(errors.length).toBeGreaterThan(0);
  for (const { code, message, detail: _, ...unknown } of errors) {
    expect(code).toMatch(/^[A-Z][A-Z_]*$/);
    expect(message).toBeString();
    expect(message).not.toBe("");
    expect(unknown).toEqual({});
  }
  for (const secret of [registry.dataDir, ROOT, "node_modules", "node:internal", "sqlite"]) {
    expect(text).not.toContain(secret);
  }
  expect(text).not.toMatch(/\.[jt]s:\d+|(?:\\n|\n)\s+at /);
  return errors;
}

/** The entries of an error body. */
export function errorsOf(reply: RawReply): readonly ErrorEntry[] {
  return (JSON.parse(bodyOf(reply).toString()) as { errors: readonly ErrorEntry[] }).errors;
}

/** Asserts that the HTTP parser refused: a bare status, no body, and the connection is closed. */
export function expectParserRefusal(reply: RawReply, statuses: readonly number[] = [400]): void {
  expect(statuses).toContain(reply.status);
  expect(reply.body).toBe("");
  expect(reply.closed).toBe(true);
}

/** One test for each row. */
export function testRefusals(registry: () => RunningRegistry, rows: readonly BadRequest[]): void {
  for (const { title, request: wanted, expected } of rows) {
    test(`${title}: ${[expected].flat().join(" or ")}`, async () => {
      await expectRefused(registry(), wanted, expected);
    });
  }
}
