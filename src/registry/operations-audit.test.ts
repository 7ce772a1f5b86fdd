/** Operations of commands in the audit. */
import { expect, spyOn, test } from "bun:test";
import { silentLogger } from "../observe/logger.ts";
import { CollectionSubject } from "./gc/testing/collection-subject.ts";
import { auditOperations } from "./operations-audit.ts";

test("a database that cannot be read for a moment does not end the audit of operations", async () => {
  await using subject = await CollectionSubject.open("memory");
  const { metadata } = subject.backend;
  await metadata.operations.record("root", "tag delete team/app:v1");
  const stopping = new AbortController();
  const failing = spyOn(metadata, "lastCommit").mockImplementationOnce(() => {
    throw new Error("the disk cannot now");
  });
  const auditing = auditOperations(subject.backend, silentLogger(), stopping.signal);
  try {
    while ((await metadata.operations.waiting(1)).length > 0) await Bun.sleep(10);
    expect(failing.mock.calls.length).toBeGreaterThan(1);
  } finally {
    stopping.abort();
    await auditing;
    failing.mockRestore();
  }
});
