/** What is said at the start about a data folder that others than its owner have rights to. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessByOthers } from "./folder-access.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-access-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let folders = 0;

async function folderOf(mode: number, contents: { readonly file: number; readonly folder: number }): Promise<string> {
  const folder = join(root, `folder-${folders++}`);
  await mkdir(join(folder, "blobs"), { recursive: true });
  await writeFile(join(folder, "registry.db"), "");
  await chmod(join(folder, "registry.db"), contents.file);
  await chmod(join(folder, "blobs"), contents.folder);
  await chmod(folder, mode);
  return folder;
}

const PRIVATE = { file: 0o600, folder: 0o700 };
const SHARED = { file: 0o660, folder: 0o770 };

describe("access by others to a data folder", () => {
  test("is none with mode 0700, whatever the modes below it, and none to one that is not there", async () => {
    expect(accessByOthers(await folderOf(0o700, { file: 0o666, folder: 0o777 }))).toBeUndefined();
    expect(accessByOthers(join(root, "nowhere"))).toBeUndefined();
  });

  for (const [mode, contents, isExposed, group, everybody] of [
    [0o750, PRIVATE, false, "see the names", undefined],
    [0o740, PRIVATE, false, "see the names", undefined],
    [0o755, PRIVATE, false, "see the names", "see the names"],
    [0o2775, SHARED, true, "read, change and remove everything", "see the names"],
    [0o750, SHARED, true, "read registry.db, blobs", undefined],
    [0o755, { file: 0o644, folder: 0o700 }, true, "read registry.db", "read registry.db"],
    [0o755, { file: 0o600, folder: 0o755 }, true, "read blobs", "read blobs"],
    [0o777, PRIVATE, true, "remove and replace", "remove and replace"],
    [0o1777, PRIVATE, false, "see the names", "see the names"],
    [0o777, { file: 0o666, folder: 0o777 }, true, "read, change and remove", "read, change and remove"],
  ] as const) {
    test(`is told for mode ${mode.toString(8)} above files of mode ${contents.file.toString(8)}`, async () => {
      const access = accessByOthers(await folderOf(mode, contents));
      expect(access?.isExposed).toBe(isExposed);
      expect(access?.group).toStartWith(group);
      if (everybody === undefined) expect(access?.everybody).toBeUndefined();
      else expect(access?.everybody).toStartWith(everybody);
    });
  }
});
