/** Reading a file piece by piece. */
import { close, open, read } from "node:fs";
import { promisify } from "node:util";
import type { ByteRange } from "./byte-range.ts";

const PIECE_SIZE = 256 * 1024;

const openFile = promisify(open);
const readPiece = promisify(read);
const closeFile = promisify(close);

/** Closes files whose reader stopped in the middle and was then left to the garbage collector. */
const abandoned = new FinalizationRegistry<number>((descriptor) => close(descriptor, () => undefined));

/** An open file. Not a `FileHandle`, which throws outside of any call when it is left to the garbage collector. */
class OpenFile {
  readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
    abandoned.register(this, descriptor, this);
  }

  async close(): Promise<void> {
    abandoned.unregister(this);
    await closeFile(this.descriptor);
  }
}

/**
 * The bytes of a file, or of a range of it, as far as it has them: piece by piece as the reader takes them. The file is
 * closed at its end, when the reader stops (`return`), and when nothing refers to the reader any more.
 */
export async function* readFile(path: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
  const file = new OpenFile(await openFile(path, "r"));
  try {
    let position = range?.start ?? 0;
    const end = range ? range.end + 1 : Infinity;
    while (position < end) {
      const buffer = new Uint8Array(Math.min(PIECE_SIZE, end - position));
      const { bytesRead } = await readPiece(file.descriptor, buffer, 0, buffer.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
