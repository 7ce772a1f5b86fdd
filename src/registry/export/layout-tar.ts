/** Writes an image layout as a tar archive. */
import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { TAR_END, tarHeader, tarPadding } from "../../lib/tar.ts";
import { blobFile } from "../import/image-files.ts";
import { ExportAbortedError, ExportError, LAYOUT_VERSION } from "./layout-writer.ts";
import type { LayoutWriter } from "./layout-writer.ts";
import { verified } from "./verified.ts";

/** Throws `ExportError` when there is such a file. It appears under its name once it is complete. */
export async function openLayoutTar(file: string): Promise<LayoutWriter> {
  if (existsSync(file)) throw new ExportError(`${file} exists: remove it, or name another file`);
  const partial = `${file}.partial`;
  const handle = await open(partial, "w");
  let isDone = false;
  const put = async (path: string, size: number, bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
    await handle.writeFile(tarHeader(path, size));
    for await (const piece of bytes) await handle.writeFile(piece);
    await handle.writeFile(tarPadding(size));
  };
  const putJson = async (path: string, value: object): Promise<void> => {
    const bytes = Buffer.from(JSON.stringify(value));
    await put(path, bytes.length, [bytes]);
  };
  return {
    entries: [],
    has: () => Promise.resolve(false),
    async write(digest, size, bytes) {
      try {
        await put(blobFile(digest), size, verified(digest, size, bytes));
      } catch (error) {
        if (!(error instanceof ExportError)) throw error;
        // What is written of it cannot be taken back.
        throw new ExportAbortedError(`${error.message}; export to a folder, or without the image`, { cause: error });
      }
    },
    async finish(documents) {
      for (const [name, value] of Object.entries({ "oci-layout": LAYOUT_VERSION, ...documents })) {
        await putJson(name, value);
      }
      await handle.writeFile(TAR_END);
      await handle.sync();
      await rename(partial, file);
      isDone = true;
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      if (!isDone) await rm(partial, { force: true });
    },
  };
}
