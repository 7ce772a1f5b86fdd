/** Replies to errors: refusals, internal errors, disk errors. */
import { OciError } from "../../oci/error.ts";
import type { ErrorCode } from "../../oci/error.ts";
import { BrokenBodyError } from "../../lib/broken-body-error.ts";
import { BusyError } from "../../lib/busy-error.ts";
import type { Logger } from "../../observe/logger.ts";
import { json, opened } from "./reply.ts";
import type { Reply } from "./reply.ts";

/** Codes of errors by which a disk says that it is full. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "SQLITE_FULL"]);

/** … and by which it, or the system, says that it cannot now. */
const DISK_ERRORS =
  /^(?:EIO|EROFS|EACCES|EPERM|EMFILE|ENFILE|ENOMEM|SQLITE_IOERR.*|SQLITE_READONLY.*|SQLITE_CANTOPEN.*)$/;

/** A refusal, or an error that amounts to one, with headers for its reply. */
export class RefusedWithHeaders extends Error {
  override readonly name = "RefusedWithHeaders";
  readonly headers: Readonly<Record<string, string>>;

  constructor(cause: unknown, headers: Readonly<Record<string, string>>) {
    super("refused", { cause });
    this.headers = headers;
  }
}

/** The refusal in an error: its own, or the one that an error of the disk amounts to. Undefined for an internal error. */
export function refusalIn(error: unknown): OciError | undefined {
  if (error instanceof OciError) return error;
  if (error instanceof BrokenBodyError) {
    return new OciError("BLOB_UPLOAD_INVALID", { message: "the request body ended early", cause: error });
  }
  if (error instanceof BusyError) {
    return new OciError("UNAVAILABLE", { message: "the registry is busy, try again in a moment", cause: error });
  }
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    const { code } = each as { code?: unknown };
    if (typeof code !== "string") continue;
    if (FULL.has(code)) {
      return new OciError("DENIED", {
        status: 507,
        message: "the disk of the registry is full: ask its operator to free space, then push again",
        cause: error,
      });
    }
    if (DISK_ERRORS.test(code)) {
      return new OciError("UNAVAILABLE", {
        message: "the storage of the registry fails temporarily: try again",
        cause: error,
      });
    }
  }
  return undefined;
}

/** The reply to a refusal (distribution-spec, "Error Codes"): one entry for each detail. */
export function refusalReply(error: OciError, headers: Readonly<Record<string, string>> = {}): Reply {
  const errors = error.details.map((detail) => entry(error.code, error.message, detail));
  const retry =
    error.status === 503 || error.status === 429 ? { "retry-after": String(error.retryAfterSeconds ?? 5) } : {};
  return json(error.status, { errors }, { ...retry, ...headers });
}

/** The reply in place of one whose body cannot be read, with `headers`; the cause is logged. */
export function unreadableReply(error: unknown, log: Logger, headers: Readonly<Record<string, string>> = {}): Reply {
  // A blob that garbage collection deleted after its row was read and before its bytes were opened: nothing referenced it. Or the
  // bytes are lost, which is recorded.
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return refusalReply(new OciError("BLOB_UNKNOWN"), headers);
  log.error({ err: error }, "a response could not be sent");
  const refusal = refusalIn(error); // what cannot be opened now
  return refusal ? refusalReply(refusal, headers) : internalErrorReply();
}

/** As `opened`, and never rejects. */
export async function openedOrRefused(
  reply: Reply,
  method: string,
  log: Logger,
  headers?: Readonly<Record<string, string>>,
): Promise<Reply> {
  return await opened(reply, method).catch((error: unknown) => unreadableReply(error, log, headers));
}

/** The reply to a fault: nothing of its cause, which the log has. */
export function internalErrorReply(): Reply {
  return json(500, { errors: [entry("UNKNOWN", "internal error: the log of the registry has the cause", undefined)] });
}

function entry(code: ErrorCode, message: string, detail: unknown): object {
  return detail === undefined ? { code, message } : { code, message, detail };
}
