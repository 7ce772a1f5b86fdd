/** What is left behind by uploads, by trash and by repositories. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { digestOf } from "../../oci/digest.ts";
import type { StorageKey } from "../../storage/blob-store.ts";
import { DEFAULT_LIMITS } from "../backend.ts";
import { LocalNamespace } from "../namespace.ts";
import { collectAll } from "./collector.ts";
import { BACKUP_LEASE } from "../../metadata/leases.ts";
import {
  APP,
  CollectionSubject,
  DAY_MS,
  ENGINES,
  HOUR_MS,
  MINUTE_MS,
  RULES,
  bytes,
  long,
  once,
} from "./testing/collection-subject.ts";

setDefaultTimeout(60_000);

const LAYER = long("layer");
const EXPIRY_MS = DEFAULT_LIMITS.uploadExpiryMs;

describe.each([...ENGINES])("on %s", (kind) => {
  describe("uploads", () => {
    test("that no client resumes expire, and their part files with them", async () => {
      await using subject = await CollectionSubject.open(kind);
      const upload = await subject.repository().blobs.upload();
      await upload.append(once(bytes(LAYER)));
      subject.later(EXPIRY_MS - 1);
      expect(await subject.due()).toMatchObject({ uploads: 0, files: 0 });
      expect(await subject.files()).toHaveLength(1);
      subject.later(1);
      expect(await subject.due()).toMatchObject({ uploads: 1, files: 1 });
      expect(await subject.files()).toEqual([]);
      expect(await subject.repository().blobs.resume(upload.id)).toBeUndefined();
    });

    test("that a client resumes expire later", async () => {
      await using subject = await CollectionSubject.open(kind);
      const upload = await subject.repository().blobs.upload();
      await upload.append(once(bytes(LAYER)));
      subject.later(EXPIRY_MS - 1);
      await upload.append(once(bytes(LAYER)));
      subject.later(EXPIRY_MS - 1);
      expect(await subject.due()).toMatchObject({ uploads: 0 });
      await upload.finish([digestOf(bytes(LAYER + LAYER))]);
      expect(await subject.shows(digestOf(bytes(LAYER + LAYER)))).toBeTrue();
    });

    test("that are being written do not expire", async () => {
      await using subject = await CollectionSubject.open(kind);
      const upload = await subject.repository().blobs.upload();
      const began = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const slow = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes(LAYER);
        yield bytes(LAYER);
        began.resolve();
        await goOn.promise;
      };
      const finished = upload.finish([digestOf(bytes(LAYER + LAYER))], slow());
      await began.promise;
      await subject.change("update upload set expires_at = 1");
      expect(await subject.due()).toMatchObject({ uploads: 0 });
      goOn.resolve();
      await finished;
    });

    test("that were cancelled leave nothing", async () => {
      await using subject = await CollectionSubject.open(kind);
      const upload = await subject.repository().blobs.upload();
      await upload.append(once(bytes(LAYER)));
      await upload.cancel();
      expect(await subject.due()).toMatchObject({ files: 1 });
      expect(await subject.files()).toEqual([]);
    });

    test("of bytes that are here already replace their file", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      const before = await subject.files();
      await subject.push(LAYER);
      subject.later(MINUTE_MS); // a request may have been about to read it
      expect(await subject.due()).toMatchObject({ files: 1 });
      const after = await subject.files();
      expect(after).toHaveLength(1);
      expect(after).not.toEqual(before);
    });
  });

  test("a writer that dies while it takes an upload over leaves nothing when that expires", async () => {
    await using subject = await CollectionSubject.open(kind);
    const upload = await subject.repository().blobs.upload();
    await upload.append(once(bytes(LAYER)));
    await using sleeper = await subject.engine.holders.announce(); // a process that sleeps, whose lease has ended
    await subject.change(`update upload set claimed_by = '${sleeper.id}'`);
    const store = new Proxy(subject.backend.store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        const method = value.bind(target);
        if (name !== "takeOver") return method;
        return async (...given: unknown[]) => {
          await method(...given);
          throw new Error("died here");
        };
      },
    });
    const dying = await new LocalNamespace({ ...subject.backend, store }).repository(APP).blobs.resume(upload.id);
    await expect(dying?.append(once(bytes(LAYER)))).rejects.toThrow("died here");
    subject.later(2 * EXPIRY_MS);
    await subject.due();
    expect(await subject.files()).toEqual([]);
  });

  describe("trash", () => {
    test("waits for readers that have seen the row, a minute, and is then unlinked", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      subject.later(RULES.leaseMs);
      expect(await subject.all()).toMatchObject({ blobs: 1, files: 0 });
      subject.later(MINUTE_MS - 1);
      expect(await subject.all()).toMatchObject({ files: 0 });
      expect(await subject.files()).toHaveLength(1);
      subject.later(1);
      expect(await subject.all()).toMatchObject({ files: 1 });
      expect(await subject.files()).toEqual([]);
      expect(await subject.query("select * from trash")).toEqual([]);
    });

    test("without any grace is unlinked at once", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      expect(await subject.all({ leaseMs: 0, graceMs: 0 })).toMatchObject({ blobs: 1, files: 1 });
    });

    test("is unlinked again when the row outlived the bytes, and that is no error", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.change("insert into trash (storage_key, after) values ('uploads/gone', 1)");
      expect(await subject.due()).toMatchObject({ files: 1 });
      expect(await subject.query("select * from trash")).toEqual([]);
    });

    test("is remembered until its bytes are gone: when the disk says no, it is tried again", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      subject.later(RULES.leaseMs);
      const store = new Proxy(subject.backend.store, {
        get(target, name) {
          if (name === "delete") return () => Promise.reject(new Error("on purpose"));
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      const rules = { ...RULES, graceMs: 0 };
      await expect(collectAll({ ...subject.backend, store }, rules)).rejects.toThrow("on purpose");
      expect(await subject.files()).toHaveLength(1);
      expect(await subject.due()).toMatchObject({ files: 1 });
      expect(await subject.files()).toEqual([]);
    });

    test("stays while a backup holds its lease, and goes when that ends", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      const until = subject.clock.ms + RULES.leaseMs + MINUTE_MS;
      expect(await subject.metadata.leases.take(BACKUP_LEASE, "backup", until)).toBeTrue();
      subject.later(RULES.leaseMs);
      expect(await subject.all({ graceMs: 0 })).toMatchObject({ blobs: 1, files: 0 });
      expect(await subject.files()).toHaveLength(1);
      subject.later(MINUTE_MS);
      expect(await subject.all()).toMatchObject({ files: 1 });
    });

    test("that an earlier run put off for readers goes at once when no grace is granted", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      subject.later(RULES.leaseMs + RULES.graceMs);
      expect(await subject.all()).toMatchObject({ blobs: 1, files: 0 });
      expect(await subject.metadata.collection.backlog()).toEqual({
        entries: 0,
        nextReviewAt: undefined,
        files: 1,
        nextUnlinkAt: subject.clock.ms + MINUTE_MS,
        isHeldByBackup: false,
      });
      expect(await subject.all()).toMatchObject({ files: 0 });
      expect(await subject.all({ leaseMs: 0, graceMs: 0 })).toMatchObject({ files: 1 });
      expect(await subject.files()).toEqual([]);
    });

    test("of a writer that takes an upload over stays, however little grace is granted", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.metadata.uploads.reservePart("uploads/reserved", subject.clock.ms + HOUR_MS);
      expect(await subject.all({ leaseMs: 0, graceMs: 0 })).toMatchObject({ files: 0 });
      expect(await subject.metadata.collection.backlog()).toMatchObject({ files: 1 });
    });

    test.skipIf(kind === "memory")("that cannot be unlinked keeps nothing else from being", async () => {
      await using subject = await CollectionSubject.open(kind);
      for (let number = 0; number < 60; number++) {
        const key = `blobs/stuck-${number}` as StorageKey;
        const location = subject.backend.store.locate(key, 1);
        if (location.kind === "file") await mkdir(location.path); // what is a folder cannot be unlinked
        await subject.change("insert into trash (storage_key, after) values ($1, 1)", key);
      }
      await subject.change("insert into trash (storage_key, after) values ('blobs/other', 2)");
      await expect(subject.due()).rejects.toThrow();
      expect(await subject.query("select * from trash where storage_key not like 'blobs/stuck-%'")).toEqual([]);
      expect(await subject.metadata.collection.backlog()).toMatchObject({ files: 60 });
    });

    test("more than a step of it goes in one round", async () => {
      await using subject = await CollectionSubject.open(kind);
      for (let number = 0; number < 250; number++) {
        await subject.change("insert into trash (storage_key, after) values ($1, 1)", `uploads/${number}`);
      }
      expect(await subject.due()).toMatchObject({ files: 250 });
    });
  });

  describe("a repository is forgotten", () => {
    test("when its last blob is collected", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      subject.later(RULES.leaseMs);
      await subject.all();
      expect(await repositories(subject)).toEqual([]);
    });

    test("when a client deleted its last image, with the history of its tags", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      const image = await subject.image({ layers: [LAYER], tags: ["latest"] });
      subject.later(RULES.leaseMs);
      await subject.repository().manifests.delete(image);
      subject.later(RULES.leaseMs);
      await subject.due();
      expect(await repositories(subject)).toEqual([]);
      expect(await subject.query("select * from tag_history")).toEqual([]);
    });

    test("when a client deleted its last blob", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.repository().blobs.delete(await subject.push(LAYER));
      subject.later(DAY_MS);
      await subject.due();
      expect(await repositories(subject)).toEqual([]);
    });

    test("when a client deleted its last manifest, which needed no blob", async () => {
      await using subject = await CollectionSubject.open(kind);
      const index = await subject.index([], ["latest"]);
      await subject.repository().manifests.delete(index);
      subject.later(10 * DAY_MS);
      await subject.due();
      await subject.all();
      expect(await repositories(subject)).toEqual([]);
    });

    test("when its last upload was cancelled", async () => {
      await using subject = await CollectionSubject.open(kind);
      await (await subject.repository().blobs.upload()).cancel();
      subject.later(DAY_MS);
      await subject.due();
      await subject.all();
      expect(await repositories(subject)).toEqual([]);
    });

    test("when its last upload expired", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.repository().blobs.upload();
      subject.later(EXPIRY_MS);
      await subject.due();
      await subject.all();
      expect(await repositories(subject)).toEqual([]);
    });

    test("not while an upload goes on in it", async () => {
      await using subject = await CollectionSubject.open(kind);
      await subject.push(LAYER);
      const upload = await subject.repository().blobs.upload();
      subject.later(RULES.leaseMs);
      await subject.all();
      await upload.finish([digestOf(bytes(LAYER))], once(bytes(LAYER)));
      expect(await subject.shows(digestOf(bytes(LAYER)))).toBeTrue();
    });
  });

  test("after everything was deleted no row is left but the lease's", async () => {
    await using subject = await CollectionSubject.open(kind, { untagged: true });
    await subject.push(LAYER);
    const image = await subject.image({ layers: [LAYER], tags: ["latest"] });
    const signature = await subject.image({ subject: image });
    const index = await subject.index([image], ["index"]);
    for (const digest of [index, signature, image]) await subject.repository().manifests.delete(digest);
    subject.later(10 * DAY_MS);
    await subject.all();
    subject.later(MINUTE_MS);
    await subject.all();
    for (const table of ["repo", "blob", "repo_blob", "manifest", "tag_history", "trash"]) {
      expect({ table, rows: await subject.query(`select * from ${table}`) }).toEqual({ table, rows: [] });
    }
    expect(await subject.files()).toEqual([]);
  });
});

async function repositories(subject: CollectionSubject): Promise<readonly unknown[]> {
  return (await subject.query("select name from repo")).map((row) => row["name"]);
}
