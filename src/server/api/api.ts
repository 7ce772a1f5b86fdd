/** The JSON API: finds the operation of a request, validates what it says, and answers. Loaded with the first request to it. */
import { createHash } from "node:crypto";
import type { z } from "zod";
import { nameOf } from "../../auth/policy.ts";
import { OciError } from "../../oci/error.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { apiMethod } from "../api-resources.ts";
import type { ApiResource, SpelledApiPath } from "../api-resources.ts";
import type { Context } from "../context.ts";
import { nextPage } from "../http/links.ts";
import { json } from "../http/reply.ts";
import type { AuditedReply } from "../audit.ts";
import { pathOf, targetOf } from "../http/request-target.ts";
import { jsonText } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import { administrationOperations } from "./administration.ts";
import { collectionOperations } from "./collection.ts";
import { copyOperations } from "./copies.ts";
import { deletionOperations } from "./deletions.ts";
import { descriptionOperations } from "./description.ts";
import { eventOperations } from "./events.ts";
import { manifestOperations } from "./manifests.ts";
import { hasNul } from "./operation.ts";
import type { AnyOperation } from "./operation.ts";
import { repositoryOperations } from "./repositories.ts";
import { sessionOperations } from "./session.ts";
import { tagOperations } from "./tags.ts";
import { uploadOperations } from "./uploads.ts";

/** Every operation there is. */
export const OPERATIONS: readonly AnyOperation[] = [
  ...sessionOperations,
  ...repositoryOperations,
  ...tagOperations,
  ...manifestOperations,
  ...deletionOperations,
  ...copyOperations,
  ...uploadOperations,
  ...collectionOperations,
  ...administrationOperations,
  ...eventOperations,
  ...descriptionOperations(() => OPERATIONS),
];

const BY_RESOURCE: ReadonlyMap<string, AnyOperation> = new Map(
  OPERATIONS.map((each) => [`${each.method} ${each.resource}`, each]),
);

/** Bytes of the JSON that a client sends. */
const MAX_BODY_BYTES = 1024 * 1024;

export interface ApiRoute extends SpelledApiPath {
  readonly name?: RepositoryName;
}

/** Answers a request that is authorized for its resource and method. */
export async function answerApi(context: Context, route: ApiRoute): Promise<AuditedReply | Representation> {
  const { request, parameters, options } = context;
  const services = options.api;
  if (!services) throw new OciError("UNSUPPORTED", { status: 404, message: "unknown path" });
  const found = operationOf(route.resource, request.method);
  if (Object.values(route.parts).some(hasNul)) throw invalid("the path must not contain NUL");
  const query = found.query ? parsedQuery(found.query, parameters) : undefined;
  const body = found.body ? await parsedBody(found.body, context) : undefined;
  const { name = "" as RepositoryName, parts } = route;
  if (route.name !== undefined) await services.whenAdopted(route.name);
  const answer = await found.run({ context, services, name, parts, query, body });
  if (found.method !== "GET") {
    if (answer.operation !== undefined) {
      await services.maintenance.recordOperation(nameOf(context.authorization.principal), answer.operation);
    }
    const reply = json(200, answer.body, { "cache-control": "no-store", ...answer.headers });
    return { ...reply, ...(answer.changes && { changes: answer.changes }) };
  }
  const text = JSON.stringify(answer.body);
  return jsonText(text, {
    digest: createHash("sha256").update(text).digest("base64url").slice(0, 27),
    // What is answered depends on the principal, and may be another thing at any time.
    headers: { "cache-control": "private, no-cache", ...linkOf(context, answer.body), ...answer.headers },
  });
}

function operationOf(resource: ApiResource, method: string): AnyOperation {
  const found = BY_RESOURCE.get(`${method === "HEAD" ? "GET" : method} ${resource}`);
  if (!found || !apiMethod(resource, method)) throw new Error(`no operation answers ${method} ${resource}`);
  return found;
}

/** A `Link` to the next page, beside the cursor in the body. */
function linkOf({ request, parameters, options }: Context, body: unknown): Readonly<Record<string, string>> {
  const next = typeof body === "object" && body !== null && "next" in body && "items" in body ? body.next : undefined;
  if (typeof next !== "string") return {};
  const path = pathOf(targetOf(request.url)).slice(options.origins.prefix.length);
  return { link: nextPage(path, parameters, { cursor: next }) };
}

/** Refused with 400 when a parameter is wrong, unknown or given twice. */
function parsedQuery(schema: z.ZodType, parameters: URLSearchParams): unknown {
  const given: Record<string, string> = {};
  for (const [key, value] of parameters) {
    if (Object.hasOwn(given, key)) throw invalid(`the parameter ${key.slice(0, 64)} is given twice`);
    if (hasNul(value)) throw invalid(`the parameter ${key.slice(0, 64)} must not contain NUL`);
    if (value !== "") given[key] = value;
  }
  return checked(schema, given, "parameter");
}

async function parsedBody(schema: z.ZodType, { request, body }: Context): Promise<unknown> {
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  const mustBeJson = new OciError("REQUEST_INVALID", {
    status: 415,
    message: "the body must be of the type application/json (Content-Type)",
  });
  if (type !== undefined && type !== "application/json") throw mustBeJson;
  const bytes = await body.readSmall(MAX_BODY_BYTES, () => {
    const message = `the body may have at most ${MAX_BODY_BYTES} bytes`;
    return new OciError("REQUEST_INVALID", { status: 413, message });
  });
  // Pages of other sites send bodies without a type unasked; for this type browsers ask before (Fetch, "CORS-safelisted").
  if (type === undefined && bytes.length > 0) throw mustBeJson;
  let value: unknown;
  try {
    value = bytes.length === 0 ? {} : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw invalid("the body must be JSON in UTF-8");
  }
  return checked(schema, value, "member");
}

function checked(schema: z.ZodType, value: unknown, what: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue?.path.map(String).join(".").slice(0, 128);
  const place = path ? `the ${what} ${path}: ` : "";
  throw invalid(`${place}${issue?.message.slice(0, 256) ?? "it is invalid"}`);
}

function invalid(message: string): OciError {
  return new OciError("REQUEST_INVALID", { message });
}
