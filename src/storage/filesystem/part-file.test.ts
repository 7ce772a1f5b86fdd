/** Part files against the same steps in memory: with direct writes and without, and where the system refuses them. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomFillSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { FilesystemPartFile, openDirect as openForDirectWrites } from "./part-file.ts";
import type { OpenDirect } from "./part-file.ts";
import { BUFFER_BYTES, WriteBuffers } from "./write-buffers.ts";

setDefaultTimeout(60_000);

type Buffers = Pick<WriteBuffers, "lend" | "giveBack">;

const folders = await Promise.all([tmpdir(), "/dev/shm"].filter(existsSync).map((at) => mkdtemp(join(at, "stowage-"))));
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

const CONTENT = randomFillSync(Buffer.alloc(4 * BUFFER_BYTES));

/** As a file system without direct writes says it. */
const refuses: OpenDirect = () => Promise.reject(Object.assign(new Error("invalid argument"), { code: "EINVAL" }));

/** Memory that begins behind a page: Linux refuses to write it past the page cache of a disk. */
class UnalignedBuffers extends WriteBuffers {
  override lend(): Uint8Array {
    return new Uint8Array(BUFFER_BYTES + 1).subarray(1);
  }
  override giveBack(): void {}
}

/** Lends every second time it is asked. */
class FewBuffers extends WriteBuffers {
  #asked = 0;
  override lend(): Uint8Array | undefined {
    return (this.#asked += 1) % 2 === 0 ? super.lend() : undefined;
  }
}

const WAYS: Readonly<Record<string, { readonly buffers: () => WriteBuffers; readonly openDirect?: OpenDirect }>> = {
  "through the page cache": { buffers: () => new WriteBuffers() },
  "direct writes": { buffers: () => new WriteBuffers(), openDirect: openForDirectWrites },
  "a file system that refuses": { buffers: () => new WriteBuffers(), openDirect: refuses },
  "buffers that do not begin at a page": { buffers: () => new UnalignedBuffers(), openDirect: openForDirectWrites },
  "too few buffers": { buffers: () => new FewBuffers(), openDirect: openForDirectWrites },
};

const size = fc.oneof(
  fc.integer({ min: 0, max: 2.5 * BUFFER_BYTES }),
  fc.constantFrom(1, 511, 4096, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 2 * BUFFER_BYTES),
);
const share = fc.integer({ min: 0, max: 1000 }).map((thousandths) => thousandths / 1000);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("append" as const), size, piece: size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("truncate" as const), share }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const), share }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("break off" as const), share }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("flush" as const) }) },
);

for (const folder of folders) {
  for (const [way, { buffers, openDirect }] of Object.entries(WAYS)) {
    test(`random writes, breaks and resumes give the bytes of a plain file: ${folder}, ${way}`, async () => {
      let files = 0;
      const lent = buffers();
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
          const path = join(folder, `${way.replaceAll(" ", "-")}-${(files += 1)}`);
          let model = Buffer.alloc(0);
          /** Bytes that a row would count: whatever happens, they stay. */
          let counted = 0;
          let part = await openPart(path, 0, lent, openDirect);
          for (const each of steps) {
            if (each.do === "append") {
              const bytes = CONTENT.subarray(model.length % 1000, (model.length % 1000) + each.size);
              for (const piece of cut(bytes, Math.max(each.piece, 1024))) {
                const sent = Uint8Array.from(piece);
                await part.append(sent);
                sent.fill(0); // the sender may use its buffer again
              }
              model = Buffer.concat([model, bytes]);
            } else if (each.do === "flush") {
              await part.flush();
              expect((await readFile(path)).equals(model)).toBe(true);
            } else if (each.do === "truncate") {
              model = model.subarray(0, Math.floor(model.length * each.share));
              await part.truncate(model.length);
              counted = Math.min(counted, model.length);
            } else {
              if (each.do === "resume") {
                await part.sync();
                counted = Math.floor(model.length * each.share);
              }
              await part[Symbol.asyncDispose]();
              model = model.subarray(0, counted);
              expect((await stat(path)).size).toBeGreaterThanOrEqual(counted);
              part = await openPart(path, counted, lent, openDirect);
            }
          }
          await part.sync();
          await part[Symbol.asyncDispose]();
          expect((await readFile(path)).equals(model)).toBe(true);
          await rm(path);
        }),
        { numRuns: 8 },
      );
    });
  }
}

describe("direct writes", () => {
  test("only a file that fills a buffer is opened a second time", async () => {
    const opened: string[] = [];
    const openDirect: OpenDirect = (path) => {
      opened.push(path);
      return openForDirectWrites(path);
    };
    for (const [name, bytes] of [
      ["small", BUFFER_BYTES - 1],
      ["large", 3 * BUFFER_BYTES + 7],
    ] as const) {
      const path = join(folders[0]!, name);
      const part = await openPart(path, 0, new WriteBuffers(), openDirect);
      await part.append(CONTENT.subarray(0, bytes));
      await part.sync();
      await part[Symbol.asyncDispose]();
      expect((await readFile(path)).equals(CONTENT.subarray(0, bytes))).toBe(true);
    }
    expect(opened).toEqual([join(folders[0]!, "large")]);
  });

  test.each(Object.entries(WAYS))("the caller may use its bytes again: %s", async (_way, { buffers, ...way }) => {
    const path = join(folders[0]!, crypto.randomUUID());
    const context = { buffers: buffers(), ...way, checkRoom: async () => {}, syncName: async () => {} };
    const pieces = [1000, BUFFER_BYTES, 2 * BUFFER_BYTES, 1000];
    {
      await using file = new FilesystemPartFile(path, await open(path, "w"), 0, context);
      let at = 0;
      for (const length of pieces) {
        const piece = new Uint8Array(CONTENT.subarray(at, at + length));
        await file.append(piece);
        piece.fill(0);
        at += length;
      }
      await file.sync();
    }
    const written = await readFile(path);
    expect(written.equals(CONTENT.subarray(0, written.length))).toBeTrue();
  });

  test("an error of the disk is thrown, and the part file can be cut off and written again", async () => {
    let isFull = true;
    const path = join(folders[0]!, "full");
    const part = await openPart(path, 0, new WriteBuffers(), openForDirectWrites, () =>
      isFull ? Promise.reject(Object.assign(new Error("no space left"), { code: "ENOSPC" })) : Promise.resolve(),
    );
    const write = async (): Promise<void> => {
      for (const piece of cut(CONTENT, 300_000)) await part.append(piece);
      await part.flush();
    };
    await expect(write()).rejects.toThrow("no space left");
    await expect(part.append(CONTENT)).rejects.toThrow("no space left");
    isFull = false;
    await part.truncate(0);
    await write();
    await part[Symbol.asyncDispose]();
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
  });
});

describe("write buffers", () => {
  test("a bounded number is lent, and each may be lent again", () => {
    const buffers = new WriteBuffers();
    const lent: Uint8Array[] = [];
    for (let next = buffers.lend(); next; next = buffers.lend()) lent.push(next);
    expect(lent.length * BUFFER_BYTES).toBeLessThanOrEqual(64 * 1024 * 1024);
    for (const buffer of lent) buffers.giveBack(buffer);
    expect(lent.map(() => buffers.lend())).not.toContain(undefined);
    expect(buffers.lend()).toBeUndefined();
  });

  test("part files give back all that they borrowed, however they end", async () => {
    let lent = 0;
    const own = new WriteBuffers();
    const buffers: Buffers = {
      lend: () => ((lent += 1), own.lend()),
      giveBack: (buffer) => ((lent -= 1), own.giveBack(buffer)),
    };
    const path = join(folders[0]!, "borrowed");
    for (const end of ["sync", "flush", "truncate", "none", "full"] as const) {
      const checkRoom = () => (end === "full" ? Promise.reject(new Error("full")) : Promise.resolve());
      const part = await openPart(path, 0, buffers, openForDirectWrites, checkRoom);
      await part.append(CONTENT.subarray(0, 2.5 * BUFFER_BYTES)).catch(() => undefined);
      if (end === "truncate") await part.truncate(1);
      else if (end === "sync" || end === "flush") await part[end]();
      await part[Symbol.asyncDispose]();
      expect(lent).toBe(0);
    }
  });
});

/** A part file that is new, or goes on after its first bytes. */
async function openPart(
  path: string,
  position: number,
  buffers: Buffers,
  openDirect: OpenDirect | undefined,
  checkRoom: () => Promise<void> = () => Promise.resolve(),
): Promise<FilesystemPartFile> {
  const handle = await open(path, position === 0 ? "w" : "r+");
  if (position > 0) await handle.truncate(position);
  const context = { buffers, openDirect, checkRoom, syncName: () => Promise.resolve() };
  return new FilesystemPartFile(path, handle, position, context);
}

function* cut(bytes: Uint8Array, piece: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}
