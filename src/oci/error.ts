/** Refusals: the table of error codes that a client may get. */

/**
 * Status and message of every code (distribution-spec, "Error Codes"; the last group comes from Docker's registry API,
 * which the spec names as legacy). A refusal may override the status where the spec gives one code two.
 */
const CATALOGUE = {
  BLOB_UNKNOWN: [404, "blob unknown to registry"],
  BLOB_UPLOAD_INVALID: [400, "blob upload invalid"],
  BLOB_UPLOAD_UNKNOWN: [404, "blob upload unknown to registry"],
  DIGEST_INVALID: [400, "provided digest did not match uploaded content"],
  MANIFEST_BLOB_UNKNOWN: [400, "manifest references a manifest or blob unknown to registry"],
  MANIFEST_INVALID: [400, "manifest invalid"],
  MANIFEST_UNKNOWN: [404, "manifest unknown to registry"],
  NAME_INVALID: [400, "invalid repository name"],
  NAME_UNKNOWN: [404, "repository name not known to registry"],
  SIZE_INVALID: [400, "provided length did not match content length"],
  UNAUTHORIZED: [401, "authentication required"],
  DENIED: [403, "requested access to the resource is denied"],
  UNSUPPORTED: [405, "the operation is unsupported"],
  TOOMANYREQUESTS: [429, "too many requests"],

  MANIFEST_UNVERIFIED: [400, "manifest failed signature verification"],
  PAGINATION_NUMBER_INVALID: [400, "invalid number of results requested"],
  TAG_INVALID: [400, "invalid tag"],
  REQUEST_INVALID: [400, "invalid request"],
  SIGNATURE_INVALID: [400, "signature invalid"],
  SIGNATURE_EXISTS: [409, "signature already exists"],
  UNAVAILABLE: [503, "service unavailable"],
  UNKNOWN: [500, "unknown error"],
} as const satisfies Record<string, readonly [status: number, message: string]>;

export type ErrorCode = keyof typeof CATALOGUE;

/** Every code there is, for the documents and their test. */
export const ERROR_CODES: readonly ErrorCode[] = Object.keys(CATALOGUE) as ErrorCode[];

export interface OciErrorOptions {
  /** What was wrong and what to do, in words for a person; the table's sentence when absent. */
  readonly message?: string;
  /** Anything that JSON can say: it becomes the error's `detail`. */
  readonly detail?: unknown;
  /** The table's status when absent. */
  readonly status?: number;
  /** More entries of the same reply, such as one for each missing blob. */
  readonly details?: readonly unknown[];
  /** When it is worth trying again, where that is known: in so many seconds. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** A refusal that a client may be told. Any other error is an internal error and becomes a bare 500. */
export class OciError extends Error {
  override readonly name = "OciError";
  readonly code: ErrorCode;
  readonly status: number;
  /** One `detail` for each entry of the reply; at least one, which may be undefined. */
  readonly details: readonly unknown[];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, options: OciErrorOptions = {}) {
    const [status, message] = CATALOGUE[code];
    super(options.message ?? message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? status;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.details = options.details ?? [options.detail];
  }
}
