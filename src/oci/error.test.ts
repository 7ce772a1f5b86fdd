/** The table of refusals (distribution-spec, "Error Codes"). */
import { describe, expect, test } from "bun:test";
import { ERROR_CODES, OciError } from "./error.ts";
import type { ErrorCode } from "./error.ts";

const STATUSES: Readonly<Record<ErrorCode, number>> = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  // Docker's, which the specification names as legacy or does not name.
  MANIFEST_UNVERIFIED: 400,
  PAGINATION_NUMBER_INVALID: 400,
  TAG_INVALID: 400,
  // Those of the signature extension.
  REQUEST_INVALID: 400,
  SIGNATURE_INVALID: 400,
  SIGNATURE_EXISTS: 409,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
};

describe("the table of refusals", () => {
  test("holds the specification's fourteen codes, five of Docker's, two of signatures, and no others", () => {
    expect([...ERROR_CODES].toSorted()).toEqual((Object.keys(STATUSES) as ErrorCode[]).toSorted());
  });

  for (const code of ERROR_CODES) {
    test(`gives ${code} its status and a sentence`, () => {
      const error = new OciError(code);
      expect(error).toMatchObject({ name: "OciError", code, status: STATUSES[code], details: [undefined] });
      expect(error.message).toMatch(/^[a-z]/);
      expect(error.cause).toBeUndefined();
    });
  }

  test('spells codes as the specification does: "only uppercase alphabetic characters and underscores"', () => {
    for (const code of ERROR_CODES) expect(code).toMatch(/^[A-Z]+(?:_[A-Z]+)*$/);
  });
});

describe("a refusal", () => {
  test("is an error with a stack, so that it can be thrown and told apart", () => {
    const error = new OciError("DENIED");
    expect(error).toBeInstanceOf(Error);
    expect(error.stack).toContain("error.test.ts");
  });

  test("may have a message, a status, a detail and a cause of its own", () => {
    const cause = new Error("why");
    const error = new OciError("BLOB_UPLOAD_INVALID", {
      message: "out of order",
      status: 416,
      detail: { at: 5 },
      cause,
    });
    expect(error).toMatchObject({
      code: "BLOB_UPLOAD_INVALID",
      message: "out of order",
      status: 416,
      details: [{ at: 5 }],
    });
    expect(error.cause).toBe(cause);
  });

  test("may have one entry for each missing blob", () => {
    const details = ["sha256:a", "sha256:b"];
    expect(new OciError("MANIFEST_BLOB_UNKNOWN", { details }).details).toEqual(details);
  });
});
