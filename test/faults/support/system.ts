/** What needs root: file systems of a test's own, and files that fill them. */
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PIECE = 64 * 1024;

/** Runs a program to its end; rejects with what it said when it fails or is missing. */
export async function run(...words: readonly string[]): Promise<void> {
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (child.exitCode !== 0) throw new Error(`${words.join(" ")} ended with ${child.exitCode}: ${stdout}${stderr}`);
}

/** A folder that is a file system of its own. Disposing it unmounts and removes it. */
export interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
}

/** A small file system in memory, with room for so many files and folders when `inodes` says so. */
export async function mountDisk(mebibytes: number, inodes?: number): Promise<SmallDisk> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-disk-"));
  await run(
    "mount",
    "-t",
    "tmpfs",
    "-o",
    `size=${mebibytes}m${inodes === undefined ? "" : `,nr_inodes=${inodes}`}`,
    "stowage-test",
    folder,
  );
  return {
    folder,
    async [Symbol.asyncDispose]() {
      await run("umount", folder);
      await rm(folder, { recursive: true });
    },
  };
}

/**
 * Makes a folder read-only for whatever is opened from now on: the system makes nothing read-only that a process holds open
 * for writing, as a server does its database. Disposing it makes it writable again.
 */
export async function makeReadOnly(folder: string): Promise<AsyncDisposable> {
  await run("mount", "--bind", folder, folder);
  await run("mount", "-o", "remount,bind,ro", folder);
  return {
    async [Symbol.asyncDispose]() {
      // A server keeps files that it has sent open for a second.
      while (await run("umount", folder).then(() => false, isBusy)) await Bun.sleep(50);
    },
  };
}

/** Whether a file below a mount is open; rejects with any other error. */
function isBusy(error: unknown): true {
  if (!String(error).includes("target is busy")) throw error;
  return true;
}

/** Takes all room that there is on a disk but `leave` bytes. Disposing it gives it back. */
export async function fillUp({ folder }: SmallDisk, leave = 0): Promise<AsyncDisposable> {
  const path = join(folder, "of-somebody-else");
  await mkdir(path);
  const file = await open(join(path, "ballast"), "w");
  try {
    const { size } = await writeToTheEnd(file);
    await file.truncate(Math.max(0, size - leave));
  } finally {
    await file.close();
  }
  return { [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

/** Makes files on a disk until it has no inode left. Disposing it removes them. */
export async function useUpInodes({ folder }: SmallDisk): Promise<AsyncDisposable> {
  const path = join(folder, "of-somebody-else");
  await mkdir(path);
  for (let number = 0; ; number++) {
    try {
      await (await open(join(path, `${number}`), "w")).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      return { [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
    }
  }
}

async function writeToTheEnd(file: Awaited<ReturnType<typeof open>>): Promise<{ readonly size: number }> {
  for (let piece = PIECE; piece >= 1;) {
    try {
      await file.write(new Uint8Array(piece));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      piece = Math.floor(piece / 2);
    }
  }
  return await file.stat();
}
