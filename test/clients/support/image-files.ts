/** Images of real files: a build context that docker, podman and buildah take, and the sums of what is in it. */
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "bun:test";
import { bytesOf } from "../../support/content.ts";
import { locate, run } from "./programs.ts";

/** A file that does not compress, and is large enough to be cut in the middle of a transfer. */
export const NOISE = "srv/noise.bin";

/** The file that differs between releases, in a layer of its own. */
export const RELEASE = "srv/release";

/** The name of a file that differs between images of different gatherings. */
const MARK = "made-for-this-test";
const NOISE_BYTES = 2 << 20;
const ETC_BYTES = 1 << 20;
const ETC_FILES = 50;
/** Little, because the vfs storage driver of engines copies every file once more for each layer and each container. */
const SHARE = { bytes: 1 << 20, files: 80 };
const LARGEST_FILE = 1 << 20;
/** What engines write into every container themselves. */
const OF_THE_ENGINE = new Set(["/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"]);

/** The layers from the lowest up. The first one has the shape of a root file system, the last one is small. */
const DOCKERFILE = `\
FROM scratch
ADD base.tar /
COPY noise.bin /${NOISE}
COPY share /usr/share/
COPY release /${RELEASE}
`;

/** How much is taken at most. */
export interface Bounds {
  bytes: number;
  files: number;
}

export class ImageFiles {
  /** A folder with a Dockerfile. */
  readonly context: string;
  /** How many layers an image of it has. */
  readonly layers = 4;
  readonly #sums: Map<string, string>;

  private constructor(context: string, sums: Map<string, string>) {
    this.context = context;
    this.#sums = sums;
  }

  /**
   * Gathers busybox, files of this machine and random bytes below `folder`. Each layer has something random in it, so
   * that no other image shares it and no cache of a client knows it from an earlier run.
   */
  static async gather(folder: string, shared: Bounds = SHARE): Promise<ImageFiles> {
    const [context, base, share] = [join(folder, "context"), join(folder, "base"), join(folder, "context/share")];
    await mkdir(join(base, "bin"), { recursive: true });
    await mkdir(share, { recursive: true });
    await copyFile(locate("busybox"), join(base, "bin/busybox"));
    await symlink("busybox", join(base, "bin/sh"));
    const copied = [
      ...(await copyTree("/etc", join(base, "etc"), { bytes: ETC_BYTES, files: ETC_FILES })),
      ...(await copyTree("/usr/share", share, { ...shared })),
    ];
    const mark = randomUUID();
    await writeFile(join(base, MARK), mark);
    await writeFile(join(share, MARK), mark);
    await run("tar", ["--sort=name", "-C", base, "-cf", join(context, "base.tar"), "."]);
    await writeFile(join(context, "noise.bin"), bytesOf(mark, NOISE_BYTES));
    await writeFile(join(context, "Dockerfile"), DOCKERFILE);
    const sums = new Map<string, string>();
    sums.set("bin/busybox", await sumOf(join(base, "bin/busybox")));
    for (const { path, copy } of copied) sums.set(path, await sumOf(copy));
    for (const path of [MARK, `usr/share/${MARK}`]) sums.set(path, await sumOf(join(base, MARK)));
    sums.set(NOISE, await sumOf(join(context, "noise.bin")));
    const files = new ImageFiles(context, sums);
    await files.release("1.0");
    return files;
  }

  /** Changes what the next image says it is: its last layer, and no other. */
  async release(text: string): Promise<void> {
    await writeFile(join(this.context, "release"), text);
    this.#sums.set(RELEASE, await sumOf(join(this.context, "release")));
  }

  /** Changes one small file in the layer that has the most files. */
  async changeOneOfMany(text: string): Promise<void> {
    const path = join(this.context, "share", MARK);
    await writeFile(path, text);
    this.#sums.set(`usr/share/${MARK}`, await sumOf(path));
  }

  /** The SHA-256 of a file of the image, in hexadecimal. */
  sum(path: string): string {
    const found = this.#sums.get(path);
    if (found === undefined) throw new Error(`The image has no ${path}`);
    return found;
  }

  /** Fails when a file of the image is missing below `root` or has other bytes. */
  async expectIn(root: string): Promise<void> {
    const differing: string[] = [];
    for (const [path, sum] of this.#sums) {
      if ((await sumOf(join(root, path)).catch(String)) !== sum) differing.push(path);
    }
    expect(differing).toEqual([]);
    expect(this.#sums.size).toBeGreaterThan(100);
  }
}

export interface RandomArchive {
  readonly tar: string;
  /** The name of the one file in it. */
  readonly name: string;
  readonly sum: string;
}

/** A tar of one random file, from which engines make an image at once; no two are the same. */
export async function writeRandomArchive(folder: string, bytes: number = 1 << 20): Promise<RandomArchive> {
  const name = randomUUID();
  await writeFile(join(folder, name), bytesOf(name, bytes));
  await run("tar", ["-C", folder, "-cf", join(folder, `${name}.tar`), name]);
  return { tar: join(folder, `${name}.tar`), name, sum: await sumOf(join(folder, name)) };
}

/** The SHA-256 of a file, in hexadecimal. */
export async function sumOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

interface Copied {
  /** Without a first slash. */
  readonly path: string;
  readonly copy: string;
}

/** Copies files and links, in the order of their names, until a bound is reached; gives the files. */
async function copyTree(from: string, to: string, bounds: Bounds): Promise<Copied[]> {
  const copied: Copied[] = [];
  const entries = await readdir(from, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (bounds.files === 0) break;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (OF_THE_ENGINE.has(source)) continue;
    if (entry.isDirectory()) copied.push(...(await copyTree(source, target, bounds)));
    // A folder is made for a file: thousands of empty ones would take longer than all the bytes.
    else if (entry.isFile() && (await takeFile(source, target, bounds))) {
      copied.push({ path: source.slice(1), copy: target });
    } else if (entry.isSymbolicLink() && existsSync(to)) await symlink(await readlink(source), target);
  }
  return copied;
}

async function takeFile(source: string, target: string, bounds: Bounds): Promise<boolean> {
  const { size } = await stat(source);
  if (size > Math.min(bounds.bytes, LARGEST_FILE)) return false;
  await mkdir(dirname(target), { recursive: true });
  await copyFile(source, target);
  bounds.bytes -= size;
  bounds.files -= 1;
  return true;
}
