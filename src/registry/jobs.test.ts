/** Jobs in the background. */
import { expect, spyOn, test } from "bun:test";
import { silentLogger } from "../observe/logger.ts";
import { APP, CollectionSubject } from "./gc/testing/collection-subject.ts";
import { Lease } from "./gc/lease.ts";
import { finishJobs, runJobsInBackground } from "./jobs.ts";

test("a database that cannot be read for a moment does not end the background work", async () => {
  await using subject = await CollectionSubject.open("memory");
  const { metadata } = subject.backend;
  await subject.image({ tags: ["v1"] });
  await metadata.repositories.delete(APP);
  const stopping = new AbortController();
  const failing = spyOn(metadata, "lastCommit").mockImplementationOnce(() => {
    throw new Error("the disk cannot now");
  });
  const working = runJobsInBackground(subject.backend, silentLogger(), stopping.signal);
  try {
    while ((await metadata.jobs.last()) !== 0) await Bun.sleep(10);
    expect(await subject.query("select * from manifest")).toEqual([]);
  } finally {
    stopping.abort();
    await working;
    failing.mockRestore();
  }
});

test("a process that waits for the jobs of another one is told for how long, and does them when that one ends", async () => {
  await using subject = await CollectionSubject.open("memory");
  const { metadata } = subject.backend;
  await subject.image({ tags: ["v1"] });
  await metadata.repositories.delete(APP);
  const other = await new Lease(subject.backend, "jobs", 60_000).hold();
  const waits: number[] = [];
  await finishJobs(subject.backend, {
    onWait: (waitedMs) => {
      waits.push(waitedMs);
      if (waits.length === 3) void other?.[Symbol.asyncDispose]();
    },
  });
  expect(waits.length).toBeGreaterThanOrEqual(3);
  expect(waits).toEqual(waits.toSorted((a, b) => a - b));
  expect(await subject.query("select * from manifest")).toEqual([]);
});
