/** Writing tar archives (POSIX.1-1988, "ustar"; for names and sizes beyond it POSIX.1-2001, "pax"). */

/** Bytes: headers and contents of entries begin at multiples of it. */
export const TAR_BLOCK = 512;

/** What ends an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * TAR_BLOCK);

/** The largest size that eleven octal digits can say. */
const MAX_OCTAL = 8 ** 11 - 1;
const MAX_PATH_BYTES = 100;

/**
 * Returns a tar archive (POSIX.1-1988, "ustar") of regular files, in the order given, that belong to root and were changed
 * in 1970: the same files give the same bytes. Throws `RangeError` for a path longer than 100 bytes.
 */
export function tarOf(files: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const bytes = Buffer.from(content as string);
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new RangeError(`the path ${path} is longer than 100 bytes`);
    return [headerOf(path, bytes.length), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, TAR_END]);
}

/**
 * What stands before the content of a regular file: a header, and before it an extended one when the path has more than 100
 * bytes or the content more than 8 GiB.
 */
export function tarHeader(path: string, size: number): Uint8Array {
  const isLong = Buffer.byteLength(path) > MAX_PATH_BYTES;
  const records = [...(isLong ? [record("path", path)] : []), ...(size > MAX_OCTAL ? [record("size", `${size}`)] : [])];
  if (records.length === 0) return headerOf(path, size);
  const extended = Buffer.from(records.join(""));
  const header = headerOf(isLong ? path.slice(-MAX_PATH_BYTES) : path, size > MAX_OCTAL ? 0 : size);
  return Buffer.concat([headerOf("extended", extended.length, "x"), extended, tarPadding(extended.length), header]);
}

/** What stands behind the content of a file of `size` bytes. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK);
}

/** A record of an extended header: its own length in bytes stands before it. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest);
  while (Buffer.byteLength(`${length}${rest}`) > length) length++;
  return `${length}${rest}`;
}

function headerOf(path: string, size: number, type: string = "0"): Uint8Array {
  const header = Buffer.alloc(TAR_BLOCK);
  header.write(path, 0);
  header.write("0000644\0", 100); // mode
  header.write("0000000\0", 108); // owner
  header.write("0000000\0", 116); // group
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136); // time of change
  header.write("        ", 148); // the checksum counts as blanks in itself
  header.write(type, 156); // "0" for a regular file
  header.write("ustar\x0000", 257);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}
