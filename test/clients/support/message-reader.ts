/** Follows one direction of an HTTP/1.1 connection: where messages begin, and how long their bodies are. */

/** The first line and the headers of a message. */
export interface Head {
  readonly first: string;
  /** Names in lower case; a header that came several times is joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Some replies have headers that speak of a body, and none follows. */
export type Body = "as-framed" | "none";

type State = "head" | "sized" | "chunk-size" | "chunk" | "trailer" | "opaque";

/** What a client's first byte is when it speaks TLS, as most try before they fall back to plain HTTP. */
const TLS_HANDSHAKE = 0x16;

export class MessageReader {
  readonly #onHead: (head: Head) => Body;
  readonly #onBody: (bytes: number) => void;
  #state: State = "head";
  #text = "";
  #remaining = 0;

  /** `onBody` hears of the bytes of bodies, as they pass. */
  constructor(onHead: (head: Head) => Body, onBody: (bytes: number) => void) {
    this.#onHead = onHead;
    this.#onBody = onBody;
  }

  /** True between two messages: all that was fed is whole. */
  get isBetweenMessages(): boolean {
    return this.#state === "head" && this.#text === "";
  }

  /** True once a client has tried TLS: what it sends is not followed. */
  get isSpeakingTls(): boolean {
    return this.#state === "opaque";
  }

  feed(piece: Buffer): void {
    if (this.#state === "head" && this.#text === "" && piece[0] === TLS_HANDSHAKE) this.#state = "opaque";
    let rest = piece;
    while (rest.length > 0 && this.#state !== "opaque") {
      const isBytes = this.#state === "sized" || this.#state === "chunk";
      rest = isBytes ? this.#passBytes(rest) : this.#passText(rest);
    }
  }

  #passBytes(piece: Buffer): Buffer {
    const taken = Math.min(piece.length, this.#remaining);
    this.#remaining -= taken;
    if (this.#remaining === 0) this.#state = this.#state === "chunk" ? "chunk-size" : "head";
    this.#onBody(taken);
    return piece.subarray(taken);
  }

  /** Gives what follows the text that the state waits for, or nothing when that is not complete yet. */
  #passText(piece: Buffer): Buffer {
    const terminator = this.#state === "head" ? "\r\n\r\n" : "\r\n";
    const text = this.#text + piece.toString("latin1");
    const end = text.indexOf(terminator);
    if (end < 0) {
      this.#text = text;
      return piece.subarray(piece.length);
    }
    this.#text = "";
    this.#take(text.slice(0, end));
    return piece.subarray(piece.length - (text.length - end - terminator.length));
  }

  #take(text: string): void {
    if (this.#state === "head") {
      this.#begin(text);
    } else if (this.#state === "chunk-size") {
      const size = Number.parseInt(text, 16);
      this.#remaining = size + "\r\n".length;
      this.#state = size === 0 ? "trailer" : "chunk";
    } else if (text === "") {
      this.#state = "head";
    }
  }

  #begin(text: string): void {
    const head = parseHead(text);
    if (this.#onHead(head) === "none") return;
    this.#remaining = Number(head.headers["content-length"] ?? 0);
    if (head.headers["transfer-encoding"] === "chunked") this.#state = "chunk-size";
    else if (this.#remaining > 0) this.#state = "sized";
  }
}

function parseHead(text: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return { first, headers };
}
