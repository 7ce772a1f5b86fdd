/** What becomes of errors that are no refusals. */
import { expect, test } from "bun:test";
import { BrokenBodyError } from "../../lib/broken-body-error.ts";
import { BusyError } from "../../lib/busy-error.ts";
import { refusalIn, refusalReply } from "./error-reply.ts";

const EIO = Object.assign(new Error("input/output error"), { code: "EIO" });

test("a database that stays busy is refused with 503 UNAVAILABLE, and when to try again", () => {
  const cause = Object.assign(new Error("database is locked"), { name: "SQLiteError", code: "SQLITE_BUSY" });
  const refusal = refusalIn(new BusyError("the database is busy with another process", { cause }));
  expect(refusal).toMatchObject({ code: "UNAVAILABLE", status: 503 });
  expect(refusal && refusalReply(refusal).headers).toMatchObject({ "retry-after": expect.any(String) });
});

test.each([
  ["a body that ends early", new BrokenBodyError("broken"), "BLOB_UPLOAD_INVALID", 400],
  ["a full disk", Object.assign(new Error("full"), { code: "ENOSPC" }), "DENIED", 507],
  ["a disk that fails, below another error", new Error("x", { cause: EIO }), "UNAVAILABLE", 503],
  ["any other error", new Error("internal"), undefined, undefined],
])("%s", (_title, error, code, status) => {
  const refusal = refusalIn(error);
  expect({ code: refusal?.code, status: refusal?.status } as object).toEqual({ code, status });
});
