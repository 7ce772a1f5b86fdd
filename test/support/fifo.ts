/** A pipe with a name, whose reader is the test: it reads when it likes, goes, and comes again. */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { scratchFolder } from "./scratch.ts";

export interface Fifo extends Disposable {
  /** Of the end that is written to: blocking, as a shell makes pipes. */
  readonly file: number;
  /** All that can be read now. */
  read(): string;
  /** Reads until what was read in all matches; gives all of it. */
  readUntil(pattern: RegExp): Promise<string>;
  /** From now on no process reads: writing fails. */
  leave(): void;
  /** Reads again. */
  comeBack(): void;
}

export async function openFifo(): Promise<Fifo> {
  const path = join(await scratchFolder(), "fifo");
  const { exitCode } = Bun.spawnSync(["mkfifo", path]);
  if (exitCode !== 0) throw new Error("mkfifo failed");
  const openReader = (): number => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let reader: number | undefined = openReader();
  const file = openSync(path, constants.O_WRONLY);
  const buffer = Buffer.alloc(1024 * 1024);
  const decoder = new TextDecoder();
  let all = "";
  const read = (): string => {
    let text = "";
    try {
      for (let length = 1; length > 0;) {
        length = reader === undefined ? 0 : readSync(reader, buffer);
        text += decoder.decode(buffer.subarray(0, length), { stream: true });
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    all += text;
    return text;
  };
  const leave = (): void => {
    if (reader !== undefined) closeSync(reader);
    reader = undefined;
  };
  return {
    file,
    read,
    async readUntil(pattern) {
      for (;;) {
        read();
        if (pattern.test(all)) return all;
        await Bun.sleep(2);
      }
    },
    leave,
    comeBack() {
      reader = openReader();
    },
    [Symbol.dispose]() {
      leave();
      closeSync(file);
    },
  };
}
