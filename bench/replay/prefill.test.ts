import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { digestOf } from "../../test/support/content.ts";
import { scratchFolder } from "../../test/support/scratch.ts";
import { piecesOf, writeContent } from "./content.ts";
import { makePrefill, prefillOf } from "./prefill.ts";
import type { Op, TraceLine } from "./trace.ts";

const folder = await scratchFolder();

const lineOf = (seconds: number, op: Op, ref: string, more: Partial<TraceLine> = {}): TraceLine => ({
  t_ms: seconds * 1000,
  client: "one",
  op,
  repo: "team/app",
  ref,
  size: 100,
  ...more,
});

const repositoryOf = (...lines: readonly TraceLine[]) => prefillOf(lines, 1000).repositories.get("team/app");

describe("before a replay there is", () => {
  test("what is asked for before it is pushed, and nothing else", () => {
    const repository = repositoryOf(
      lineOf(1, "get-blob", "old"),
      lineOf(2, "upload", "new"),
      lineOf(3, "put-manifest", "v2"),
      lineOf(4, "get-blob", "new"),
      lineOf(5, "get-manifest", "v2"),
      lineOf(6, "get-manifest", "@v1"),
    );
    expect([...repository!.tags.keys()]).toEqual(["v1"]);
    expect([...repository!.blobs]).toEqual(["old", "layer of team/app:v1"]);
  });

  test("a manifest over the blobs that a client got within a minute of it", () => {
    const repository = repositoryOf(
      lineOf(1, "get-manifest", "v1"),
      lineOf(2, "get-blob", "a"),
      lineOf(3, "get-blob", "of another client", { client: "two" }),
      lineOf(4, "get-blob", "of another repository", { repo: "team/other" }),
      lineOf(50, "get-blob", "b"),
      lineOf(62, "get-blob", "too late"),
    );
    expect([...repository!.tags.get("v1")!]).toEqual(["a", "b"]);
  });

  test("what is mounted, in some other repository", () => {
    const { repositories } = prefillOf([lineOf(1, "mount", "base"), lineOf(2, "get-blob", "base")], 1000);
    expect([...repositories].filter(([, { blobs }]) => blobs.has("base")).map(([name]) => name)).toEqual([
      "mounted/from",
    ]);
  });

  test("no blob that is bigger than the cap", async () => {
    const lines = [lineOf(1, "get-manifest", "v1"), lineOf(2, "get-blob", "big", { size: 1e9 })];
    const { repositories } = await makePrefill(prefillOf(lines, 1000), folder);
    const [repository] = repositories;
    expect(repository?.blobs.map(({ size }) => size)).toEqual([2, 1000]);
    for (const { path, digest, size } of repository!.blobs) {
      expect(digestOf(await Bun.file(path).bytes())).toBe(digest);
      expect(Bun.file(path).size).toBe(size);
    }
    const [manifest] = repository!.manifests;
    expect(manifest).toMatchObject({ digest: digestOf(manifest!.text), tags: ["v1"] });
    expect(JSON.parse(manifest!.text)).toMatchObject({ layers: [{ digest: repository!.blobs[1]!.digest }] });
  });
});

test("content is the same for the same name and size, and does not compress", async () => {
  const size = 3_000_000;
  const bytes = Buffer.concat([...piecesOf("some", size)]);
  expect(bytes.length).toBe(size);
  expect(gzipSync(bytes).length).toBeGreaterThan(size);
  expect(await writeContent(join(folder, "some"), "some", size)).toBe(digestOf(bytes));
  expect(Buffer.concat([...piecesOf("other", size)]).equals(bytes)).toBe(false);
});
