/** Bytes on their way into an export. */
import { Digester, algorithmOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { ExportError } from "./layout-writer.ts";

/** Passes bytes on; throws `ExportError` at their end, or where they become too many, unless they have this digest and size. */
export async function* verified(
  digest: Digest,
  size: number,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const digester = Digester.of(algorithmOf(digest));
  let count = 0;
  const iterator = bytes[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await iterator.next().catch((error: unknown) => {
        throw new ExportError(`${digest} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      });
      if (done) break;
      count += value.length;
      if (count > size) break;
      digester.update(value);
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
  if (count !== size || digester.digest(algorithmOf(digest)) !== digest) {
    throw new ExportError(`the bytes of ${digest} are damaged: stowage check --deep finds all that are`);
  }
}
