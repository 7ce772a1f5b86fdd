/** What S3 answers when it refuses. */

/** `status` is of HTTP; `code` is S3's word, such as `NoSuchUpload`, or empty when it said none. */
export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly status: number;
  readonly s3Code: string;
  /** The word of the operating system for it, by which clients are told to try again later. */
  readonly code = "EIO";

  constructor(what: string, status: number, s3Code: string, message: string, options?: ErrorOptions) {
    super(`${what}: ${[status, s3Code, message].filter(Boolean).join(" ")}`, options);
    this.status = status;
    this.s3Code = s3Code;
  }
}

/** Whether S3 has no such object or upload. That the bucket is missing proves nothing of what should be in it. */
export function isAbsent(error: unknown): boolean {
  return error instanceof S3Error && error.status === 404 && error.s3Code !== "NoSuchBucket";
}
