/** Requests to one repository, as any HTTP client makes them. */

export type Bytes = Uint8Array<ArrayBuffer> | string;

export interface Asked {
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream is sent without a length, in chunks. */
  readonly body?: Bytes | ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Nothing is asserted and no redirect is followed: every method gives the reply as it came. */
export class RepositoryClient {
  readonly name: string;
  readonly #base: string;

  /** `url` is the registry's, without a slash at the end. */
  constructor(url: string, name: string) {
    this.name = name;
    this.#base = url;
  }

  /** Its path, such as `/v2/library/app`. */
  get path(): string {
    return `/v2/${this.name}`;
  }

  /** `path` is relative to the repository, such as `tags/list`, or begins with a slash, such as a `Location`. */
  send(method: string, path: string, { headers = {}, body }: Asked = {}): Promise<Response> {
    const url = path.startsWith("/") ? `${this.#base}${path}` : `${this.#base}${this.path}/${path}`;
    const init = { method, headers, redirect: "manual" } as const;
    return fetch(url, body === undefined ? init : { ...init, body });
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.send("GET", path, { headers });
  }

  head(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.send("HEAD", path, { headers });
  }

  delete(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.send("DELETE", path, { headers });
  }

  /** The tags of one page, and whether there is another. */
  async tags(query = ""): Promise<readonly string[]> {
    const reply = await this.get(`tags/list${query}`);
    if (reply.status !== 200) throw new Error(`tags/list answered ${reply.status}: ${await reply.text()}`);
    const { tags } = (await reply.json()) as { readonly tags: readonly string[] };
    return tags;
  }
}

/** A body that is sent piece by piece. */
export function streamOf(...pieces: readonly Uint8Array<ArrayBuffer>[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  const rest = [...pieces];
  return new ReadableStream({
    pull(controller) {
      const piece = rest.shift();
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
}
