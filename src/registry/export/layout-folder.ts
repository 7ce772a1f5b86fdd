/** Writes an image layout into a folder, also into one that has a part of it already. */
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readFile } from "../../lib/read-file.ts";
import type { Digest } from "../../oci/digest.ts";
import { blobFile, fieldsOf, folderFiles, itemsOf, listIn } from "../import/image-files.ts";
import { SourceError } from "../import/image-source.ts";
import { ExportError, LAYOUT_VERSION } from "./layout-writer.ts";
import type { IndexEntry, LayoutWriter } from "./layout-writer.ts";
import { verified } from "./verified.ts";

/** Stands behind the name of a file until it is whole. */
const PARTIAL = ".partial";

/** Throws `ExportError` when the folder holds anything else than an image layout. */
export async function openLayoutFolder(folder: string): Promise<LayoutWriter> {
  await mkdir(folder, { recursive: true });
  const files = folderFiles(folder);
  if ((await files.size("oci-layout")) === undefined) {
    if ((await readdir(folder)).length > 0) {
      throw new ExportError(`${folder} is not empty, and no image layout: name another folder`);
    }
    await writeFile(join(folder, "oci-layout"), jsonBytes(LAYOUT_VERSION));
  }
  const entries =
    (await files.size("index.json")) === undefined ? [] : itemsOf(fieldsOf(await indexOf(folder))["manifests"]);
  return {
    entries: entries.filter((entry) => typeof fieldsOf(entry)["digest"] === "string") as readonly IndexEntry[],
    async has(digest, size) {
      return (
        (await files.size(blobFile(digest))) === size && (await isIntact(join(folder, blobFile(digest)), digest, size))
      );
    },
    async write(digest, size, bytes) {
      const path = join(folder, blobFile(digest));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, verified(digest, size, bytes));
    },
    async finish(documents) {
      for (const [name, value] of Object.entries(documents)) {
        await writeFile(join(folder, name), jsonBytes(value));
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function indexOf(folder: string): Promise<unknown> {
  try {
    return await listIn(folderFiles(folder), "index.json");
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    throw new ExportError(`${folder} is no image layout: ${error.message}`, { cause: error });
  }
}

async function isIntact(path: string, digest: Digest, size: number): Promise<boolean> {
  try {
    for await (const piece of verified(digest, size, readFile(path))) void piece;
    return true;
  } catch (error) {
    if (error instanceof ExportError) return false;
    throw error;
  }
}

async function* jsonBytes(value: object): AsyncGenerator<Uint8Array> {
  yield Buffer.from(JSON.stringify(value));
}

/** Under its name a file is always whole, and on the disk. */
async function writeFile(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const partial = `${path}${PARTIAL}`;
  const handle = await open(partial, "w");
  try {
    for await (const piece of bytes) await handle.writeFile(piece);
    await handle.sync();
    await handle.close();
    await rename(partial, path);
  } catch (error) {
    await handle.close();
    await rm(partial, { force: true });
    throw error;
  }
}
