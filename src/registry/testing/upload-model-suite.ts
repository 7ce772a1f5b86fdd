/** Any sequence of requests on an upload gives what the same sequence gives on an array of bytes. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "../../oci/digest.ts";
import { APP, brokenAfter, contentOf, pull, refusalOf, streamOf } from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

/** Sizes on both sides of what lies in the database, and of nothing. */
const size = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 5_000, max: 20_000 }));

/** Where a request says that its bytes belong: nowhere, at the end, or beside it; and how many it says come. */
const place = fc.constantFrom("none", "right", "wrong start", "wrong length");

const request = fc.record({
  /** Which of two processes it comes to. */
  process: fc.constantFrom(0, 1),
  act: fc.constantFrom("append", "append", "append", "finish wrongly"),
  size,
  place,
  breaks: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

type Request = typeof request extends fc.Arbitrary<infer Value> ? Value : never;

export function testUploadModel(open: OpenContract): void {
  test("any sequence of requests in two processes counts the bytes that it should, and ends in them", async () => {
    await using subject = await open();
    const repositories = [subject.namespace, await subject.another()].map((namespace) => namespace.repository(APP));
    const algorithm = fc.constantFrom("sha256" as const, "sha512" as const);
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 7 }), algorithm, async (requests, ending) => {
        const { id } = await repositories[0]!.blobs.upload();
        let model: Uint8Array = new Uint8Array();
        for (const [at, each] of requests.entries()) {
          const piece = contentOf(`${id}/${at}`, each.size);
          const upload = (await repositories[each.process]!.blobs.resume(id))!;
          expect(upload.size).toBe(model.length);
          const body = each.breaks ? brokenAfter(piece) : streamOf(piece);
          const where = placeOf(each, model.length);
          const attempt =
            each.act === "append" ? upload.append(body, where) : upload.finish([digestOf(model)], body, where);
          if (each.act !== "append" && isAccepted(each)) {
            if (each.size === 0) return await attempt.then(() => undefined); // it was right after all
            expect(await refusalOf(attempt)).toBe("DIGEST_INVALID 400");
            expect(await repositories[0]!.blobs.resume(id)).toBeUndefined();
            return;
          }
          const isKept = each.act === "append" && (isAccepted(each) || (each.breaks && each.place === "none"));
          await attempt.catch(() => undefined);
          if (isKept) model = Uint8Array.from(Buffer.concat([model, piece]));
          expect((await repositories[1 - each.process]!.blobs.resume(id))?.size).toBe(model.length);
        }
        const digest = digestOf(model, ending);
        await (await repositories[1]!.blobs.resume(id))!.finish([digest]);
        expect(await pull(repositories[0]!, digest)).toEqual(model);
      }),
      { numRuns: 40 },
    );
  });
}

function isAccepted({ place: where, breaks }: Request): boolean {
  return !breaks && (where === "none" || where === "right");
}

function placeOf(each: Request, end: number): { readonly start?: number; readonly length?: number } {
  switch (each.place) {
    case "right":
      return { start: end, length: each.size };
    case "wrong start":
      return { start: end + 1, length: each.size };
    case "wrong length":
      return { start: end, length: each.size + 1 };
    default:
      return {};
  }
}
