/** Uploads whose disk or database fails at some step: what was there before still counts, and nothing is left behind. */
import { describe, expect, test } from "bun:test";
import { MemoryEngine } from "../metadata/memory/memory-engine.ts";
import type { MetadataStore } from "../metadata/metadata-store.ts";
import { SqlMetadataStore } from "../metadata/sql-metadata-store.ts";
import { digestOf } from "../oci/digest.ts";
import type { BlobStore, Draft } from "../storage/blob-store.ts";
import { MemoryBlobStore } from "../storage/memory/memory-blob-store.ts";
import { DEFAULT_LIMITS, createBackend } from "./backend.ts";
import type { Backend } from "./backend.ts";
import { collectTrash } from "./gc/collector.ts";
import { LocalNamespace } from "./namespace.ts";
import type { Repository } from "./repository.ts";
import { APP, CLAIM_MS, LARGE, Pipe, contentOf, pull, refusalOf, streamOf } from "./testing/contract-subject.ts";
import type { BlobUpload } from "./uploads.ts";

const [FIRST, SECOND] = [contentOf("first", LARGE), contentOf("second", LARGE)];
const WHOLE = Uint8Array.from(Buffer.concat([FIRST, SECOND]));

/** Which step fails the next time it is taken. */
type Step =
  | "checkRoom"
  | "stage"
  | "append"
  | "flush"
  | "sync"
  | "seal"
  | "claimUpload"
  | "saveUpload"
  | "finishUpload";

describe("a fault while bytes are appended", () => {
  for (const step of ["append", "sync", "saveUpload", "claimUpload"] as const) {
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

  test("leaves an upload empty whose draft could not be made", async () => {
    const subject = await openSubject();
    const upload = await subject.repository.blobs.upload();
    subject.fail("stage");
    await expect(upload.append(streamOf(FIRST))).rejects.toThrow("stage fails");
    expect((await subject.repository.blobs.resume(upload.id))?.size).toBe(0);
    await upload.finish([digestOf(FIRST)], streamOf(FIRST));
    expect(await pull(subject.repository, digestOf(FIRST))).toEqual(FIRST);
  });
});

describe("a fault at the end of an upload", () => {
  for (const step of ["append", "flush", "seal"] as const) {
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
    subject.fail("finishUpload");
    await expect(upload.finish([digestOf(content)])).rejects.toThrow("finishUpload fails");
    await (await subject.another().blobs.resume(upload.id))!.finish([digestOf(content)]);
    expect(await pull(subject.repository, digestOf(content))).toEqual(content);
  });

  for (const takenOver of [false, true]) {
    const which = takenOver ? "an upload that was taken over" : "an upload";

    test(`behind the rename leaves ${which} as it was, once the writer's time is over`, async () => {
      const subject = await openSubject();
      const upload = await failBehindRename(subject, takenOver);
      expect(await subject.repository.blobs.exists(digestOf(WHOLE))).toBe(false);
      subject.clock.ms += CLAIM_MS;
      const again = (await subject.another().blobs.resume(upload.id))!;
      expect(again.size).toBe(LARGE);
      await again.finish([digestOf(WHOLE)], streamOf(SECOND));
      expect(await pull(subject.repository, digestOf(WHOLE))).toEqual(WHOLE);
      expect(await subject.kept()).toHaveLength(1);
    });

    test(`behind the rename leaves no file for good of ${which} that nobody goes on with`, async () => {
      const subject = await openSubject();
      await failBehindRename(subject, takenOver);
      subject.clock.ms += DEFAULT_LIMITS.uploadExpiryMs;
      expect(await subject.kept()).toEqual([]);
    });
  }

  test("behind the rename leaves nothing behind when it ends with another digest later", async () => {
    const subject = await openSubject();
    const upload = await subject.repository.blobs.upload();
    subject.fail("finishUpload");
    await expect(upload.finish([digestOf(FIRST)], streamOf(FIRST))).rejects.toThrow("finishUpload fails");
    subject.clock.ms += CLAIM_MS;
    const again = (await subject.another().blobs.resume(upload.id))!;
    expect(again.size).toBe(0);
    await again.finish([digestOf(SECOND)], streamOf(SECOND));
    expect(await pull(subject.repository, digestOf(SECOND))).toEqual(SECOND);
    subject.clock.ms += DEFAULT_LIMITS.uploadExpiryMs;
    expect(await subject.kept()).toHaveLength(1);
  });
});

/** An upload whose end failed when its bytes had their final name and no row. */
async function failBehindRename(subject: Subject, takenOver: boolean): Promise<BlobUpload> {
  const upload = await subject.repository.blobs.upload();
  await upload.append(streamOf(FIRST));
  const asleep = new Pipe();
  const lost = takenOver ? refusalOf(upload.append(asleep)) : undefined;
  if (lost) {
    await asleep.give(SECOND);
    subject.clock.ms += CLAIM_MS;
  }
  const last = (await subject.another().blobs.resume(upload.id))!;
  subject.fail("finishUpload");
  await expect(last.finish([digestOf(WHOLE)], streamOf(SECOND))).rejects.toThrow("finishUpload fails");
  if (lost) {
    await asleep.end();
    expect(await lost).toBe("BLOB_UPLOAD_INVALID 409");
  }
  return upload;
}

test("an upload is refused before it begins when there is no room", async () => {
  const subject = await openSubject();
  subject.fail("checkRoom");
  await expect(subject.repository.blobs.upload()).rejects.toThrow("checkRoom fails");
  expect(await subject.repository.exists()).toBe(false);
});

type Subject = Awaited<ReturnType<typeof openSubject>>;

/** A registry in memory that fails when it is told to. */
async function openSubject() {
  const clock = { ms: 1_700_000_000_000, now: () => clock.ms };
  const failing = new Set<Step>();
  const mayFail = (step: Step): void => {
    if (failing.delete(step)) throw new Error(`${step} fails`);
  };
  const memory = new MemoryBlobStore();
  const store = failingStore(memory, mayFail);
  const metadata = failingAt(new SqlMetadataStore(await MemoryEngine.open(), clock), mayFail, [
    "claimUpload",
    "saveUpload",
    "finishUpload",
  ]);
  const backend = (): Backend => createBackend({ store, metadata, clock });
  const another = (): Repository => new LocalNamespace(backend()).repository(APP);
  return {
    clock,
    another,
    repository: another(),
    fail: (step: Step) => void failing.add(step),
    async kept(): Promise<readonly string[]> {
      await collectTrash(backend());
      return (await Array.fromAsync(memory.list())).map(({ key }) => key);
    },
  };
}

function failingStore(store: BlobStore, mayFail: (step: Step) => void): BlobStore {
  const draft = (inner: Draft): Draft => failingAt(inner, mayFail, ["append", "flush", "sync"]);
  return {
    ...failingAt(store, mayFail, ["checkRoom", "seal"]),
    async stage(key) {
      mayFail("stage");
      return draft(await store.stage(key));
    },
    async reopen(key, size) {
      const found = await store.reopen(key, size);
      return found && draft(found);
    },
  };
}

/** The same port, whose methods `steps` may fail. */
function failingAt<Port extends BlobStore | MetadataStore | Draft>(
  port: Port,
  mayFail: (step: Step) => void,
  steps: readonly Step[],
): Port {
  const methods = new Map<PropertyKey, unknown>();
  for (
    let each: object | null = port;
    each && each !== Object.prototype;
    each = Object.getPrototypeOf(each) as object
  ) {
    for (const name of Reflect.ownKeys(each)) {
      const method = (port as unknown as Record<PropertyKey, unknown>)[name];
      if (methods.has(name) || typeof method !== "function") continue;
      methods.set(name, async (...args: unknown[]): Promise<unknown> => {
        mayFail(name as Step);
        return (await Reflect.apply(method, port, args)) as unknown;
      });
      if (!steps.includes(name as Step)) methods.set(name, (method as () => unknown).bind(port));
    }
  }
  return Object.fromEntries(methods) as unknown as Port;
}
