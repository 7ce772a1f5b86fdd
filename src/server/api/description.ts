/** The description of the API (OpenAPI 3.1), from the schemas by which it validates. */
import { z } from "zod";
import { API_RESOURCES } from "../api-resources.ts";
import type { ApiPermission } from "../api-resources.ts";
import { PROBLEM_TYPE } from "../http/problem-reply.ts";
import { operation } from "./operation.ts";
import type { AnyOperation } from "./operation.ts";

/** The version of the API, whose first number is that of its path. */
const API_VERSION = "1.0.0";

/** The form of every error (RFC 9457). */
const Problem = z
  .object({
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: "What is wrong and, where possible, what to do." }),
    code: z.string().meta({ description: "One of the codes of docs/errors.md." }),
    requestId: z.string(),
    details: z.array(z.unknown()).optional(),
  })
  .meta({ id: "Problem" });

/** What each permission means for readers of the description. */
const REQUIRES: Readonly<Record<ApiPermission, string>> = {
  pull: "Requires `pull` from the repository.",
  push: "Requires `push` to the repository.",
  delete: "Requires `delete` from the repository.",
  admin: "Requires `admin` of the repository.",
  catalog: "Requires `pull` from some repository.",
  administration: "Requires an administrator.",
  anyone: "Open to everyone; credentials must be valid.",
  nothing: "Open to everyone.",
};

const PARTS: Readonly<Record<string, string>> = {
  name: "The name of a repository. Its slashes may stand as they are or as `%2F`.",
  tag: "A tag.",
  digest: "A digest, such as `sha256:…`.",
  id: "An id.",
  user: "The name of a user.",
};

const STATUSES: Readonly<Record<number, string>> = {
  304: "Not modified since the entity tag of `If-None-Match`.",
  400: "A part of the request is invalid.",
  401: "Credentials are required, or wrong.",
  403: "The client may not do this.",
  404: "It is not there.",
  405: "The registry is read-only, or deleting is switched off.",
  409: "The state of the registry is in the way.",
  412: "A condition of the request does not hold.",
  413: "The body is too large.",
  415: "The body is not JSON.",
  429: "The read rate limit is exceeded, or too many passwords were tried.",
  503: "The registry is busy, or its storage fails.",
};

/** Returns the description of these operations. */
export function openApi(operations: readonly AnyOperation[]): Readonly<Record<string, unknown>> {
  const schemas: Record<string, unknown> = {};
  const schemaOf = (schema: z.ZodType, io: "input" | "output"): unknown => {
    const {
      $schema: _,
      $defs = {},
      ...own
    } = z.toJSONSchema(schema, { io, target: "draft-2020-12", reused: "inline" }) as {
      $schema?: string;
      $defs?: Record<string, unknown>;
    };
    for (const [id, each] of Object.entries($defs)) schemas[id] = withReferences(each);
    return withReferences(own);
  };
  schemaOf(z.object({ problem: Problem }), "output");
  const paths: Record<string, Record<string, unknown>> = {};
  for (const each of operations) {
    const { path, methods } = API_RESOURCES[each.resource];
    const required = (methods as Readonly<Record<string, { readonly requires: ApiPermission }>>)[each.method]?.requires;
    const permission = required ?? "administration";
    const statuses = statusesOf(each, permission);
    (paths[path] ??= {})[each.method.toLowerCase()] = {
      operationId: each.id,
      summary: each.summary,
      description: [each.description, REQUIRES[permission]].filter(Boolean).join("\n\n"),
      tags: [path.split("/")[path.includes("/-/") ? 4 : 1] ?? "registry"],
      parameters: [...pathParameters(path), ...queryParameters(each, schemaOf), ...headerParameters(each)],
      ...(each.body && {
        requestBody: { required: true, content: { "application/json": { schema: schemaOf(each.body, "input") } } },
      }),
      responses: {
        "200": {
          description: "Done.",
          headers: each.method === "GET" ? { ETag: { schema: { type: "string" } } } : {},
          content: { "application/json": { schema: schemaOf(each.answer, "output") } },
        },
        ...(each.method === "GET" && { "304": { description: STATUSES[304] } }),
        ...Object.fromEntries(statuses.map((status) => [status, problemResponse(status)])),
      },
      ...(permission === "nothing" ? { security: [] } : { security: [{}, { basic: [] }, { token: [] }] }),
    };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Stowage",
      version: API_VERSION,
      description: "What is in a registry, and its administration. Permissions are those of the registry.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: `.`, description: "Where this document is." }],
    security: [{}, { basic: [] }, { token: [] }],
    paths,
    components: {
      securitySchemes: {
        basic: { type: "http", scheme: "basic", description: "A user's password, or a robot's token." },
        token: { type: "http", scheme: "bearer", description: "A token of the registry." },
      },
      schemas,
    },
  };
}

function problemResponse(status: number): object {
  return {
    description: STATUSES[status] ?? "Refused.",
    content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
  };
}

function statusesOf({ body, refusals = [], method }: AnyOperation, permission: ApiPermission): readonly number[] {
  const of = new Set<number>([400, 503, ...refusals]);
  if (permission !== "nothing") for (const status of [401, 403, 429]) of.add(status);
  of.add(method === "GET" ? 429 : 405);
  if (body) for (const status of [413, 415]) of.add(status);
  return [...of].toSorted((a, b) => a - b);
}

function pathParameters(path: string): readonly object[] {
  return Array.from(path.matchAll(/\{(\w+)\}/g), ([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    description: PARTS[name] ?? name,
    schema: { type: "string", minLength: 1 },
  }));
}

function queryParameters(
  { query }: AnyOperation,
  schemaOf: (schema: z.ZodType, io: "input") => unknown,
): readonly object[] {
  if (!query) return [];
  const { properties = {}, required = [] } = schemaOf(query, "input") as {
    properties?: Record<string, { description?: string }>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema,
  }));
}

function headerParameters({ method, conditions = [] }: AnyOperation): readonly object[] {
  const names = method === "GET" ? ["If-None-Match", ...conditions] : conditions;
  return names.map((name) => ({ name, in: "header", required: false, schema: { type: "string" } }));
}

/** References to definitions lead to the components of the description. */
function withReferences(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value).replaceAll('"$ref":"#/$defs/', '"$ref":"#/components/schemas/'));
}

/** The operation that answers the description of all. */
export function descriptionOperations(all: () => readonly AnyOperation[]): readonly AnyOperation[] {
  let described: Readonly<Record<string, unknown>> | undefined;
  return [
    operation({
      id: "getDescription",
      resource: "description",
      method: "GET",
      summary: "This document",
      answer: z.record(z.string(), z.unknown()),
      run: () => ({ body: (described ??= openApi(all())) }),
    }),
  ];
}
