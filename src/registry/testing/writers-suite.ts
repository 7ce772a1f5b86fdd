/**
 * Who may write to an upload: one at a time, in this process or in another; any writer after one that receives nothing,
 * and after a process that sleeps. What becomes of one that dies is tested with processes that do.
 */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import { BrokenBodyError } from "../../lib/broken-body-error.ts";
import type { BlobUpload } from "../uploads.ts";
import {
  APP,
  LARGE,
  LEASE_MS,
  Pipe,
  SILENCE_MS,
  brokenAfter,
  bytes,
  contentOf,
  pull,
  refusalOf,
  streamOf,
} from "./contract-subject.ts";
import type { ContractSubject, OpenContract } from "./contract-subject.ts";

const [A, B, C] = [contentOf("a", 20_000), contentOf("b", 20_000), contentOf("c", 20_000)] as const;

/** Beyond every buffer of a store. */
const HUGE = 1_100_000;

/** What a writer that slept still has to say. */
const LATE = contentOf("late", HUGE);

export function testWriters(open: OpenContract): void {
  test("an upload goes on in another process, and in the first again", async () => {
    await using subject = await open();
    const [here, there] = [subject.namespace.repository(APP), (await subject.another()).repository(APP)];
    const upload = await here.blobs.upload();
    await upload.append(streamOf(A));
    const taken = (await there.blobs.resume(upload.id))!;
    expect(taken.size).toBe(20_000);
    expect(taken.startedAt).toEqual(upload.startedAt);
    expect(await taken.append(streamOf(B))).toBe(40_000);
    expect(await upload.append(streamOf(C))).toBe(60_000);
    const whole = joined(A, B, C);
    await taken.finish([digestOf(whole)]);
    for (const repository of [here, there]) expect(await pull(repository, digestOf(whole))).toEqual(whole);
  });

  for (const [what, size] of [
    ["few bytes", 100],
    ["many bytes", 20_000],
  ] as const) {
    test(`a process that hashed none of ${what} verifies them all the same`, async () => {
      await using subject = await open();
      const [here, there] = [subject.namespace.repository(APP), (await subject.another()).repository(APP)];
      const [first, second] = [contentOf("first", size), contentOf("second", size)];
      for (const wrong of [true, false]) {
        const upload = await here.blobs.upload();
        await upload.append(streamOf(first));
        await (await there.blobs.resume(upload.id))!.append(streamOf(second));
        const last = (await (await subject.another()).repository(APP).blobs.resume(upload.id))!;
        const digest = digestOf(joined(first, wrong ? first : second));
        expect(await refusalOf(last.finish([digest]))).toBe(wrong ? "DIGEST_INVALID 400" : "none");
      }
      expect(await pull(here, digestOf(joined(first, second)))).toEqual(joined(first, second));
    });
  }

  test("a handle that slept while others wrote knows where the upload stands", async () => {
    await using subject = await open();
    const { blobs } = subject.namespace.repository(APP);
    const upload = await blobs.upload();
    const other = (await (await subject.another()).repository(APP).blobs.resume(upload.id))!;
    await other.append(streamOf(A));
    expect(upload.size).toBe(0);
    expect(await refusalOf(upload.append(streamOf(B), { start: 0 }))).toBe("BLOB_UPLOAD_INVALID 416");
    expect(upload.size).toBe(20_000);
    await upload.append(streamOf(B), { start: 20_000 });
    await other.finish([digestOf(joined(A, B))]);
  });

  testTwoAtOnce(open);
  testSilence(open);
  testTold(open);
  testTakenOver(open);
}

function testTwoAtOnce(open: OpenContract): void {
  for (const where of ["this process", "another process"]) {
    test(`while one writes, a second one in ${where} is refused with 409 and changes nothing`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const upload = await repository.blobs.upload();
      const other = await resumed(subject, upload, where);
      const pipe = new Pipe();
      const writing = upload.append(pipe);
      await pipe.give(A); // more than lies in memory: from here on the upload is held
      expect(await refusalOf(other.append(streamOf(C)))).toBe("BLOB_UPLOAD_INVALID 409");
      expect(await refusalOf(other.finish([digestOf(C)], streamOf(C)))).toBe("BLOB_UPLOAD_INVALID 409");
      await pipe.give(B);
      await pipe.end();
      expect(await writing).toBe(40_000);
      await other.append(streamOf(C));
      await upload.finish([digestOf(joined(A, B, C))]);
      expect(await pull(repository, digestOf(joined(A, B, C)))).toEqual(joined(A, B, C));
    });

    for (const size of [100, 20_000]) {
      test(`of two that write ${size} bytes at once in ${where}, one wins and the other is refused with 409`, async () => {
        await using subject = await open();
        const repository = subject.namespace.repository(APP);
        const upload = await repository.blobs.upload();
        const other = await resumed(subject, upload, where);
        const contents = [contentOf("one", size), contentOf("two", size)] as const;
        const refusals = await Promise.all([
          refusalOf(upload.append(streamOf(contents[0]))),
          refusalOf(other.append(streamOf(contents[1]))),
        ]);
        expect(refusals.toSorted()).toEqual(["BLOB_UPLOAD_INVALID 409", "none"]);
        const winner = contents[refusals.indexOf("none")]!;
        expect((await repository.blobs.resume(upload.id))?.size).toBe(size);
        await other.finish([digestOf(winner)]);
        expect(await pull(repository, digestOf(winner))).toEqual(winner);
      });

      test(`of two that end an upload of ${size} bytes at once in ${where}, one does`, async () => {
        await using subject = await open();
        const repository = subject.namespace.repository(APP);
        const content = contentOf("ended", size);
        const upload = await repository.blobs.upload();
        await upload.append(streamOf(content));
        const other = await resumed(subject, upload, where);
        const refusals = await Promise.all([
          refusalOf(upload.finish([digestOf(content)])),
          refusalOf(other.finish([digestOf(content)])),
        ]);
        expect(refusals.filter((refusal) => refusal === "none")).toHaveLength(1);
        expect(["BLOB_UPLOAD_INVALID 409", "BLOB_UPLOAD_UNKNOWN 404"]).toContain(
          refusals.find((refusal) => refusal !== "none")!,
        );
        expect(await pull(repository, digestOf(content))).toEqual(content);
        expect((await subject.kept()).length).toBeLessThanOrEqual(1);
      });
    }

    test(`an upload that is cancelled in ${where} while it is written to is gone`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      for (const act of [
        (upload: BlobUpload, source: AsyncIterable<Uint8Array>) => upload.append(source),
        (upload: BlobUpload, source: AsyncIterable<Uint8Array>) => upload.finish([digestOf(joined(A, B))], source),
      ]) {
        const upload = await repository.blobs.upload();
        await using writer = new Sleeper((source) => refusalOf(act(upload, source)));
        await writer.give(A);
        await (await resumed(subject, upload, where)).cancel();
        expect(["BLOB_UPLOAD_UNKNOWN 404", "BLOB_UPLOAD_INVALID 409"]).toContain(String(await writer.wakeUp(B)));
        expect(await repository.blobs.resume(upload.id)).toBeUndefined();
      }
      expect(await repository.blobs.exists(digestOf(joined(A, B)))).toBe(false);
      expect(await subject.kept()).toEqual([]);
    });
  }

  test("a writer that is at work keeps the upload, however long it takes", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    const pipe = new Pipe();
    const writing = upload.append(pipe);
    await pipe.give(A);
    const other = await resumed(subject, upload, "another process");
    for (let rounds = 0; rounds < 10; rounds++) {
      await subject.clock.pass(SILENCE_MS - 1);
      await pipe.give(B.subarray(0, 10));
      expect(await refusalOf(other.append(streamOf(C)))).toBe("BLOB_UPLOAD_INVALID 409");
    }
    await pipe.end();
    expect(await writing).toBe(20_100);
  });
}

function testSilence(open: OpenContract): void {
  const RECORDED = [0, 100, 20_000] as const;
  /** Bytes that the silent request had received: few, and more than lie in memory. */
  const RECEIVED = [100, LARGE] as const;

  for (const where of ["this process", "another process"]) {
    for (const recorded of RECORDED) {
      for (const received of RECEIVED) {
        const what = `(${recorded} bytes recorded, ${received} received) in ${where}`;

        test(`a request that has received nothing for five seconds loses its upload to another one ${what}`, async () => {
          await using subject = await open();
          const repository = subject.namespace.repository(APP);
          const first = contentOf("recorded", recorded);
          const upload = await repository.blobs.upload();
          if (recorded > 0) await upload.append(streamOf(first));
          await using silent = new Sleeper((source) => upload.append(source));
          await silent.give(contentOf("half-open", received));
          await subject.clock.pass(SILENCE_MS);

          const next = await resumed(subject, upload, where);
          expect(next.size).toBe(recorded);
          expect(await next.append(streamOf(A), { start: recorded })).toBe(recorded + 20_000);
          await next.finish([digestOf(joined(first, A, B))], streamOf(B));
          expect(await silent.wakeUp(LATE)).toBeInstanceOf(Error);
          expect(await pull(repository, digestOf(joined(first, A, B)))).toEqual(joined(first, A, B));
          expect((await subject.kept()).length).toBeLessThanOrEqual(1);
        });
      }
    }
  }

  test("in one process a silent request loses its upload also when the timer has not noticed it", async () => {
    await using subject = await open();
    const upload = await subject.namespace.repository(APP).blobs.upload();
    await using silent = new Sleeper((source) => upload.append(source));
    await silent.give(contentOf("half-open", LARGE));
    const next = await resumed(subject, upload, "this process");
    subject.clock.ms += SILENCE_MS - 1;
    expect(await refusalOf(next.append(streamOf(A)))).toBe("BLOB_UPLOAD_INVALID 409");
    subject.clock.ms += 1;
    await next.finish([digestOf(A)], streamOf(A));
    expect(await silent.wakeUp(B)).toMatchObject({ code: "BLOB_UPLOAD_INVALID", status: 409 });
  });

  for (const recorded of RECORDED) {
    for (const received of RECEIVED) {
      const what = `(${recorded} bytes recorded, ${received} received)`;

      test(`a request that was silent for minutes goes on when no other came ${what}`, async () => {
        await using subject = await open();
        const repository = subject.namespace.repository(APP);
        const pieces = [contentOf("recorded", recorded), contentOf("before", received), A, LATE] as const;
        const upload = await repository.blobs.upload();
        if (recorded > 0) await upload.append(streamOf(pieces[0]));
        const pipe = new Pipe();
        const writing = upload.append(pipe);
        for (const piece of [pieces[1], A]) {
          await pipe.give(piece);
          await subject.clock.pass(3 * 60_000);
        }
        await pipe.give(LATE);
        await pipe.end();
        expect(await writing).toBe(joined(...pieces).length);
        await upload.finish([digestOf(joined(...pieces))]);
        expect(await pull(repository, digestOf(joined(...pieces)))).toEqual(joined(...pieces));
      });

      test(`of a request that was silent and then broke what it had received is kept ${what}`, async () => {
        await using subject = await open();
        const repository = subject.namespace.repository(APP);
        const pieces = [contentOf("recorded", recorded), contentOf("before", received)] as const;
        const upload = await repository.blobs.upload();
        if (recorded > 0) await upload.append(streamOf(pieces[0]));
        const pipe = new Pipe();
        const writing = upload.append(brokenBehind(pipe)).catch((error: unknown) => error);
        await pipe.give(pieces[1]);
        await subject.clock.pass(2 * SILENCE_MS);
        await pipe.end();
        expect(await writing).toBeInstanceOf(BrokenBodyError);
        const next = await resumed(subject, upload, "another process");
        expect(next.size).toBe(recorded + received);
        await next.finish([digestOf(joined(...pieces, A))], streamOf(A));
        expect(await pull(repository, digestOf(joined(...pieces, A)))).toEqual(joined(...pieces, A));
      });
    }
  }

  test("a request that was silent and ends the upload late does so when no other came", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    const pipe = new Pipe();
    const finishing = upload.finish([digestOf(joined(A, B))], pipe);
    await pipe.give(A);
    await subject.clock.pass(2 * SILENCE_MS);
    await pipe.give(B);
    await pipe.end();
    await finishing;
    expect(await pull(repository, digestOf(joined(A, B)))).toEqual(joined(A, B));
  });
}

/** Clients that lost track of what arrived: they are told, and go on from there. */
function testTold(open: OpenContract): void {
  for (const [where, received] of [
    ["this process", LARGE],
    ["another process", LARGE],
    ["another process", 100],
  ] as const) {
    test(`a client that is told where an upload stands, of which ${where} receives ${received} bytes, may go on from there`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const upload = await repository.blobs.upload();
      await upload.append(streamOf(A));
      const pipe = new Pipe();
      const broken = upload.append(brokenBehind(pipe)).catch((error: unknown) => error);
      await pipe.give(contentOf("not counted", received));
      const next = await resumed(subject, upload, where);
      expect(await next.tell()).toBe(20_000);
      await pipe.end();
      expect(await broken).toBeInstanceOf(Error);
      await next.append(streamOf(B));
      await next.finish([digestOf(joined(A, B))]);
      expect(await pull(repository, digestOf(joined(A, B)))).toEqual(joined(A, B));
    });
  }

  test("a client whose connection breaks in this moment is told what arrived", async () => {
    await using subject = await open();
    const upload = await subject.namespace.repository(APP).blobs.upload();
    const pipe = new Pipe();
    const broken = upload.append(brokenBehind(pipe)).catch((error: unknown) => error);
    await pipe.give(contentOf("counted", LARGE));
    const told = Promise.all(
      ["this process", "another process"].map(async (where) => await (await resumed(subject, upload, where)).tell()),
    );
    await pipe.end();
    await broken;
    expect(await told).toEqual([LARGE, LARGE]);
  });

  test("a stream that ends as it should counts, though a client was told meanwhile where the upload stands", async () => {
    await using subject = await open();
    const upload = await subject.namespace.repository(APP).blobs.upload();
    const pipe = new Pipe();
    const writing = upload.append(pipe);
    await pipe.give(A);
    expect(await upload.tell()).toBe(0);
    await pipe.end();
    expect(await writing).toBe(20_000);
    expect(await upload.tell()).toBe(20_000);
  });

  test("of an upload that has ended nothing is told", async () => {
    await using subject = await open();
    const upload = await subject.namespace.repository(APP).blobs.upload();
    await upload.cancel();
    expect(await upload.tell()).toBeUndefined();
  });
}

function testTakenOver(open: OpenContract): void {
  for (const recorded of [0, 100, 20_000]) {
    test(`an upload whose process sleeps is free after a while, with the ${recorded} bytes that were recorded`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const first = contentOf("recorded", recorded);
      const upload = await repository.blobs.upload();
      await upload.append(streamOf(first));
      await using asleep = new Sleeper((source) => upload.append(source));
      await asleep.give(contentOf("lost", LARGE));

      const next = await resumed(subject, upload, "another process");
      expect(next.size).toBe(recorded);
      expect(await refusalOf(next.append(streamOf(B)))).toBe("BLOB_UPLOAD_INVALID 409");
      subject.clock.ms += LEASE_MS;
      expect(await next.append(streamOf(B), { start: recorded })).toBe(recorded + 20_000);
      await next.finish([digestOf(joined(first, B))]);
      expect(await pull(repository, digestOf(joined(first, B)))).toEqual(joined(first, B));
    });

    for (const late of ["goes on", "breaks"] as const) {
      for (const when of ["before", "after"] as const) {
        test(`a writer that slept (${recorded} bytes recorded) and ${late} ${when} another has ended the upload harms nothing`, async () => {
          await using subject = await open();
          const repository = subject.namespace.repository(APP);
          const first = contentOf("recorded", recorded);
          const upload = await repository.blobs.upload();
          await upload.append(streamOf(first));
          await using asleep = new Sleeper((source) =>
            upload.append(late === "goes on" ? source : brokenBehind(source)),
          );
          await asleep.give(contentOf("lost", LARGE));

          subject.clock.ms += LEASE_MS;
          const next = await resumed(subject, upload, "another process");
          const content = joined(first, contentOf("new", HUGE));
          await next.append(streamOf(content.subarray(recorded, HUGE / 2)));
          const rest = streamOf(content.subarray(HUGE / 2));
          if (when === "before") expect(await asleep.wakeUp(LATE)).toBeInstanceOf(Error);
          await next.finish([digestOf(content)], rest);
          if (when === "after") expect(await asleep.wakeUp(LATE)).toBeInstanceOf(Error);
          expect(digestOf((await pull(repository, digestOf(content))) ?? bytes("nothing"))).toBe(digestOf(content));
          subject.clock.ms += LEASE_MS;
          expect((await subject.kept()).length).toBeLessThanOrEqual(1);
        });
      }
    }
  }

  test("a writer that slept, and whose bytes do not have their digest, does not end the upload that another has taken over", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    await upload.append(streamOf(A));
    await using asleep = new Sleeper((source) => upload.finish([digestOf(bytes("something else"))], source));
    await asleep.give(contentOf("lost", LARGE));
    subject.clock.ms += LEASE_MS;
    const next = await resumed(subject, upload, "another process");
    await next.append(streamOf(B));
    expect(await asleep.wakeUp(LATE)).toBeInstanceOf(Error);
    await next.finish([digestOf(joined(A, B))]);
    expect(await pull(repository, digestOf(joined(A, B)))).toEqual(joined(A, B));
  });

  test("an upload that was taken over can break and be taken up once more", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    await upload.append(streamOf(A));
    await using asleep = new Sleeper((source) => upload.append(source));
    await asleep.give(bytes("lost"));
    subject.clock.ms += LEASE_MS;
    const second = await resumed(subject, upload, "another process");
    await expect(second.append(brokenAfter(B))).rejects.toThrow();
    await expect(second.append(brokenAfter(C), { start: 40_000, length: 40_000 })).rejects.toThrow();
    const third = await resumed(subject, upload, "another process");
    expect(third.size).toBe(40_000);
    await third.finish([digestOf(joined(A, B, C))], streamOf(C));
    expect(await pull(repository, digestOf(joined(A, B, C)))).toEqual(joined(A, B, C));
    expect((await subject.kept()).length).toBeLessThanOrEqual(1);
  });
}

/** A writer that falls asleep when it has nothing to write, as long as the test lasts. */
class Sleeper implements AsyncDisposable {
  readonly #source = new Pipe();
  /** What its request came to: a value, or the error. */
  readonly #outcome: Promise<unknown>;

  constructor(request: (source: AsyncIterable<Uint8Array>) => Promise<unknown>) {
    this.#outcome = request(this.#source).catch((error: unknown) => error);
  }

  give(piece: Uint8Array): Promise<void> {
    return this.#source.give(piece);
  }

  /** Writes a last piece, if it still may, and gives what its request came to. */
  async wakeUp(piece: Uint8Array): Promise<unknown> {
    await this.#source.offer(piece);
    void this.#source.end();
    return await this.#outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    void this.#source.end();
    await this.#outcome;
  }
}

async function resumed(subject: ContractSubject, upload: BlobUpload, where: string): Promise<BlobUpload> {
  const namespace = where === "this process" ? subject.namespace : await subject.another();
  const found = await namespace.repository(APP).blobs.resume(upload.id);
  if (!found) throw new Error("the upload is gone");
  return found;
}

/** What `source` gives, and then the break of a connection. */
async function* brokenBehind(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* source;
  throw new Error("the sender went away");
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(pieces));
}
