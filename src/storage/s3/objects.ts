/** The calls of S3 that the store needs. */
import { S3Error, isAbsent } from "./s3-error.ts";
import type { S3Client } from "./s3-client.ts";
import { elementsIn, escaped, textIn } from "./xml.ts";

/** What S3 says of an object. */
export interface ObjectStat {
  readonly size: number;
  /** Without its quotes. */
  readonly etag: string;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
}

export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly modifiedAt: number;
}

/** A multipart upload that was neither completed nor aborted. */
export interface ListedUpload {
  readonly key: string;
  readonly upload: string;
  readonly startedAt: number;
}

export class Objects {
  readonly #client: S3Client;
  /** Of every object that is written. */
  readonly #headers: Readonly<Record<string, string>>;

  constructor(client: S3Client, headers: Readonly<Record<string, string>> = {}) {
    this.#client = client;
    this.#headers = headers;
  }

  /** Undefined when there is no such object. */
  async head(key: string): Promise<ObjectStat | undefined> {
    const headers = await orAbsent(this.#client.headers({ method: "HEAD", key }));
    const modifiedAt = Date.parse(headers?.get("last-modified") ?? "");
    return headers && { size: Number(headers.get("content-length")), etag: etagIn(headers), modifiedAt };
  }

  /** Writes a whole object; returns its ETag. */
  async put(key: string, body: Uint8Array): Promise<string> {
    return etagIn(await this.#client.headers({ method: "PUT", key, body, headers: this.#headers }));
  }

  /** Copies an object inside of S3. */
  async copy(from: string, to: string): Promise<void> {
    const headers = { ...this.#headers, "x-amz-copy-source": this.#sourceOf(from) };
    refuseError(await this.#client.text({ method: "PUT", key: to, headers }), `copying ${from}`);
  }

  /** An object that is not there is no error. */
  async delete(key: string): Promise<void> {
    await orAbsent(this.#client.headers({ method: "DELETE", key }));
  }

  /** Begins a multipart upload; returns its id. */
  async createUpload(key: string): Promise<string> {
    const headers = this.#headers;
    const xml = await this.#client.text({ method: "POST", key, query: { uploads: "" }, headers });
    return required(xml, "UploadId", `beginning ${key}`);
  }

  /** Returns the ETag of the part. */
  async uploadPart(key: string, upload: string, number: number, body: Uint8Array): Promise<string> {
    const query = { partNumber: String(number), uploadId: upload };
    return etagIn(await this.#client.headers({ method: "PUT", key, query, body }));
  }

  /** Makes the bytes of another object, from `start` to `end` (both counted in), a part; returns its ETag. */
  async copyPart(
    from: string,
    { start, end }: { readonly start: number; readonly end: number },
    to: { readonly key: string; readonly upload: string; readonly number: number },
  ): Promise<string> {
    const query = { partNumber: String(to.number), uploadId: to.upload };
    const headers = {
      "x-amz-copy-source": this.#sourceOf(from),
      "x-amz-copy-source-range": `bytes=${start}-${end}`,
    };
    const xml = await this.#client.text({ method: "PUT", key: to.key, query, headers });
    return unquoted(required(xml, "ETag", `copying ${from}`));
  }

  /** Makes the parts, in the order of their numbers from 1 on, an object; returns its ETag. */
  async completeUpload(key: string, upload: string, etags: readonly string[]): Promise<string> {
    const parts = etags.map(
      (etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>&quot;${escaped(etag)}&quot;</ETag></Part>`,
    );
    const body = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join("")}</CompleteMultipartUpload>`;
    const headers = { "content-type": "application/xml" };
    const xml = await this.#client.text({ method: "POST", key, query: { uploadId: upload }, headers, body });
    // "200 OK … does not mean that the request succeeded": the body says whether it did.
    return unquoted(required(xml, "ETag", `completing ${key}`));
  }

  /** One that has ended is no error. */
  async abortUpload(key: string, upload: string): Promise<void> {
    await orAbsent(this.#client.headers({ method: "DELETE", key, query: { uploadId: upload } }));
  }

  /** Whether the multipart upload has not ended. */
  async hasUpload(key: string, upload: string): Promise<boolean> {
    const query = { uploadId: upload, "max-parts": "1" };
    return (await orAbsent(this.#client.text({ method: "GET", key, query }))) !== undefined;
  }

  /** All objects below a path, in byte order. */
  async *list(prefix: string, pageSize = 1000): AsyncGenerator<ListedObject> {
    for await (const xml of this.#pages({ prefix: this.#client.nameOf(prefix), "max-keys": String(pageSize) })) {
      for (const each of elementsIn(xml, "Contents")) {
        const key = this.#client.keyOf(required(each, "Key", "listing"));
        if (key === undefined) continue;
        const modifiedAt = Date.parse(textIn(each, "LastModified") ?? "");
        yield { key, size: Number(textIn(each, "Size")), modifiedAt };
      }
    }
  }

  /** What lies directly below a path that ends with a slash, as if objects were files in folders. */
  async *listFolder(prefix: string): AsyncGenerator<{ readonly name: string; readonly isFolder: boolean }> {
    const below = this.#client.nameOf(prefix);
    for await (const xml of this.#pages({ prefix: below, delimiter: "/" })) {
      for (const each of elementsIn(xml, "CommonPrefixes")) {
        const name = required(each, "Prefix", "listing").slice(below.length, -1);
        if (name !== "") yield { name, isFolder: true };
      }
      for (const each of elementsIn(xml, "Contents")) {
        const name = required(each, "Key", "listing").slice(below.length);
        if (name !== "") yield { name, isFolder: false };
      }
    }
  }

  /** The documents of a list. */
  async *#pages(asked: Readonly<Record<string, string>>): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const more = token === undefined ? {} : { "continuation-token": token };
      const xml = await this.#client.text({ method: "GET", query: { "list-type": "2", ...asked, ...more } });
      refuseError(xml, "listing");
      yield xml;
      token = nextOf(xml, "NextContinuationToken");
    } while (token !== undefined);
  }

  /** All multipart uploads to keys that begin so. */
  async *listUploads(prefix: string): AsyncGenerator<ListedUpload> {
    let markers: Readonly<Record<string, string>> | undefined = {};
    while (markers) {
      const query = { uploads: "", prefix: this.#client.nameOf(prefix), ...markers };
      const xml: string = await this.#client.text({ method: "GET", query });
      for (const each of elementsIn(xml, "Upload")) {
        const key = this.#client.keyOf(required(each, "Key", "listing"));
        if (key === undefined) continue;
        const startedAt = Date.parse(textIn(each, "Initiated") ?? "");
        yield { key, upload: required(each, "UploadId", "listing"), startedAt };
      }
      const next = nextOf(xml, "NextKeyMarker");
      const upload = textIn(xml, "NextUploadIdMarker");
      markers =
        next === undefined ? undefined : { "key-marker": next, ...(upload ? { "upload-id-marker": upload } : {}) };
    }
  }

  #sourceOf(key: string): string {
    const name = this.#client.nameOf(key).split("/").map(encodeURIComponent).join("/");
    return `/${this.#client.bucket}/${name}`;
  }
}

/** Where a list goes on; undefined at its end. Throws when it is cut off and does not say where: it would look complete. */
function nextOf(xml: string, marker: string): string | undefined {
  if (textIn(xml, "IsTruncated") !== "true") return undefined;
  return required(xml, marker, "listing");
}

function required(xml: string, element: string, what: string): string {
  refuseError(xml, what);
  const text = textIn(xml, element);
  if (text === undefined || text === "") throw new S3Error(what, 200, "", `the answer has no ${element}`);
  return text;
}

function refuseError(xml: string, what: string): void {
  if (!/<Error[\s>]/.test(xml)) return;
  throw new S3Error(what, 200, textIn(xml, "Code") ?? "", textIn(xml, "Message") ?? "");
}

function etagIn(headers: Headers): string {
  const etag = headers.get("etag");
  if (etag === null) throw new S3Error("S3", 200, "", "the answer has no ETag");
  return unquoted(etag);
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', "");
}

async function orAbsent<Value>(answer: Promise<Value>): Promise<Value | undefined> {
  return await answer.catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw error;
  });
}
