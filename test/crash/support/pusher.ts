/** A client of the crash test: pushes, moves and deletes one request at a time until its server dies. */
import { streamOf } from "../../support/repository-client.ts";
import type { Random } from "../../support/random.ts";
import { contentOf, imageOf, indexOf } from "./content.ts";
import type { Content, TestManifest } from "./content.ts";
import {
  withBlob,
  withManifest,
  withoutBlob,
  withoutManifest,
  withoutTag,
  withoutUpload,
  withUpload,
} from "./ledger.ts";
import type { Ledger, OpenUpload, State } from "./ledger.ts";

/** The server is gone, as it was meant to be, or the round is over. */
class ServerGone extends Error {
  override readonly name = "ServerGone";
}

/** A server that a request is sent to. */
export interface Target {
  /** Without a slash at the end. */
  readonly url: string;
  /** Whether it has been killed: from then on requests may fail. */
  isKilled(): boolean;
}

export interface Surroundings {
  /** Called as each request begins; gives where it goes, or undefined when no more are sent. */
  readonly target: (random: Random) => Target | undefined;
  /** Content that every client pushes. */
  readonly common: readonly Content[];
  /** All clients. */
  readonly ledgers: readonly Ledger[];
}

/** Sizes on both sides of the limit (16 KiB) up to which a blob lies in the database. */
const SIZES = [0, 2, 700, 16_384, 16_385, 40_000, 150_000];
const TAGS = 6;
/** How many things of a kind a client keeps before it rather deletes. */
const ENOUGH = 12;

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array<ArrayBuffer> | string | ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** What the repository holds of this client when the request has been carried out. */
  readonly after?: State;
  readonly expected: readonly number[];
}

export class Pusher {
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #around: Surroundings;
  #made = 0;
  readonly #mark: string;

  /** `mark` stands in all content that it makes. */
  constructor(ledger: Ledger, random: Random, around: Surroundings, mark: string) {
    this.#ledger = ledger;
    this.#random = random;
    this.#around = around;
    this.#mark = `${mark}/${ledger.owner}`;
  }

  /** Works until the server is gone; rejects when a reply is not what it must be. */
  async run(): Promise<void> {
    try {
      for (;;) await this.#step();
    } catch (error) {
      if (!(error instanceof ServerGone)) throw error;
    }
  }

  /** Goes on with an upload that was acknowledged, to its end. */
  async finishUpload(path: string): Promise<void> {
    const upload = this.#ledger.state.uploads.get(path);
    if (!upload) return;
    const [start, end] = [upload.offset, upload.content.bytes.length];
    if (start < end && this.#random.chance(0.5)) await this.#sendChunk(path, this.#random.between(start + 1, end));
    await this.#close(path);
  }

  async #step(): Promise<void> {
    const roll = this.#random.between(1, 100);
    if (roll <= 25) await this.#pushBlob(this.#newContent());
    else if (roll <= 50) await this.#pushImage();
    else if (roll <= 58) await this.#pushIndex();
    else if (roll <= 66) await this.#pushReferrer();
    else if (roll <= 74) await this.#moveTag();
    else if (roll <= 79) await this.#mountAny();
    else if (roll <= 84) await this.#goOn();
    else if (roll <= 88) await this.#deleteTag();
    else if (roll <= 94) await this.#deleteManifest();
    else if (roll <= 98) await this.#deleteBlob();
    else await this.#cancelUpload();
  }

  // What is pushed.

  #newContent(): Content {
    const size = this.#random.pick(SIZES) ?? 0;
    const algorithm = this.#random.chance(0.15) ? "sha512" : "sha256";
    const content = contentOf(
      `${this.#mark}/${this.#made++}`,
      size + (size > 2 ? this.#random.between(0, 9) : 0),
      algorithm,
    );
    // A pusher of few bytes pushes the same as others do.
    return content.bytes.length > 2 ? content : (this.#random.pick(this.#around.common) ?? content);
  }

  async #pushBlob(content: Content): Promise<void> {
    this.#ledger.contents.set(content.digest, content);
    const elsewhere = this.#around.ledgers.find(
      (other) => other.repository !== this.#ledger.repository && other.state.blobs.has(content.digest),
    );
    if (elsewhere && this.#random.chance(0.5)) {
      await this.#mount(content, elsewhere.repository);
      return;
    }
    if (this.#random.chance(0.25)) {
      const path = `/v2/${this.#ledger.repository}/blobs/uploads/?digest=${content.digest}`;
      const after = withBlob(this.#ledger.state, content.digest);
      await this.#send({ method: "POST", path, body: content.bytes, after, expected: [201] });
      return;
    }
    const path = await this.#open(content);
    const { length } = content.bytes;
    const chunks = this.#random.between(0, 3);
    for (let left = chunks; left > 0; left--) {
      const offset = this.#ledger.state.uploads.get(path)?.offset ?? 0;
      if (offset >= length) break;
      await this.#sendChunk(path, left === 1 ? length : this.#random.between(offset + 1, length));
    }
    if (this.#random.chance(0.1)) return; // perhaps it goes on with it later
    await this.#close(path);
  }

  async #pushImage(): Promise<void> {
    const config = contentOf(`${this.#mark}/config/${this.#made++}`, 300);
    const layers = Array.from({ length: this.#random.between(1, 3) }, () => this.#knownOrNew());
    for (const blob of [config, ...layers]) await this.#ensureBlob(blob);
    await this.#putManifest(imageOf(config, layers, { note: `${this.#made++}` }));
  }

  async #pushReferrer(): Promise<void> {
    const subject = this.#anyManifest();
    if (!subject) return;
    const config = this.#random.pick(this.#around.common);
    if (!config) return;
    await this.#ensureBlob(config);
    await this.#putManifest(imageOf(config, [config], { subject, note: `${this.#mark}/${this.#made++}` }));
  }

  async #pushIndex(): Promise<void> {
    const [one, other] = [this.#anyManifest(), this.#anyManifest()];
    if (one && other) await this.#putManifest(indexOf([one, other], `${this.#mark}/${this.#made++}`));
  }

  async #moveTag(): Promise<void> {
    const manifest = this.#anyManifest();
    if (manifest) await this.#putManifest(manifest);
  }

  async #putManifest(manifest: TestManifest): Promise<void> {
    const { repository, state, manifests } = this.#ledger;
    manifests.set(manifest.digest, manifest);
    const tags = Array.from({ length: this.#random.between(0, 3) }, () => this.#tag());
    const [tag] = tags;
    const byTag = tag !== undefined && this.#random.chance(0.5);
    const reference = byTag ? tag : `${manifest.digest}?${tags.map((each) => `tag=${each}`).join("&")}`;
    await this.#send({
      method: "PUT",
      path: `/v2/${repository}/manifests/${reference}`,
      body: manifest.body,
      headers: { "content-type": manifest.mediaType },
      after: withManifest(state, manifest.digest, byTag ? [tag] : tags),
      expected: [201],
    });
  }

  async #mountAny(): Promise<void> {
    const others = this.#around.ledgers.filter(({ repository }) => repository !== this.#ledger.repository);
    const other = this.#random.pick(others);
    const digest = other && this.#random.pick([...other.state.blobs].filter((each) => !this.#isOfAnother(each)));
    const content = digest === undefined ? undefined : other?.contents.get(digest);
    if (other && content) await this.#mount(content, other.repository);
  }

  /** Whether another client of the repository pushes it, and may delete it: that would not be ours to know of. */
  #isOfAnother(digest: string): boolean {
    const { repository, shared } = this.#ledger;
    const others = this.#around.ledgers.filter((other) => other !== this.#ledger && other.repository === repository);
    return !shared.has(digest) && others.some(({ contents }) => contents.has(digest));
  }

  async #mount(content: Content, from: string): Promise<void> {
    const { repository, state, contents } = this.#ledger;
    contents.set(content.digest, content);
    const path = `/v2/${repository}/blobs/uploads/?mount=${content.digest}&from=${from}`;
    const reply = await this.#send({
      method: "POST",
      path,
      after: withBlob(state, content.digest),
      expected: [201, 202],
      isDone: ({ status }) => status === 201,
    });
    if (reply.status === 201) return;
    // Its owner deleted it there meanwhile: it is an upload now.
    const location = new URL(reply.headers.get("location") ?? "", reply.url).pathname;
    this.#ledger.state = withUpload(state, location, { content, offset: 0 });
    await this.#close(location);
  }

  async #ensureBlob(content: Content): Promise<void> {
    while (!this.#ledger.state.blobs.has(content.digest)) await this.#pushBlob(content);
  }

  #knownOrNew(): Content {
    const known = this.#random.pick([...this.#ledger.state.blobs]);
    const content = known === undefined ? undefined : this.#ledger.contents.get(known);
    return content && this.#random.chance(0.4) ? content : this.#newContent();
  }

  // Uploads.

  async #open(content: Content): Promise<string> {
    const { repository, state } = this.#ledger;
    const algorithm = content.digest.startsWith("sha512") && this.#random.chance(0.5) ? "?digest-algorithm=sha512" : "";
    const path = `/v2/${repository}/blobs/uploads/${algorithm}`;
    const reply = await this.#send({ method: "POST", path, expected: [202] });
    const location = new URL(reply.headers.get("location") ?? "", reply.url).pathname;
    this.#ledger.state = withUpload(state, location, { content, offset: 0 });
    return location;
  }

  async #sendChunk(path: string, wanted: number): Promise<void> {
    const { content, offset } = this.#upload(path);
    const end = Math.max(2, wanted); // of one byte and of none a server says the same: Range: 0-0
    const body = content.bytes.slice(offset, end);
    const half = Math.floor(body.length / 2);
    await this.#send({
      method: "PATCH",
      path,
      body: this.#random.chance(0.3) ? streamOf(body.slice(0, half), body.slice(half)) : body,
      headers: this.#random.chance(0.5) ? { "content-range": `${offset}-${end - 1}` } : {},
      after: withUpload(this.#ledger.state, path, { content, offset: end }),
      expected: [202],
    });
  }

  async #close(path: string): Promise<void> {
    const { content, offset } = this.#upload(path);
    const after = withoutUpload(withBlob(this.#ledger.state, content.digest), path);
    const body = content.bytes.slice(offset);
    const target = `${path}?digest=${content.digest}`;
    await this.#send({ method: "PUT", path: target, ...(body.length > 0 ? { body } : {}), after, expected: [201] });
  }

  async #goOn(): Promise<void> {
    const path = this.#random.pick([...this.#ledger.state.uploads.keys()]);
    if (path !== undefined) await this.finishUpload(path);
  }

  async #cancelUpload(): Promise<void> {
    const path = this.#random.pick([...this.#ledger.state.uploads.keys()]);
    if (path === undefined) return;
    await this.#send({ method: "DELETE", path, after: withoutUpload(this.#ledger.state, path), expected: [204] });
  }

  #upload(path: string): OpenUpload {
    const upload = this.#ledger.state.uploads.get(path);
    if (!upload) throw new Error(`there is no upload at ${path}`);
    return upload;
  }

  // What is deleted: never what an image of this client needs.

  async #deleteTag(): Promise<void> {
    const { state, repository } = this.#ledger;
    const tag = this.#random.pick([...state.tags.keys()]);
    if (tag === undefined) return;
    const path = `/v2/${repository}/manifests/${tag}`;
    await this.#send({ method: "DELETE", path, after: withoutTag(state, tag), expected: [202] });
  }

  async #deleteManifest(): Promise<void> {
    const { state, repository } = this.#ledger;
    const children = this.#ledger.children();
    for (let more = state.manifests.size > ENOUGH ? 2 : 1; more > 0; more--) {
      const digest = this.#random.pick([...this.#ledger.state.manifests].filter((each) => !children.has(each)));
      if (digest === undefined) return;
      const path = `/v2/${repository}/manifests/${digest}`;
      const after = withoutManifest(this.#ledger.state, digest);
      await this.#send({ method: "DELETE", path, after, expected: [202] });
    }
  }

  async #deleteBlob(): Promise<void> {
    const { state, repository, shared } = this.#ledger;
    const needed = this.#ledger.needed();
    const free = [...state.blobs].filter((digest) => !needed.has(digest) && !shared.has(digest));
    const digest = this.#random.pick(free);
    if (digest === undefined) return;
    const path = `/v2/${repository}/blobs/${digest}`;
    await this.#send({ method: "DELETE", path, after: withoutBlob(state, digest), expected: [202] });
  }

  #anyManifest(): TestManifest | undefined {
    const digest = this.#random.pick([...this.#ledger.state.manifests]);
    return digest === undefined ? undefined : this.#ledger.manifests.get(digest);
  }

  #tag(): string {
    return `${this.#ledger.owner}-${this.#random.between(1, TAGS)}`;
  }

  /** Sends a request; what it changes is in flight until the reply is here, and acknowledged from then on. */
  async #send({
    after,
    expected,
    isDone = () => true,
    method,
    path,
    body,
    headers = {},
  }: Sent & { readonly isDone?: (reply: Response) => boolean }): Promise<Response> {
    const target = this.#around.target(this.#random);
    if (!target) throw new ServerGone();
    this.#ledger.pending = after;
    const what = `${method} ${path.slice(0, 150)}`;
    let reply: Response;
    try {
      const init = { method, headers, redirect: "manual" } as const;
      reply = await fetch(`${target.url}${path}`, body === undefined ? init : { ...init, body });
    } catch (error) {
      if (target.isKilled()) throw new ServerGone();
      throw new Error(`${what} failed though the server lives`, { cause: error });
    }
    if (!expected.includes(reply.status)) {
      const text = await reply.text().catch(() => "");
      throw new Error(`${what} answered ${reply.status}, not ${expected.join(" or ")}: ${text.slice(0, 500)}`);
    }
    if (after && isDone(reply)) this.#ledger.state = after;
    this.#ledger.pending = undefined;
    return reply;
  }
}
