/** A client that pushes images as real ones do: it asks where an upload stands, goes on, and tries again what failed. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../../support/content.ts";
import type { Random } from "../../support/random.ts";

/** Milliseconds after which a request without an answer is given up, as by a client or a proxy. */
const ANSWER_MS = 6000;
/** Milliseconds after which a client gives up for good: no fault of the test lasts so long. */
const PATIENCE_MS = 120_000;

/** Statuses that say: try again. 409 is that of an upload which another request still writes to. */
const TRY_AGAIN: ReadonlySet<number> = new Set([409, 429, 502, 503]);

export interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** An image that was acknowledged. */
export interface PushedImage {
  readonly tag: string;
  readonly digest: string;
  readonly body: string;
  readonly blobs: readonly Blob[];
  /** Whether a request that pushed it was never answered: it may still be carried out. */
  readonly isDoubtful: boolean;
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WriterOptions {
  /** Where it sends requests to. */
  readonly url: string;
  readonly repository: string;
  readonly name: string;
  readonly random: Random;
  /** Sizes of layers. */
  readonly sizes: readonly number[];
}

export class Writer {
  readonly repository: string;
  readonly #url: string;
  readonly #name: string;
  readonly #random: Random;
  readonly #sizes: readonly number[];
  #made = 0;
  /** What was acknowledged, and is not deleted. */
  readonly images: PushedImage[] = [];
  /** Digests of manifests whose deletion was acknowledged. */
  readonly deleted: string[] = [];
  /** Requests that were answered with an error, or not at all. */
  troubles = 0;

  constructor({ url, repository, name, random, sizes }: WriterOptions) {
    this.#url = url;
    this.repository = repository;
    this.#name = name;
    this.#random = random;
    this.#sizes = sizes;
  }

  /** Pushes images until `signal` says stop. Rejects when the registry breaks a promise. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.pushImage();
      if (this.images.length > 4 && this.#random.chance(0.3)) await this.#deleteOne();
    }
  }

  async pushImage(): Promise<PushedImage> {
    const mark = `${this.#name}-${this.#made++}`;
    const config = blobOf(`${mark}/config`, 300);
    const layers = Array.from({ length: this.#random.between(1, 2) }, (_, at) =>
      blobOf(`${mark}/${at}`, this.#random.pick(this.#sizes) ?? 100),
    );
    const blobs = [config, ...layers];
    for (const blob of blobs) await this.pushBlob(blob);
    const body = imageManifest(
      descriptorOf(OCI_CONFIG, config.bytes),
      layers.map(({ bytes }) => descriptorOf(OCI_LAYER, bytes)),
    );
    const before = this.troubles;
    const headers = { "content-type": OCI_MANIFEST };
    const path = `/v2/${this.repository}/manifests/${mark}`;
    await this.#insist({ method: "PUT", path, body, headers }, [201]);
    const isDoubtful = this.troubles > before;
    const image = { tag: mark, digest: digestOf(body), body, blobs, isDoubtful };
    this.images.push(image);
    await this.#readOwnWrite(image);
    return image;
  }

  async pushBlob(blob: Blob): Promise<void> {
    for (const started = performance.now(); ;) {
      if (await this.#tryBlob(blob)) break;
      if (performance.now() - started > PATIENCE_MS) throw new Error(`no upload of ${blob.digest} came to its end`);
    }
    const path = `/v2/${this.repository}/blobs/${blob.digest}`;
    await this.#insist({ method: "HEAD", path }, [200]);
  }

  /** False when the upload was gone before its end. */
  async #tryBlob({ digest, bytes }: Blob): Promise<boolean> {
    const begun = await this.#insist({ method: "POST", path: `/v2/${this.repository}/blobs/uploads/` }, [202]);
    const path = pathOf(begun.headers.get("location"));
    const blob = `/v2/${this.repository}/blobs/${digest}`;
    const chunks = this.#random.between(0, 3);
    let offset = 0;
    // After trouble each chunk says where it belongs: the one before may be recorded late.
    let isSure = true;
    for (let left = chunks; left >= 0;) {
      const isLast = left === 0;
      const end = isLast ? bytes.length : Math.max(2, this.#random.between(offset, bytes.length));
      if (end === offset && !isLast) {
        left--;
        continue;
      }
      const body = bytes.slice(offset, end);
      const ranged = !isSure || this.#random.chance(0.5);
      const reply = await this.#ask({
        method: isLast ? "PUT" : "PATCH",
        path: isLast ? `${path}?digest=${digest}` : path,
        body,
        headers: {
          "content-type": "application/octet-stream",
          ...(ranged && body.length > 0 ? { "content-range": `${offset}-${end - 1}` } : {}),
        },
      });
      if (reply?.status === (isLast ? 201 : 202)) {
        if (isLast) return true;
        offset = end;
        left--;
        continue;
      }
      if (reply && !TRY_AGAIN.has(reply.status) && reply.status !== 404 && (reply.status !== 416 || isSure)) {
        throw await this.#broken(`${isLast ? "PUT" : "PATCH"} at byte ${offset} of ${path}`, reply);
      }
      // Without a range it may still be carried out, behind whatever comes next: as docker does, the client begins anew.
      if (!ranged && body.length > 0) return false;
      isSure = false;
      await sleep(50 + this.#random.next() * 300);
      // What became of it, and where the upload stands, the registry says.
      const stands = await this.#insist({ method: "GET", path }, [204, 404]);
      if (stands.status === 404) return (await this.#insist({ method: "HEAD", path: blob }, [200, 404])).status === 200;
      offset = standsAt(stands);
    }
    return false;
  }

  /** Another replica than the one that answered the push has it at once. */
  async #readOwnWrite({ tag, digest }: PushedImage): Promise<void> {
    for (const reference of [tag, digest]) {
      const path = `/v2/${this.repository}/manifests/${reference}`;
      const reply = await this.#insist({ method: "GET", path, headers: { accept: OCI_MANIFEST } }, [200]);
      const read = digestOf(await reply.bytes());
      if (read !== digest) throw new Error(`${path} is ${read}, not ${digest} that was acknowledged before`);
    }
  }

  async #deleteOne(): Promise<void> {
    const at = this.images.findIndex(({ isDoubtful }) => !isDoubtful);
    const [image] = at < 0 ? [] : this.images.splice(at, 1);
    if (!image) return;
    const path = `/v2/${this.repository}/manifests/${image.digest}`;
    await this.#insist({ method: "DELETE", path }, [202, 404]); // 404: carried out, and not answered
    this.deleted.push(image.digest);
    await this.#insist({ method: "GET", path: `/v2/${this.repository}/manifests/${image.tag}` }, [404]);
  }

  /** Asks again until the reply is one of these. */
  async #insist(asked: Asked, expected: readonly number[]): Promise<Response> {
    for (const started = performance.now(); ;) {
      const reply = await this.#ask(asked);
      if (reply && expected.includes(reply.status)) return reply;
      if (reply && !TRY_AGAIN.has(reply.status)) throw await this.#broken(`${asked.method} ${asked.path}`, reply);
      if (performance.now() - started > PATIENCE_MS) {
        throw new Error(`${asked.method} ${asked.path} was not carried out, at last ${reply?.status}`);
      }
      await reply?.body?.cancel();
      await sleep(50 + this.#random.next() * 200);
    }
  }

  /** Undefined when no reply came, or not the whole of it. */
  async #ask({ method, path, body, headers = {} }: Asked): Promise<Response | undefined> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const init = { method, headers, signal, redirect: "manual" } as const;
    try {
      const reply = await fetch(`${this.#url}${path}`, body === undefined ? init : { ...init, body });
      if (reply.status >= 400) this.troubles++;
      if (method === "HEAD") return reply;
      const bytes = await reply.bytes(); // a body that breaks off is no reply
      const { status } = reply;
      return new Response(status === 204 ? null : bytes, { status, headers: reply.headers });
    } catch {
      this.troubles++;
      return undefined;
    }
  }

  async #broken(what: string, reply: Response): Promise<Error> {
    return new Error(
      `${what} was answered with ${reply.status}: ${(await reply.text().catch(() => "")).slice(0, 500)}`,
    );
  }
}

export function blobOf(seed: string, size: number): Blob {
  const bytes = bytesOf(seed, size);
  return { bytes, digest: digestOf(bytes) };
}

function pathOf(location: string | null): string {
  return new URL(location ?? "", "http://registry").pathname;
}

/** `Range: 0-0` is said of one byte and of none: the writer sends two bytes at the least. */
function standsAt(reply: Response): number {
  const last = Number(/-(\d+)$/.exec(reply.headers.get("range") ?? "")?.[1] ?? 0);
  return last === 0 ? 0 : last + 1;
}
