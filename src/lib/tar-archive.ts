/** Reading tar archives in place: a list of their files by name, and any of them from the archive itself. */
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { ByteRange } from "./byte-range.ts";
import { readFile } from "./read-file.ts";
import { TAR_BLOCK } from "./tar.ts";

/** The archive is none, is damaged, or holds what is not taken; the message says which. */
export class TarError extends Error {
  override readonly name = "TarError";
}

/** Entries of one archive, each of which takes some 200 bytes of memory. */
const MAX_ENTRIES = 1_000_000;
/** Bytes of the name of an entry, and of its extended header. */
const MAX_NAME_BYTES = 4096;
const MAX_EXTENDED_BYTES = 64 * 1024;
/** Links to links are followed so often. */
const MAX_LINKS = 8;

interface File {
  readonly start: number;
  /** Bytes. */
  readonly size: number;
}

/** What an entry is called beyond what its header has room for. */
interface Extended {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
}

export class TarArchive {
  readonly #path: string;
  readonly #files: ReadonlyMap<string, File>;
  readonly #links: ReadonlyMap<string, string>;

  private constructor(path: string, files: ReadonlyMap<string, File>, links: ReadonlyMap<string, string>) {
    this.#path = path;
    this.#files = files;
    this.#links = links;
  }

  /**
   * Lists the files of an archive (POSIX ustar and pax, GNU's long names). Throws `TarError` when it is damaged, compressed,
   * or holds sparse files, devices and other entries that images are not made of. Names are keys of a list, never paths
   * of the file system.
   */
  static async open(path: string): Promise<TarArchive> {
    const { size } = await stat(path);
    const handle = await open(path);
    try {
      const { files, links } = await listed(handle, size);
      return new TarArchive(path, files, links);
    } finally {
      await handle.close();
    }
  }

  /** Bytes of a file; undefined when there is no such file. */
  size(name: string): number | undefined {
    return this.#find(name)?.size;
  }

  /** The bytes of a file, or of a range of it. Throws `TarError` when there is no such file. */
  read(name: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const file = this.#find(name);
    if (!file) throw new TarError(`the archive has no file ${name}`);
    const { start, size } = file;
    const first = start + Math.min(range?.start ?? 0, size);
    return readFile(this.#path, { start: first, end: start + Math.min(range ? range.end + 1 : size, size) - 1 });
  }

  #find(name: string): File | undefined {
    let wanted: string | undefined = name;
    for (let links = 0; wanted !== undefined && links <= MAX_LINKS; links++) {
      const file = this.#files.get(wanted);
      if (file) return file;
      wanted = this.#links.get(wanted);
    }
    return undefined;
  }
}

async function listed(handle: FileHandle, end: number) {
  const files = new Map<string, File>();
  const links = new Map<string, string>();
  let extended: Extended = {};
  let entries = 0;
  for (let at = 0; at + TAR_BLOCK <= end;) {
    const header = await bytesAt(handle, at, TAR_BLOCK);
    if (header.every((byte) => byte === 0)) break; // the end of an archive
    checkHeader(header, at);
    if (++entries > MAX_ENTRIES) throw new TarError(`the archive has more than ${MAX_ENTRIES} entries`);
    const type = String.fromCharCode(header[156] ?? 0);
    const isAbout = type === "x" || type === "g" || type === "L" || type === "K";
    const size = (isAbout ? undefined : extended.size) ?? numberIn(header, 124, 12, at);
    const start = at + TAR_BLOCK;
    if (start + size > end) throw new TarError("the archive is truncated: copy it again");
    at = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
    if (isAbout) {
      if (size > MAX_EXTENDED_BYTES) throw new TarError(`the archive has an extended header of ${size} bytes`);
      extended = { ...extended, ...extendedOf(type, await bytesAt(handle, start, size)) };
      continue;
    }
    const name = nameOf(extended.path ?? headerName(header));
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw new TarError("the archive has a name that is too long");
    files.delete(name); // of two entries of one name the last one counts
    links.delete(name);
    if (type === "0" || type === "\0" || type === "7") files.set(name, { start, size });
    else if (type === "1" || type === "2") {
      const target = extended.linkpath ?? textIn(header, 157, 100);
      // A symbolic link starts where it lies, a hard link at the top.
      links.set(name, nameOf(type === "1" ? target : `${name.slice(0, name.lastIndexOf("/") + 1)}${target}`));
    } else if (type !== "5")
      throw new TarError(`${name} is ${KINDS[type] ?? `an entry of type "${type}"`}: no image has that`);
    extended = {};
  }
  if (entries === 0) throw new TarError("it is no tar archive");
  return { files, links };
}

const KINDS: Readonly<Record<string, string>> = {
  S: "a sparse file",
  "3": "a device",
  "4": "a device",
  "6": "a named pipe",
  M: "a part of an archive in several volumes",
};

const COMPRESSED: ReadonlyMap<string, string> = new Map([
  ["1f8b", "gunzip"],
  ["28b5", "unzstd"],
  ["425a", "bunzip2"],
  ["fd37", "unxz"],
]);

function checkHeader(header: Uint8Array, at: number): void {
  // The checksum counts as blanks in itself.
  const sum = header.reduce((all, byte, position) => all + (position >= 148 && position < 156 ? 32 : byte), 0);
  const said = Number.parseInt(textIn(header, 148, 8).trim(), 8);
  if (said === sum) return;
  const program = COMPRESSED.get(Buffer.from(header.subarray(0, 2)).toString("hex"));
  if (at === 0 && program !== undefined) throw new TarError(`it is compressed: unpack it first (${program})`);
  throw new TarError(at === 0 ? "it is no tar archive" : `the archive is damaged at byte ${at}: copy it again`);
}

/** The name of an entry without `.` and `..`, by which it is looked up. */
function nameOf(text: string): string {
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function headerName(header: Uint8Array): string {
  const prefix = textIn(header, 257, 6).startsWith("ustar") && header[263] === 0x30 ? textIn(header, 345, 155) : "";
  return `${prefix === "" ? "" : `${prefix}/`}${textIn(header, 0, 100)}`;
}

function textIn(header: Uint8Array, start: number, length: number): string {
  const field = Buffer.from(header.subarray(start, start + length));
  const zero = field.indexOf(0);
  return field.toString("utf8", 0, zero === -1 ? length : zero);
}

/** Octal digits; or, as GNU writes what needs more of them, bytes behind a set bit. */
function numberIn(header: Uint8Array, start: number, length: number, at: number): number {
  const first = header[start] ?? 0;
  let value = 0;
  if (first >= 0x80) {
    if (first !== 0x80) throw new TarError(`the archive is damaged at byte ${at}: a size is negative`);
    for (let position = start + 1; position < start + length; position++) value = value * 256 + (header[position] ?? 0);
  } else {
    const digits = textIn(header, start, length).trim();
    value = /^[0-7]*$/.test(digits) ? Number.parseInt(`0${digits}`, 8) : Number.NaN;
  }
  if (!Number.isSafeInteger(value)) throw new TarError(`the archive is damaged at byte ${at}: a size is no number`);
  return value;
}

function extendedOf(type: string, content: Buffer): Extended {
  const text = content.toString("utf8");
  if (type === "g") return {}; // of the whole archive, such as a comment
  if (type === "L") return { path: text.replace(/\0.*$/s, "") };
  if (type === "K") return { linkpath: text.replace(/\0.*$/s, "") };
  const found: { path?: string; linkpath?: string; size?: number } = {};
  // "%d %s=%s\n": its length in bytes, the keyword and the value (POSIX.1-2001, pax, "pax Extended Header").
  for (let at = 0; at < content.length;) {
    const blank = content.indexOf(0x20, at);
    const length = Number(content.toString("latin1", at, blank === -1 ? at : blank));
    if (!Number.isInteger(length) || length <= blank - at + 1 || at + length > content.length) {
      throw new TarError("the archive has an extended header that cannot be read");
    }
    const record = content.toString("utf8", blank + 1, at + length - 1);
    const equals = record.indexOf("=");
    const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
    if (key.startsWith("GNU.sparse.")) throw new TarError("the archive has a sparse file: no image has that");
    if (key === "path" || key === "linkpath") found[key] = value;
    if (key === "size") found.size = sizeIn(value);
    at += length;
  }
  return found;
}

function sizeIn(text: string): number {
  const size = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw new TarError("the archive has an extended header that cannot be read");
  return size;
}

async function bytesAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let filled = 0; filled < length;) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) throw new TarError("the archive is truncated: copy it again");
    filled += bytesRead;
  }
  return bytes;
}
