/**
 * An operation of the API: one schema validates what clients send, describes it in OpenAPI, and is the type of what the handler
 * gets; another one describes what is answered.
 */
import { z } from "zod";
import { digest } from "../../oci/digest.ts";
import { OciError } from "../../oci/error.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import type { ApiMethodName, ApiResource } from "../api-resources.ts";
import type { Change } from "../audit.ts";
import type { ApiServices, Context } from "../context.ts";
import type { HeaderMap } from "../http/common-headers.ts";

/** What a handler gets, parsed. */
export interface ApiRequest<Query, Body> {
  readonly context: Context;
  readonly services: ApiServices;
  /** Of the path; only where the path has it. */
  readonly name: RepositoryName;
  /** The other parts of the path, not parsed. */
  readonly parts: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
}

/** What a handler answers. */
export interface ApiAnswer<Result> {
  readonly body: Result;
  readonly headers?: HeaderMap;
  /** What was changed in repositories, for the audit. */
  readonly changes?: readonly Change[];
  /** What an administrator changed besides, as a command that would do the same: for the audit. */
  readonly operation?: string;
}

export interface Operation<Query = never, Body = never, Result = unknown> {
  /** As generated clients call it. */
  readonly id: string;
  readonly resource: ApiResource;
  readonly method: ApiMethodName;
  readonly summary: string;
  readonly description?: string;
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  readonly answer: z.ZodType<Result>;
  /** Headers with conditions that it obeys beside `If-None-Match` of GET. */
  readonly conditions?: readonly ("If-Match" | "If-None-Match")[];
  /** Statuses of refusals beside those that every operation may have. */
  readonly refusals?: readonly number[];
  readonly run: (request: ApiRequest<Query, Body>) => Promise<ApiAnswer<Result>> | ApiAnswer<Result>;
}

/** An operation whose parts are checked where it is written, and not known where it is called. */
export type AnyOperation = Operation<unknown, unknown>;

/** Returns the operation as it is called. */
export function operation<Query, Body, Result>(parts: Operation<Query, Body, Result>): AnyOperation {
  return parts as unknown as AnyOperation;
}

/** A time in UTC (RFC 3339). */
export const Time = z.iso.datetime().meta({ description: "A time in UTC (RFC 3339)." });

/** Returns a time for an answer. */
export function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** As `timeText`, where absent is null. */
export function optionalTime(milliseconds: number | undefined): string | null {
  return milliseconds === undefined ? null : timeText(milliseconds);
}

/** What may be done in a repository. */
export const Action = z.enum(["pull", "push", "delete", "admin"]);

export const Bytes = z.int().min(0).meta({ description: "Bytes." });
export const Count = z.int().min(0);
export const DigestText = z.string().meta({ description: "A content digest.", examples: [`sha256:${"0".repeat(64)}`] });

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 1000;

/** Parameters of every list. */
export const PAGE = {
  limit: z.coerce
    .number<string>()
    .pipe(z.int().min(1).max(MAX_LIMIT))
    .default(DEFAULT_LIMIT)
    .meta({ description: `Items of a page; ${DEFAULT_LIMIT} when absent.` }),
  cursor: z
    .string()
    .max(1024)
    .optional()
    .meta({ description: "`next` of the page before; the first page when absent." }),
};

/** A page of a list. */
export function pageOf<Item extends z.ZodType>(
  item: Item,
): z.ZodObject<{ items: z.ZodArray<Item>; next: z.ZodNullable<z.ZodString> }> {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().meta({ description: "The cursor of the next page; null when there is none." }),
  });
}

/** Returns the cursor that leads to `position`. */
export function cursorOf(position: unknown): string {
  return Buffer.from(JSON.stringify(position)).toString("base64url");
}

/** Returns the position that a cursor leads to; refused with 400 when it is none of this list. */
export function positionIn<Position>(cursor: string | undefined, schema: z.ZodType<Position>): Position | undefined {
  if (cursor === undefined || cursor === "") return undefined;
  try {
    const position = schema.parse(JSON.parse(Buffer.from(cursor, "base64url").toString("utf8")));
    if (!hasNul(position)) return position;
  } catch {
    // It is refused below.
  }
  throw new OciError("REQUEST_INVALID", { message: "cursor must be the `next` of an earlier page of this list" });
}

/** Whether a text, or one in a position of a list, has NUL, which PostgreSQL refuses in texts. */
export function hasNul(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  return typeof value === "object" && value !== null && Object.values(value).some(hasNul);
}

/** Returns the tag of the path; refused with `TAG_INVALID`. */
export function tagOf({ parts }: { readonly parts: Readonly<Record<string, string>> }): ReturnType<typeof tag> {
  return tag(parts["tag"] ?? "");
}

/** Returns the digest of the path; refused with `DIGEST_INVALID`. */
export function digestIn({ parts }: { readonly parts: Readonly<Record<string, string>> }): ReturnType<typeof digest> {
  return digest(parts["digest"] ?? "");
}
