/** One client that does a little of everything with a registry, in the same order each time, and knows what it was told. */
import { expect } from "bun:test";
import { contentOf, imageOf } from "../../crash/support/content.ts";
import type { Content, TestManifest } from "../../crash/support/content.ts";
import { settle, settleCollected } from "../../crash/support/inspector.ts";
import {
  Ledger,
  withBlob,
  withManifest,
  withoutBlob,
  withoutManifest,
  withoutTag,
  withoutUpload,
  withUpload,
} from "../../crash/support/ledger.ts";
import type { State } from "../../crash/support/ledger.ts";
import { digestOf } from "../../support/content.ts";

/** What a request was refused with, or how a reply broke off. */
export interface Refusal {
  readonly request: string;
  /** Undefined when the reply broke off after its head. */
  readonly reply: { readonly status: number; readonly headers: Headers; readonly text: string } | undefined;
}

/** There is no server any more that would answer. */
export class ServerGone extends Error {
  override readonly name = "ServerGone";
}

export interface WorkloadOptions {
  /** Such as `http://127.0.0.1:40123`, without a slash at the end. */
  readonly url: string;
  /** Leaves the upload with this id as a process does that sleeps while it writes to it. */
  readonly abandon?: (id: string) => Promise<void>;
  /** What is done at the end that is no request of a client. */
  readonly aside?: () => Promise<void>;
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What the repository holds when the request has been carried out; as before when absent. */
  readonly after?: State;
  readonly expected: number;
}

const LAYER = contentOf("layer", 40_000);
const CHUNKED = contentOf("chunked", 60_000);
const LATE = contentOf("another algorithm, named at the end", 30_000, "sha512");
const CONFIG = contentOf("config", 300);
const SINGLE = contentOf("a single request", 50_000);
const UNFINISHED = contentOf("unfinished", 45_000);
const CANCELLED = contentOf("cancelled", 35_000);
const IMAGE = imageOf(CONFIG, [LAYER, CHUNKED]);
const OTHER_IMAGE = imageOf(CONFIG, [LAYER], { note: "another" });

export class Workload {
  /** What the client was told of each of its repositories. */
  readonly ledgers: readonly [Ledger, Ledger];

  /** Clients of different names have repositories of their own, and the same content. */
  constructor(name = "faults") {
    this.ledgers = [new Ledger(`${name}/app`, "app", new Set()), new Ledger(`${name}/other`, "other", new Set())];
  }

  /** Does everything once and gives what was refused; what hangs on a refused request is left out. */
  async run(options: WorkloadOptions): Promise<readonly Refusal[]> {
    const client = new Client(options);
    const [app, other] = this.ledgers;
    await client.push(app, LAYER, []);
    await client.push(app, CONFIG, []);
    await client.push(app, CHUNKED, [20_000, 60_000]);
    await client.push(app, LATE, [20_000]);
    await client.pushAtOnce(app, SINGLE);
    await client.putManifest(app, IMAGE, "v1");
    await client.putManifest(app, OTHER_IMAGE, "v2");
    await client.pull(app, LAYER);
    await client.mount(other, app, LAYER);
    await client.push(other, LAYER, []);
    const begun = await client.begin(app, UNFINISHED);
    if (begun !== undefined) {
      await client.sendChunk(app, begun, 20_000);
      await options.abandon?.(/[^/?]+(?=\?|$)/.exec(begun)?.[0] ?? "");
      await client.sendChunk(app, begun, 30_000);
    }
    const cancelled = await client.begin(app, CANCELLED);
    if (cancelled !== undefined) {
      await client.sendChunk(app, cancelled, 20_000);
      await client.cancel(app, cancelled);
    }
    await client.deleteBlob(app, SINGLE);
    await client.deleteTag(app, "v1");
    await client.deleteManifest(app, OTHER_IMAGE);
    await options.aside?.();
    return client.refusals;
  }

  /** Goes on with all uploads that were acknowledged, to their end, and compares all that is shown with what was told. */
  async finish(options: WorkloadOptions): Promise<readonly Refusal[]> {
    const client = new Client(options);
    for (const ledger of this.ledgers) {
      await settle(options.url, ledger);
      for (const path of ledger.state.uploads.keys()) await client.close(ledger, path);
      await settle(options.url, ledger);
    }
    return client.refusals;
  }

  /** After a collection without any grace: blobs that no manifest needs may be gone, and nothing else. */
  async collected({ url }: WorkloadOptions): Promise<void> {
    for (const ledger of this.ledgers) await settleCollected(url, ledger);
  }

  /** Deletes every manifest, so that nothing is needed any more. */
  async deleteAll(options: WorkloadOptions): Promise<readonly Refusal[]> {
    const client = new Client(options);
    for (const ledger of this.ledgers) {
      for (const manifest of ledger.manifests.values()) await client.deleteManifest(ledger, manifest);
    }
    return client.refusals;
  }
}

class Client {
  readonly refusals: Refusal[] = [];
  readonly #options: WorkloadOptions;

  constructor(options: WorkloadOptions) {
    this.#options = options;
  }

  /** By POST, a PATCH up to each of `ends`, in turns without and with a place, and PUT. */
  async push(ledger: Ledger, content: Content, ends: readonly number[]): Promise<void> {
    const path = await this.begin(ledger, content);
    if (path === undefined) return;
    for (const [at, end] of ends.entries()) if (!(await this.sendChunk(ledger, path, end, at % 2 === 1))) return;
    await this.close(ledger, path);
  }

  async pushAtOnce(ledger: Ledger, content: Content): Promise<void> {
    ledger.contents.set(content.digest, content);
    const path = `/v2/${ledger.repository}/blobs/uploads/?digest=${content.digest}`;
    const after = withBlob(ledger.state, content.digest);
    await this.#send(ledger, { method: "POST", path, body: content.bytes, after, expected: 201 });
  }

  /** Gives the path of the upload. */
  async begin(ledger: Ledger, content: Content): Promise<string | undefined> {
    ledger.contents.set(content.digest, content);
    const path = `/v2/${ledger.repository}/blobs/uploads/`;
    const reply = await this.#send(ledger, { method: "POST", path, expected: 202 });
    const location = reply?.headers.get("location");
    if (location === undefined || location === null) return undefined;
    ledger.state = withUpload(ledger.state, location, { content, offset: 0 });
    return location;
  }

  async sendChunk(ledger: Ledger, path: string, end: number, placed = false): Promise<boolean> {
    const upload = ledger.state.uploads.get(path);
    if (!upload) return false;
    const { content, offset } = upload;
    const reply = await this.#send(ledger, {
      method: "PATCH",
      path,
      body: content.bytes.slice(offset, end),
      headers: placed ? { "content-range": `${offset}-${end - 1}` } : {},
      after: withUpload(ledger.state, path, { content, offset: end }),
      expected: 202,
    });
    return reply !== undefined;
  }

  async close(ledger: Ledger, path: string): Promise<void> {
    const upload = ledger.state.uploads.get(path);
    if (!upload) return;
    const { content, offset } = upload;
    const body = content.bytes.slice(offset);
    const after = withoutUpload(withBlob(ledger.state, content.digest), path);
    const target = `${path}?digest=${content.digest}`;
    await this.#send(ledger, {
      method: "PUT",
      path: target,
      ...(body.length > 0 ? { body } : {}),
      after,
      expected: 201,
    });
  }

  async cancel(ledger: Ledger, path: string): Promise<void> {
    if (!ledger.state.uploads.has(path)) return;
    await this.#send(ledger, { method: "DELETE", path, after: withoutUpload(ledger.state, path), expected: 204 });
  }

  async mount(ledger: Ledger, from: Ledger, content: Content): Promise<void> {
    if (!from.state.blobs.has(content.digest)) return;
    ledger.contents.set(content.digest, content);
    const path = `/v2/${ledger.repository}/blobs/uploads/?mount=${content.digest}&from=${from.repository}`;
    await this.#send(ledger, { method: "POST", path, after: withBlob(ledger.state, content.digest), expected: 201 });
  }

  async putManifest(ledger: Ledger, manifest: TestManifest, tag: string): Promise<void> {
    if (manifest.blobs.some((digest) => !ledger.state.blobs.has(digest))) return;
    ledger.manifests.set(manifest.digest, manifest);
    await this.#send(ledger, {
      method: "PUT",
      path: `/v2/${ledger.repository}/manifests/${tag}`,
      body: manifest.body,
      headers: { "content-type": manifest.mediaType },
      after: withManifest(ledger.state, manifest.digest, [tag]),
      expected: 201,
    });
  }

  /** Its head, all of it, one range and two; and the tags and the manifests of the repository. */
  async pull(ledger: Ledger, { digest, bytes }: Content): Promise<void> {
    const { repository, state } = ledger;
    if (state.blobs.has(digest)) {
      const path = `/v2/${repository}/blobs/${digest}`;
      await this.#send(ledger, { method: "HEAD", path, expected: 200 });
      const whole = await this.#send(ledger, { method: "GET", path, expected: 200 });
      if (whole && digestOf(whole.bytes) !== digest) throw new Error(`${path} has other bytes`);
      const range = await this.#send(ledger, { method: "GET", path, headers: { range: "bytes=5-99" }, expected: 206 });
      if (range && !Buffer.from(bytes.slice(5, 100)).equals(range.bytes)) throw new Error(`${path} has another range`);
      await this.#send(ledger, { method: "GET", path, headers: { range: "bytes=0-9,20-29" }, expected: 206 });
    }
    if (state.manifests.size > 0) {
      const list = await this.#send(ledger, { method: "GET", path: `/v2/${repository}/tags/list`, expected: 200 });
      if (list)
        expect(JSON.parse(new TextDecoder().decode(list.bytes))).toEqual({
          name: repository,
          tags: [...state.tags.keys()].toSorted(),
        });
    }
    for (const [tag, wanted] of state.tags) {
      const manifest = await this.#send(ledger, {
        method: "GET",
        path: `/v2/${repository}/manifests/${tag}`,
        expected: 200,
      });
      if (manifest && digestOf(manifest.bytes) !== wanted) throw new Error(`${repository}:${tag} has other bytes`);
    }
  }

  async deleteBlob(ledger: Ledger, { digest }: Content): Promise<void> {
    if (!ledger.state.blobs.has(digest)) return;
    const path = `/v2/${ledger.repository}/blobs/${digest}`;
    await this.#send(ledger, { method: "DELETE", path, after: withoutBlob(ledger.state, digest), expected: 202 });
  }

  async deleteTag(ledger: Ledger, tag: string): Promise<void> {
    if (!ledger.state.tags.has(tag)) return;
    const path = `/v2/${ledger.repository}/manifests/${tag}`;
    await this.#send(ledger, { method: "DELETE", path, after: withoutTag(ledger.state, tag), expected: 202 });
  }

  async deleteManifest(ledger: Ledger, { digest }: TestManifest): Promise<void> {
    if (!ledger.state.manifests.has(digest)) return;
    const path = `/v2/${ledger.repository}/manifests/${digest}`;
    await this.#send(ledger, { method: "DELETE", path, after: withoutManifest(ledger.state, digest), expected: 202 });
  }

  /** Undefined when it was refused: what it would have done is there wholly or not at all then. */
  async #send(
    ledger: Ledger,
    { method, path, body, headers = {}, after, expected }: Sent,
  ): Promise<{ readonly headers: Headers; readonly bytes: Uint8Array } | undefined> {
    const request = `${method} ${path.replaceAll(/[0-9a-f]{56,}/g, "…")}`;
    const { url } = this.#options;
    ledger.pending = after;
    const reply = await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) }).catch(
      (error: unknown) => {
        throw new ServerGone(`${request} was not answered`, { cause: error });
      },
    );
    const bytes = await reply.bytes().catch(() => undefined);
    if (bytes && reply.status === expected) {
      ledger.state = after ?? ledger.state;
      ledger.pending = undefined;
      return { headers: reply.headers, bytes };
    }
    const { status } = reply;
    const text = bytes && new TextDecoder().decode(bytes);
    this.refusals.push({ request, reply: text === undefined ? undefined : { status, headers: reply.headers, text } });
    await settle(url, ledger);
    return undefined;
  }
}
