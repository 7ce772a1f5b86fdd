/** Content of blobs: bytes that do not compress and depend on a name and a size alone, made as they are needed. */
import { createCipheriv, createHash } from "node:crypto";
import { open } from "node:fs/promises";

const PIECE_BYTES = 2 ** 20;

/** The same pieces for the same name and size. */
export function* piecesOf(name: string, size: number): Generator<Buffer> {
  const key = createHash("sha256").update(`${name} ${size}`).digest().subarray(0, 16);
  const stream = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  const zeros = Buffer.alloc(Math.min(size, PIECE_BYTES));
  for (let at = 0; at < size; at += PIECE_BYTES) yield stream.update(zeros.subarray(0, size - at));
}

export function digestOfContent(name: string, size: number): string {
  const hash = createHash("sha256");
  for (const piece of piecesOf(name, size)) hash.update(piece);
  return `sha256:${hash.digest("hex")}`;
}

/** Writes the content into a fresh file and gives its digest. */
export async function writeContent(path: string, name: string, size: number): Promise<string> {
  const hash = createHash("sha256");
  await using file = await open(path, "wx");
  for (const piece of piecesOf(name, size)) {
    hash.update(piece);
    await file.writeFile(piece);
  }
  return `sha256:${hash.digest("hex")}`;
}
