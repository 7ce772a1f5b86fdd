import { expect, test } from "bun:test";
import { scratchFolder } from "../../test/support/scratch.ts";
import { makePrefill, prefillOf } from "./prefill.ts";
import { scriptOf } from "./script.ts";
import type { TraceLine } from "./trace.ts";

const folder = await scratchFolder();

const LINES = (["get-blob", "upload", "get-blob", "put-manifest", "get-manifest", "get-manifest"] as const).map(
  (op, at): TraceLine => ({
    t_ms: at,
    client: "one",
    op,
    repo: "team/app",
    ref: ["old", "new", "new", "v1", "@v1", "v1"][at]!,
    size: 500,
  }),
);

const prefill = prefillOf(LINES, 1000);
const made = await makePrefill(prefill, folder);

const targetsOf = (run: number) =>
  scriptOf(LINES, prefill, made, run).map(({ work }) => (work.kind === "ask" ? work.target : work.body().digest));

test("each run pushes content of its own, and asks for that; what was there before stays the same", () => {
  const [first, again, second] = [targetsOf(1), targetsOf(1), targetsOf(2)];
  expect(again).toEqual(first);
  const differs = first.map((target, at) => target !== second[at]);
  // The blob that was there, upload and pull of another, PUT by tag, GET by digest and by tag.
  expect(differs).toEqual([false, true, true, false, true, false]);
  expect(first[2]).toBe(`/v2/team/app/blobs/${first[1]}`);
});

test("what needs a push waits for it", () => {
  const needs = scriptOf(LINES, prefill, made, 1).map((step) => step.needs);
  expect(needs).toEqual([[], [], [1], [1], [3], [3]]);
});
