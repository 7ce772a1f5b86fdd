/** Uploads whose disk or database fails at some step: what was there before still counts, and nothing is left behind. */
import { describe, expect, test } from "bun:test";
import { MemoryEngine } from "../metadata/memory/memory-engine.ts";
import { Metadata } from "../metadata/metadata.ts";
import { watchedMetadata } from "../metadata/testing/watched-metadata.ts";
import { digestOf } from "../oci/digest.ts";
import type { BlobStore, PartWriter } from "../storage/blob-store.ts";
import { MemoryBlobStore } from "../storage/memory/memory-blob-store.ts";
import { DEFAULT_LIMITS, createBackend } from "./backend.ts";
import type { Backend } from "./backend.ts";
import { collectTrash } from "./gc/collector.ts";
import { LocalNamespace } from "./namespace.ts";
import type { Repository } from "./repository.ts";
import {
  APP,
  LARGE,
  LEASE_MS,
  ManualClock,
  Pipe,
  SILENCE_MS,
  contentOf,
  pull,
  refusalOf,
  streamOf,
} from "./testing/contract-subject.ts";

const [FIRST, SECOND] = [contentOf("first", LARGE), contentOf("second", LARGE)];
const WHOLE = Uint8Array.from(Buffer.concat([FIRST, SECOND]));

/** Which step fails the next time it is taken. */
type Step =
  | "checkRoom"
  | "begin"
  | "append"
  | "checkpoint"
  | "commit"
  | "uploads.claim"
  | "uploads.save"
  | "uploads.finish"
  | "uploads.release"
  | "read";

describe("a fault while bytes are appended", () => {
  for (const step of ["append", "checkpoint", "uploads.save", "uploads.claim"] as const) {
    for (const place of [{}, { start: LARGE, length: LARGE }]) {
      test(`leaves the upload as it was (${step}, ${"start" in place ? "with" : "without"} a place)`, async () => {
        const subject = await openSubject();
        const upload = await subject.repository.blobs.upload();
        await upload.append(streamOf(FIRST));
        subject.fail(step);
        await expect(upload.append(streamOf(SECOND), place)).rejects.toThrow(`${step} fails`);
        const again = (await subject.another().blobs.resume(upload.id))!;
        expect(again.size).toBe(LARGE);
        expect(await again.append(streamOf(SECOND), { start: LARGE })).toBe(2 * LARGE);
        await again.finish([digestOf(WHOLE)]);
        expect(await pull(subject.repository, digestOf(WHOLE))).toEqual(WHOLE);
      });
    }
  }

  test("leaves an upload empty whose part file could not be made", async () => {
    const subject = await openSubject();
    const upload = await subject.repository.blobs.upload();
    subject.fail("begin");
    await expect(upload.append(streamOf(FIRST))).rejects.toThrow("begin fails");
    expect((await subject.repository.blobs.resume(upload.id))?.size).toBe(0);
    await upload.finish([digestOf(FIRST)], streamOf(FIRST));
    expect(await pull(subject.repository, digestOf(FIRST))).toEqual(FIRST);
  });
});

describe("a fault at the end of an upload", () => {
  for (const step of ["append", "commit"] as const) {
    test(`leaves it as it was (${step})`, async () => {
      const subject = await openSubject();
      const upload = await subject.repository.blobs.upload();
      await upload.append(streamOf(FIRST));
      subject.fail(step);
      await expect(upload.finish([digestOf(WHOLE)], streamOf(SECOND))).rejects.toThrow(`${step} fails`);
      const again = (await subject.another().blobs.resume(upload.id))!;
      expect(again.size).toBe(LARGE);
      await again.finish([digestOf(WHOLE)], streamOf(SECOND));
      expect(await pull(subject.repository, digestOf(WHOLE))).toEqual(WHOLE);
    });
  }

  test("leaves a small one as it was, whose row could not be written", async () => {
    const subject = await openSubject();
    const content = contentOf("small", 100);
    const upload = await subject.repository.blobs.upload();
    await upload.append(streamOf(content));
    subject.fail("uploads.finish");
    await expect(upload.finish([digestOf(content)])).rejects.toThrow("uploads.finish fails");
    await (await subject.another().blobs.resume(upload.id))!.finish([digestOf(content)]);
    expect(await pull(subject.repository, digestOf(content))).toEqual(content);
  });

  for (const takenOver of [false, true]) {
    const which = takenOver ? "an upload that was taken over" : "an upload";

    for (const where of ["the same process", "another process"]) {
      for (const times of [1, 3]) {
        test(`behind the rename leaves ${which} as it was at once, in ${where}, after ${times} failures`, async () => {
          const subject = await openSubject();
          const { upload, repository } = await failBehindRename(subject, takenOver, times);
          expect(await repository.blobs.exists(digestOf(WHOLE))).toBe(false);
          const next = where === "the same process" ? repository : subject.another();
          const again = (await next.blobs.resume(upload.id))!;
          expect(again.size).toBe(LARGE);
          await again.finish([digestOf(WHOLE)], streamOf(SECOND));
          expect(await pull(next, digestOf(WHOLE))).toEqual(WHOLE);
          expect(await subject.kept()).toHaveLength(1);
        });
      }
    }

    test(`behind the rename leaves no file for good of ${which} that no client resumes`, async () => {
      const subject = await openSubject();
      await failBehindRename(subject, takenOver);
      subject.clock.ms += DEFAULT_LIMITS.uploadExpiryMs;
      expect(await subject.kept()).toEqual([]);
    });
  }

  test("behind the rename leaves the upload to its process at once, and to others soon, when it cannot be released", async () => {
    const subject = await openSubject();
    const process = subject.another();
    const upload = await process.blobs.upload();
    await upload.append(streamOf(FIRST));
    for (const step of ["uploads.finish", "uploads.release"] as const) subject.fail(step);
    await expect(upload.finish([digestOf(WHOLE)], streamOf(SECOND))).rejects.toThrow("uploads.finish fails");
    const other = (await subject.another().blobs.resume(upload.id))!;
    expect(await refusalOf(other.append(streamOf(SECOND)))).toBe("BLOB_UPLOAD_INVALID 409");
    subject.fail("uploads.release");
    expect(await upload.append(streamOf(SECOND))).toBe(2 * LARGE); // by its process at once
    for (const step of ["uploads.save", "uploads.release"] as const) subject.fail(step);
    await expect(upload.append(streamOf(SECOND))).rejects.toThrow("uploads.save fails");
    await subject.clock.pass(1000);
    await other.finish([digestOf(WHOLE)]);
    expect(await pull(subject.repository, digestOf(WHOLE))).toEqual(WHOLE);
  });

  for (const rest of [FIRST, contentOf("small", 100)]) {
    test(`behind the rename leaves nothing behind when it ends with ${rest.length} other bytes later`, async () => {
      const subject = await openSubject();
      const upload = await subject.repository.blobs.upload();
      subject.fail("uploads.finish");
      await expect(upload.finish([digestOf(SECOND)], streamOf(SECOND))).rejects.toThrow("uploads.finish fails");
      const again = (await subject.another().blobs.resume(upload.id))!;
      expect(again.size).toBe(0);
      await again.finish([digestOf(rest)], streamOf(rest));
      expect(await pull(subject.repository, digestOf(rest))).toEqual(rest);
      expect(await subject.kept()).toHaveLength(rest.length > 1000 ? 1 : 0);
    });
  }
});

describe("few bytes that end an upload whose part file was given up leave nothing behind", () => {
  const small = contentOf("small", 100);

  test("when the request that made it failed", async () => {
    const subject = await openSubject();
    const upload = await subject.repository.blobs.upload();
    subject.fail("append");
    await expect(upload.append(streamOf(FIRST))).rejects.toThrow("append fails");
    await upload.finish([digestOf(small)], streamOf(small));
    expect(await pull(subject.repository, digestOf(small))).toEqual(small);
    expect(await subject.kept()).toEqual([]);
  });

  test("when the client that filled it fell silent", async () => {
    const subject = await openSubject();
    const upload = await subject.repository.blobs.upload();
    const silent = new Pipe();
    const lost = refusalOf(upload.append(silent));
    await silent.give(FIRST);
    await subject.clock.pass(SILENCE_MS);
    await (await subject.another().blobs.resume(upload.id))!.finish([digestOf(small)], streamOf(small));
    await silent.end();
    expect(await lost).toBe("BLOB_UPLOAD_UNKNOWN 404");
    expect(await pull(subject.repository, digestOf(small))).toEqual(small);
    expect(await subject.kept()).toEqual([]);
  });
});

describe("a request that works for minutes keeps its upload", () => {
  for (const step of ["append", "commit", "checkpoint", "read"] as const) {
    test(`while it waits for ${step}`, async () => {
      const subject = await openSubject();
      const upload = await subject.repository.blobs.upload();
      await upload.append(streamOf(FIRST));
      const held = subject.hold(step);
      // sha512 was not named early: the bytes are read again for it.
      const working =
        step === "append" || step === "checkpoint"
          ? upload.append(streamOf(SECOND))
          : upload.finish([digestOf(WHOLE, "sha512")], streamOf(SECOND));
      await held.reached;
      await subject.clock.pass(3 * 60_000);
      for (const namespace of [subject.repository, subject.another()]) {
        const other = (await namespace.blobs.resume(upload.id))!;
        expect(await refusalOf(other.append(streamOf(FIRST)))).toBe("BLOB_UPLOAD_INVALID 409");
        expect(await refusalOf(other.finish([digestOf(FIRST)]))).toBe("BLOB_UPLOAD_INVALID 409");
      }
      held.goOn();
      await working;
      if (step === "append" || step === "checkpoint") await upload.finish([digestOf(WHOLE)]);
      expect(
        await pull(
          subject.repository,
          digestOf(WHOLE, step === "append" || step === "checkpoint" ? "sha256" : "sha512"),
        ),
      ).toEqual(WHOLE);
    });
  }
});

/** An upload whose end failed, so many times, when its bytes had their final name and no row; and the process where it did. */
async function failBehindRename(subject: Subject, takenOver: boolean, times = 1) {
  const upload = await subject.repository.blobs.upload();
  await upload.append(streamOf(FIRST));
  const asleep = new Pipe();
  const lost = takenOver ? refusalOf(upload.append(asleep)) : undefined;
  if (lost) {
    await asleep.give(SECOND);
    subject.clock.ms += LEASE_MS;
  }
  const repository = subject.another();
  const last = (await repository.blobs.resume(upload.id))!;
  for (let time = 0; time < times; time++) {
    subject.fail("uploads.finish");
    await expect(last.finish([digestOf(WHOLE)], streamOf(SECOND))).rejects.toThrow("uploads.finish fails");
  }
  if (lost) {
    await asleep.end();
    expect(await lost).toBe("BLOB_UPLOAD_INVALID 409");
  }
  return { upload, repository };
}

test("an upload is refused before it begins when there is no room", async () => {
  const subject = await openSubject();
  subject.fail("checkRoom");
  await expect(subject.repository.blobs.upload()).rejects.toThrow("checkRoom fails");
  expect(await subject.repository.exists()).toBe(false);
});

const METADATA_STEPS: ReadonlySet<string> = new Set<Step>([
  "uploads.claim",
  "uploads.save",
  "uploads.finish",
  "uploads.release",
]);

type Subject = Awaited<ReturnType<typeof openSubject>>;

/** A registry in memory that fails when it is told to. */
async function openSubject() {
  const clock = new ManualClock();
  const failing = new Set<Step>();
  const held = new Map<Step, { readonly reached: () => void; readonly goOn: Promise<void> }>();
  const pass = async (step: Step): Promise<void> => {
    if (failing.delete(step)) throw new Error(`${step} fails`);
    held.get(step)?.reached();
    await held.get(step)?.goOn;
  };
  const memory = new MemoryBlobStore();
  const store = failingStore(memory, pass);
  const metadata = watchedMetadata(new Metadata(await MemoryEngine.open(), clock), (call) => {
    return METADATA_STEPS.has(call) ? pass(call as Step) : undefined;
  });
  const backend = (): Backend => createBackend({ store, metadata, clock });
  const another = (): Repository => new LocalNamespace(backend()).repository(APP);
  return {
    clock,
    another,
    repository: another(),
    /** The next call fails. */
    fail: (step: Step) => void failing.add(step),
    /** Calls wait from now on. */
    hold(step: Step): { readonly reached: Promise<void>; goOn(): void } {
      const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      held.set(step, { reached: reached.resolve, goOn: goOn.promise });
      return { reached: reached.promise, goOn: goOn.resolve };
    },
    async kept(): Promise<readonly string[]> {
      await collectTrash(backend());
      return (await Array.fromAsync(memory.list())).map(({ key }) => key);
    },
  };
}

function failingStore(store: BlobStore, pass: (step: Step) => Promise<void>): BlobStore {
  const part = (inner: PartWriter): PartWriter => failingAt(inner, pass, ["append", "checkpoint", "commit"]);
  const own: Pick<BlobStore, "begin" | "resume" | "read"> = {
    async begin(key, options) {
      await pass("begin");
      return part(await store.begin(key, options));
    },
    async resume(counted, options) {
      const found = await store.resume(counted, options);
      return found && part(found);
    },
    async *read(key, range) {
      await pass("read");
      yield* store.read(key, range);
    },
  };
  return new Proxy(failingAt(store, pass, ["checkRoom"]), {
    get: (target, name): unknown => Reflect.get(name in own ? own : target, name),
  });
}

/** The same port, whose methods `steps` may fail or wait. */
function failingAt<Port extends BlobStore | PartWriter>(
  port: Port,
  pass: (step: Step) => Promise<void>,
  steps: readonly Step[],
): Port {
  return new Proxy(port, {
    get(target, name): unknown {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...args: unknown[]) => unknown;
      if (!steps.includes(name as Step)) return method;
      return async (...args: unknown[]): Promise<unknown> => {
        await pass(name as Step);
        return await method(...args);
      };
    },
  });
}
