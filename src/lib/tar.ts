/** Tar archives in memory, for small ones that a program makes itself. */

const BLOCK = 512;

/**
 * Returns a tar archive (POSIX.1-1988, "ustar") of regular files, in the order given, that belong to root and were changed
 * in 1970: the same files give the same bytes. Throws `RangeError` for a path longer than 100 bytes.
 */
export function tarOf(files: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const bytes = Buffer.from(content as string);
    return [headerOf(path, bytes.length), bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function headerOf(path: string, size: number): Uint8Array {
  const header = Buffer.alloc(BLOCK);
  if (Buffer.byteLength(path) > 100) throw new RangeError(`the path ${path} is longer than 100 bytes`);
  header.write(path, 0);
  header.write("0000644\0", 100); // mode
  header.write("0000000\0", 108); // owner
  header.write("0000000\0", 116); // group
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136); // time of change
  header.write("        ", 148); // the checksum counts as blanks in itself
  header.write("0", 156); // a regular file
  header.write("ustar\x0000", 257);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}
