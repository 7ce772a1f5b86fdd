/** A file that is read again when it changed. */
import { hash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { Clock } from "./clock.ts";

/** A file that changes twice within the grain of its times looks the same: so one that is younger is read once more. */
const GRAIN_MS = 100;

/** What a file holds, as of now. Looks at the file at most once in a millisecond, and reads it only when it changed. */
export class WatchedFile<Content> {
  readonly path: string;
  readonly #clock: Clock;
  readonly #parse: (text: string) => Content;
  readonly #onError: (error: unknown) => Content;
  #content: Content | undefined;
  /** Of what `#content` was made of; undefined when that could not be read or parsed. */
  #digest: string | undefined;
  #version = 0;
  #lookedAt = -Infinity;
  /** By what the file was known when it was read; undefined when it has to be read again. */
  #mark: string | undefined;

  /** What `onError` gives stands for a file that cannot be read or parsed; it is asked once for each state of the file. */
  constructor(
    path: string,
    clock: Clock,
    { parse, onError }: { readonly parse: (text: string) => Content; readonly onError: (error: unknown) => Content },
  ) {
    this.path = path;
    this.#clock = clock;
    this.#parse = parse;
    this.#onError = onError;
  }

  get content(): Content {
    const now = this.#clock.now();
    if (this.#content === undefined || this.#lookedAt !== now) {
      this.#lookedAt = now;
      this.#look();
    }
    return this.#content as Content;
  }

  /** Another number when the file holds something else. */
  get version(): number {
    void this.content;
    return this.#version;
  }

  #look(): void {
    try {
      const { ino, size, mtimeMs, ctimeMs } = statSync(this.path);
      const mark = `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
      if (mark === this.#mark) return;
      const text = readFileSync(this.path, "utf8");
      this.#take(this.#parse(text), hash("sha256", text, "base64"));
      this.#mark = this.#clock.now() - Math.max(mtimeMs, ctimeMs) > GRAIN_MS ? mark : undefined;
    } catch (error) {
      const mark = `error: ${String(error)}`;
      if (mark === this.#mark) return;
      this.#mark = mark;
      this.#take(this.#onError(error), undefined);
    }
  }

  #take(content: Content, digest: string | undefined): void {
    this.#content = content;
    if (digest === undefined || digest !== this.#digest) this.#version++;
    this.#digest = digest;
  }
}
