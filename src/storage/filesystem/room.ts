/** Keeps some of the disk free: a database on a disk that is full to the last byte cannot even record a deletion. */
import { statfs } from "node:fs/promises";

/** Bytes that stay free, at most … */
const RESERVE = 64 * 1024 * 1024;
/** … and of a small disk at most this part. */
const SHARE = 1 / 20;

/** Milliseconds for which a look at the disk holds; others write to it too … */
const LOOK_MS = 50;
/** … and of what has to stay free the part that may be written on its strength. */
const LOOK_SHARE = 1 / 4;

export class Room {
  readonly #folder: string;
  /** The last look at the disk: what could still be written then, and what was since. */
  #look: { readonly at: number; readonly free: number; readonly reserve: number; written: number } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Rejects as a full disk does (`ENOSPC`) when `bytes`, about to be written, would eat into what has to stay free. */
  async check(bytes: number): Promise<void> {
    if (this.#isStillRoomFor(bytes)) return;
    await this.#lookAgain(bytes, bytes);
  }

  /** As `check`, for bytes that a client announces: they are written later, piece by piece. */
  async checkAnnounced(bytes: number): Promise<void> {
    const look = this.#look;
    const isRecent = look !== undefined && performance.now() - look.at <= LOOK_MS;
    if (isRecent && look.free - look.written >= bytes) return;
    await this.#lookAgain(bytes, 0);
  }

  async #lookAgain(bytes: number, written: number): Promise<void> {
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    const reserve = Math.min(RESERVE, blocks * bsize * SHARE);
    const free = bavail * bsize - reserve;
    // A disk that was full is looked at again each time.
    this.#look = free >= bytes ? { at: performance.now(), free, reserve, written } : undefined;
    if (this.#look) return;
    throw Object.assign(new Error(`no space left in ${this.#folder} but the reserve of ${Math.round(reserve)} bytes`), {
      code: "ENOSPC",
    });
  }

  /** Whether the last look says so. */
  #isStillRoomFor(bytes: number): boolean {
    const look = this.#look;
    if (!look || performance.now() - look.at > LOOK_MS) return false;
    const written = look.written + bytes;
    if (written > look.free || written > look.reserve * LOOK_SHARE) return false;
    look.written = written;
    return true;
  }
}
