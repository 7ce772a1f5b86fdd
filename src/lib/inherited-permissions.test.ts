/** What is made in a folder: who owns it, and who may read and write it. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmod, chown, mkdir, mkdtemp, open, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InheritedPermissions } from "./inherited-permissions.ts";

const IS_ROOT = process.geteuid?.() === 0;
const GROUP = IS_ROOT ? 4321 : process.getegid!();
const UMASKS = [0, 0o022, 0o077, 0o777];

const root = await mkdtemp(join(tmpdir(), "stowage-permissions-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let folders = 0;

async function folderOf(mode: number, uid = -1, gid = GROUP): Promise<string> {
  const folder = join(root, `folder-${folders++}`);
  await mkdir(folder);
  await chown(folder, uid < 0 ? process.geteuid!() : uid, gid);
  await chmod(folder, mode);
  return folder;
}

async function withUmask<Result>(umask: number, work: () => Promise<Result>): Promise<Result> {
  const before = process.umask(umask);
  try {
    return await work();
  } finally {
    process.umask(before);
  }
}

/** Everything that can be made in a folder, with its mode, owner and group. */
async function makeAll(folder: string): Promise<readonly (readonly [string, string, number, number])[]> {
  const permissions = InheritedPermissions.in(folder);
  permissions.makeFile(join(folder, "file"));
  await permissions.makeFolder(join(folder, "below"));
  const streamed = await open(join(folder, "below", "streamed"), "w", permissions.fileMode);
  await permissions.applyToFile(streamed);
  await streamed.close();
  await writeFile(join(folder, "below", "copy"), "", { mode: 0o644 });
  const copy = await open(join(folder, "below", "copy"), "r+").catch(() => undefined); // the umask may forbid it
  if (copy) await permissions.applyToCopy(copy);
  await copy?.close();
  const names = ["file", "below", "below/streamed", ...(copy ? ["below/copy"] : [])];
  return await Promise.all(
    names.map(async (name) => {
      const { mode, uid, gid } = await stat(join(folder, name));
      return [name, (mode & 0o7777).toString(8), uid, gid] as const;
    }),
  );
}

describe("what is made in a folder", () => {
  for (const umask of UMASKS) {
    const self = process.geteuid!();

    for (const mode of [0o700, 0o755, 0o750]) {
      test(`of mode ${mode.toString(8)} is private to its owner, with umask ${umask.toString(8)}`, async () => {
        const folder = await folderOf(mode);
        for (const [name, found, uid] of await withUmask(umask, () => makeAll(folder))) {
          expect([name, found, uid]).toEqual([name, name === "below" ? "700" : "600", self]);
        }
      });
    }

    for (const mode of [0o2775, 0o2770]) {
      test(`of mode ${mode.toString(8)} is its group's too, with umask ${umask.toString(8)}`, async () => {
        const folder = await folderOf(mode);
        for (const [name, found, uid, gid] of await withUmask(umask, () => makeAll(folder))) {
          expect([name, found, uid, gid]).toEqual([name, name === "below" ? "2770" : "660", self, GROUP]);
        }
      });
    }

    test(`that does not pass its group on is given it all the same, with umask ${umask.toString(8)}`, async () => {
      const folder = await folderOf(0o770);
      for (const [name, found, uid, gid] of await withUmask(umask, () => makeAll(folder))) {
        expect([name, found, uid, gid]).toEqual([name, name === "below" ? "770" : "660", self, GROUP]);
      }
    });
  }

  test.skipIf(!IS_ROOT)("of another user belongs to that user when root makes it", async () => {
    const folder = await folderOf(0o755, 1234, 1234);
    for (const [name, mode, uid, gid] of await makeAll(folder)) {
      expect([name, mode, uid, gid]).toEqual([name, name === "below" ? "700" : "600", 1234, 1234]);
    }
  });

  test("leaves alone what was there before, and what a link leads to", async () => {
    const folder = await folderOf(0o770);
    const elsewhere = join(root, "elsewhere");
    await writeFile(elsewhere, "kept", { mode: 0o640 });
    await mkdir(join(folder, "below"), { mode: 0o750 });
    await symlink(elsewhere, join(folder, "file"));
    const permissions = InheritedPermissions.in(folder);
    permissions.makeFile(join(folder, "file"));
    await permissions.makeFolder(join(folder, "below"));
    expect(await readFile(elsewhere, "utf8")).toBe("kept");
    expect((await stat(elsewhere)).mode & 0o7777).toBe(0o640);
    expect((await stat(join(folder, "below"))).mode & 0o7777).toBe(0o750);
    expect((await stat(folder)).mode & 0o7777).toBe(0o770);
  });
});
