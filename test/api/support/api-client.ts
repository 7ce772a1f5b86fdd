/** A client of the JSON API that holds every answer against its description. */
import { expect } from "bun:test";
import type { Registry } from "../../../src/create-registry.ts";
import { OPERATIONS } from "../../../src/server/api/api.ts";
import type { AnyOperation } from "../../../src/server/api/operation.ts";
import { API_RESOURCES, spellApiPath } from "../../../src/server/api-resources.ts";

/** An answer with the members that tests look at. */
export interface ApiReply {
  readonly status: number;
  readonly headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- what is answered is held against its schema
  readonly body: any;
}

export interface ApiRequestOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Operations that were answered with 200, by all clients. */
export const ANSWERED = new Set<string>();

export class ApiClient {
  readonly #registry: Pick<Registry, "fetch">;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(registry: Pick<Registry, "fetch">, headers: Readonly<Record<string, string>> = {}) {
    this.#registry = registry;
    this.#headers = headers;
  }

  get(path: string, options?: ApiRequestOptions): Promise<ApiReply> {
    return this.send("GET", path, options);
  }

  /** Sends a request; fails when it is answered with what the description does not have. `path` begins behind `/api/v1`. */
  async send(method: string, path: string, { body, headers = {} }: ApiRequestOptions = {}): Promise<ApiReply> {
    const reply = await this.#registry.fetch(
      new Request(`http://registry.test/api/v1${path}`, {
        method,
        headers: { ...this.#headers, ...(body !== undefined && { "content-type": "application/json" }), ...headers },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      }),
    );
    const text = await reply.text();
    const parsed: unknown = text === "" ? undefined : JSON.parse(text);
    const answered = { status: reply.status, headers: reply.headers, body: parsed };
    if (reply.status === 200 && text !== "") expectDescribed(method, path, parsed);
    if (reply.status >= 400) {
      expect(reply.headers.get("content-type")).toBe("application/problem+json");
      expect(parsed).toMatchObject({ status: reply.status, code: expect.stringMatching(/^[A-Z_]+$/) });
      expect(reply.status).not.toBe(500);
    }
    return answered;
  }
}

/** The operation that answers a request. */
export function operationAt(method: string, path: string): AnyOperation | undefined {
  const resource = spellApiPath(`/api/v1${path.split("?", 1)[0]}`)?.resource;
  return OPERATIONS.find((each) => each.resource === resource && each.method === method);
}

function expectDescribed(method: string, path: string, body: unknown): void {
  const found = operationAt(method, path);
  expect(found).toBeDefined();
  if (!found) return;
  ANSWERED.add(found.id);
  expect(found.answer.parse(body)).toEqual(body); // nothing in it that the schema does not have
}

/** Every resource with the methods that it has. */
export function allMethods(): readonly (readonly [method: string, path: string])[] {
  return Object.values(API_RESOURCES).flatMap(({ path, methods }) =>
    Object.keys(methods).map((method) => [method, path] as const),
  );
}
