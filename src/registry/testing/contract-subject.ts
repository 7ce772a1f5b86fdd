/** A registry under test, and the content and streams that its tests feed it with. */
import { createHash } from "node:crypto";
import type { Clock } from "../../lib/clock.ts";
import { digestOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { OciError } from "../../oci/error.ts";
import type { ErrorCode } from "../../oci/error.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { RegistryLimits } from "../backend.ts";
import type { Namespace } from "../namespace.ts";
import type { Repository } from "../repository.ts";

export interface ContractSubject extends AsyncDisposable {
  readonly namespace: Namespace;
  /** Stands still until it is moved; all that belongs to the subject goes by it. */
  readonly clock: ManualClock;
  /** The same registry as another process has it: the same data, and empty caches. */
  another(): Promise<Namespace>;
  /** Ends uploads whose time is over and removes unreferenced bytes; gives the keys of all bytes that stay. */
  kept(): Promise<readonly string[]>;
  /** Removes all that nothing needs, as when every promise is over. */
  collectAll(): Promise<unknown>;
  /** Where the data lies, when it lies in files. */
  readonly folder?: string;
}

/** Opens a fresh, empty registry. */
export type OpenContract = (limits?: Partial<RegistryLimits>) => Promise<ContractSubject>;

export const APP: RepositoryName = repositoryName("team/app");
export const OTHER: RepositoryName = repositoryName("team/other");

/** As long as a process that sleeps keeps the uploads that it writes to. */
export const LEASE_MS = 10_000;

/** As long as a request that receives nothing keeps its upload. */
export const SILENCE_MS = 5_000;

/** A clock that is moved by hand, as if all processes slept, or goes on, and then calls what repeats itself. */
export class ManualClock implements Clock {
  ms = 1_700_000_000_000;
  readonly #repeated = new Set<() => Promise<void>>();

  readonly now = (): number => this.ms;

  every(_milliseconds: number, work: () => Promise<void>): Disposable {
    this.#repeated.add(work);
    return { [Symbol.dispose]: () => void this.#repeated.delete(work) };
  }

  /** Goes on second by second, in every process. */
  async pass(milliseconds: number): Promise<void> {
    const until = this.ms + milliseconds;
    while (this.ms < until) {
      this.ms = Math.min(until, this.ms + 1000);
      await Promise.all([...this.#repeated].map((work) => work()));
    }
  }
}

/** More than what lies in the database by default. */
export const LARGE = 40_000;

/** `size` bytes that depend on `seed` alone, and of which no two stretches are alike (xorshift32). */
export function contentOf(seed: string | number, size: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = createHash("sha256").update(String(seed)).digest().readUInt32LE() | 1;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

export async function* streamOf(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

/** A stream that gives `pieces` and then breaks, as a connection does. */
export async function* brokenAfter(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
  throw new Error("the sender went away");
}

/** A stream that is fed by hand. */
export class Pipe implements AsyncIterable<Uint8Array> {
  #wanted = Promise.withResolvers<void>();
  #next = Promise.withResolvers<Uint8Array | undefined>();

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      this.#wanted.resolve();
      const piece = await this.#next.promise;
      if (!piece) return;
      this.#next = Promise.withResolvers();
      yield piece;
    }
  }

  /** Gives a piece; resolves when the reader has dealt with it and wants another. */
  async give(piece: Uint8Array): Promise<void> {
    await this.offer(piece);
    await this.#wanted.promise;
  }

  /** Gives a piece to a reader that may never want another. */
  async offer(piece: Uint8Array): Promise<void> {
    await this.#wanted.promise;
    this.#wanted = Promise.withResolvers();
    this.#next.resolve(piece);
  }

  async end(): Promise<void> {
    await this.#wanted.promise;
    this.#next.resolve(undefined);
  }
}

/** Pushes a blob in one go and gives its digest. */
export async function push(repository: Repository, content: Uint8Array): Promise<Digest> {
  const digest = digestOf(content);
  const upload = await repository.blobs.upload();
  await upload.finish([digest], streamOf(content));
  return digest;
}

/** The content of a blob; undefined when it is not there. */
export async function pull(repository: Repository, digest: Digest): Promise<Uint8Array | undefined> {
  const blob = await repository.blobs.find(digest);
  return blob && (await collect(blob.read()));
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Uint8Array.from(Buffer.concat(pieces));
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Code and status of a refusal, such as `BLOB_UNKNOWN 404`; any other outcome is passed on or named. */
export async function refusalOf(attempt: Promise<unknown>): Promise<`${ErrorCode} ${number}` | "none"> {
  try {
    await attempt;
    return "none";
  } catch (error) {
    if (error instanceof OciError) return `${error.code} ${error.status}`;
    throw error;
  }
}

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export function descriptorOf(content: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(content), size: content.length };
}

/** An image manifest, whose config and layer depend on `seed`; they are not pushed. */
export function imageOf(seed: string | number, more: Readonly<Record<string, unknown>> = {}) {
  const config = bytes(JSON.stringify({ architecture: "amd64", os: "linux", seed }));
  const layer = contentOf(seed, 300);
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptorOf(config, OCI_CONFIG),
    layers: [descriptorOf(layer, OCI_LAYER)],
    ...more,
  };
  const payload = bytes(JSON.stringify(document));
  return { payload, digest: digestOf(payload), blobs: [config, layer], document };
}

export function indexOf(children: readonly Descriptor[], more: Readonly<Record<string, unknown>> = {}): Uint8Array {
  return bytes(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: children, ...more }));
}

/** Pushes an image with its blobs and gives its digest. */
export async function pushImage(
  repository: Repository,
  seed: string | number,
  options: Parameters<Repository["manifests"]["put"]>[1] = {},
  more: Readonly<Record<string, unknown>> = {},
): Promise<Digest> {
  const { payload, blobs, digest } = imageOf(seed, more);
  for (const blob of blobs) await push(repository, blob);
  await repository.manifests.put(payload, options);
  return digest;
}
