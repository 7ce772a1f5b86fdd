/** What a refusal looks like (distribution-spec, "Error Codes"). */
import { expect } from "bun:test";

export interface ErrorEntry {
  readonly code: string;
  readonly message: string;
  readonly detail?: unknown;
}

/** Asserts that a reply has this status and an error body whose entries all have this code; gives the entries. */
export async function expectRefused(reply: Response, status: number, code: string): Promise<readonly ErrorEntry[]> {
  const text = await reply.text();
  expect(`${reply.status} ${text}`).toStartWith(`${status} {"errors":[`);
  // Docker's client reads the body only when the type is exactly this.
  expect(reply.headers.get("content-type")).toBe("application/json");
  expect(reply.headers.get("content-length")).toBe(String(Buffer.byteLength(text)));
  expect(reply.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
  const { errors } = JSON.parse(text) as { readonly errors: readonly ErrorEntry[] };
  expect(errors.length).toBeGreaterThan(0);
  for (const error of errors) {
    // "The code field MUST be a unique identifier, containing only uppercase alphabetic characters and underscores."
    expect(error.code).toMatch(/^[A-Z_]+$/);
    expect(error.code).toBe(code);
    expect(error.message).toBeString();
  }
  return errors;
}
