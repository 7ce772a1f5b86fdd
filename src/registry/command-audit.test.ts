/** Commands in the audit. */
import { expect, spyOn, test } from "bun:test";
import { silentLogger } from "../observe/logger.ts";
import { CollectionSubject } from "./gc/testing/collection-subject.ts";
import { auditCommands } from "./command-audit.ts";

test("a database that cannot be read for a moment does not end the audit of commands", async () => {
  await using subject = await CollectionSubject.open("memory");
  const { metadata } = subject.backend;
  await metadata.audit.recordCommand("root", "tag delete team/app:v1");
  const stopping = new AbortController();
  const failing = spyOn(metadata, "lastCommit").mockImplementationOnce(() => {
    throw new Error("the disk cannot now");
  });
  const auditing = auditCommands({ backend: subject.backend, log: silentLogger(), keeps: true }, stopping.signal);
  try {
    while ((await metadata.audit.unlogged(1)).length > 0) await Bun.sleep(10);
    expect(failing.mock.calls.length).toBeGreaterThan(1);
  } finally {
    stopping.abort();
    await auditing;
    failing.mockRestore();
  }
});
