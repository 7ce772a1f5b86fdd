/** Copies images of another registry or of a file into this one, byte by byte; what is here already is not transferred again. */
import { BrokenBodyError } from "../../lib/broken-body-error.ts";
import { parseDigest, digestOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { ignoreDeviations } from "../../oci/deviation.ts";
import { readManifest } from "../../oci/manifest.ts";
import { isForeignLayer } from "../../oci/media-type.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { parseTag } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";
import type { Namespace } from "../namespace.ts";
import type { Repository } from "../repository.ts";
import { SourceError } from "./image-source.ts";
import type { ImageSource } from "./image-source.ts";

export interface ImportOptions {
  /** Images of a repository that are copied at the same time. */
  readonly parallel: number;
  /** The only repository that blobs are mounted from; any of this registry when absent, as operators may read all of them. */
  readonly mountFrom?: RepositoryName;
  /** Called after each tag and each blob. */
  readonly onStep?: (counts: ImportCounts) => void;
  /** Called when a tag, or the tags of a repository, could not be copied; the others are. */
  readonly onFailure: (image: string, error: unknown) => void;
}

export interface ImportCounts {
  readonly tags: number;
  /** Tags that were here already and point at the same manifest. */
  readonly unchanged: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Of the blobs that were transferred. */
  readonly bytes: number;
  readonly failures: number;
}

/** Indexes in indexes, and referrers of referrers, are followed so deep. */
const MAX_DEPTH = 8;

export class Importer {
  readonly #namespace: Namespace;
  readonly #source: ImageSource;
  readonly #options: ImportOptions;
  counts: ImportCounts = { tags: 0, unchanged: 0, manifests: 0, blobs: 0, bytes: 0, failures: 0 };

  constructor(namespace: Namespace, source: ImageSource, options: ImportOptions) {
    this.#namespace = namespace;
    this.#source = source;
    this.#options = options;
  }

  /** Copies all tags of a repository, or some, with their referrers, to `name`. */
  async repository(from: string, name: RepositoryName, only?: readonly Tag[]): Promise<void> {
    const target = this.#namespace.repository(name);
    const tags = only ?? this.#source.tags(from);
    const iterator = (async function* () {
      for await (const tag of tags) yield tag;
    })();
    const copyNext = async (): Promise<void> => {
      for (;;) {
        const { done, value } = await iterator.next();
        if (done) return;
        await this.#tag(from, target, value);
      }
    };
    try {
      await Promise.all(Array.from({ length: this.#options.parallel }, copyNext));
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      this.#fail(from, error); // its tags could not be listed
    }
  }

  /** Copies the image that the source has under a digest, with its referrers, to `name`, and points the tag at it. */
  async image(name: RepositoryName, digest: Digest, tag?: Tag): Promise<void> {
    const target = this.#namespace.repository(name);
    try {
      await this.#put(name, target, digest, { said: digest, tag });
    } catch (error) {
      this.#fail(tag === undefined ? `${name}@${digest}` : `${name}:${tag}`, error);
    }
  }

  #fail(what: string, error: unknown): void {
    this.#count({ failures: 1 });
    this.#options.onFailure(what, error);
  }

  async #tag(from: string, target: Repository, text: string): Promise<void> {
    try {
      const tag = parseTag(text);
      if (tag === undefined) throw new SourceError("it is no tag of this registry");
      // The first request says whether anything has to be done: an import that is repeated costs little.
      const said = await this.#source.digestOf(from, tag);
      await this.#put(from, target, tag, { said, tag });
    } catch (error) {
      this.#fail(`${from}:${text}`, error);
    }
  }

  /** `said` is the digest of `reference`, when the source says it. */
  async #put(
    from: string,
    target: Repository,
    reference: string,
    { said, tag }: { readonly said: Digest | undefined; readonly tag: Tag | undefined },
  ): Promise<void> {
    const isHere = said !== undefined && (await target.manifests.exists(said));
    const isUnchanged = isHere && (tag === undefined || (await target.tags.stat(tag))?.digest === said);
    if (isHere && !isUnchanged && tag !== undefined) await target.tags.put(tag, said);
    const tags = tag === undefined ? [] : [tag];
    if (isHere) await this.#referrersOfAll(from, target, said, 0);
    else await this.#referrers(from, target, await this.#manifest(from, target, reference, { tags }), 0);
    if (tag !== undefined) this.#count({ tags: 1, unchanged: isUnchanged ? 1 : 0 });
  }

  /** Copies a manifest with all that it needs, and returns its digest. */
  async #manifest(
    from: string,
    target: Repository,
    reference: string,
    { tags = [], depth = 0 }: { readonly tags?: readonly Tag[]; readonly depth?: number },
  ): Promise<Digest> {
    if (depth > MAX_DEPTH) throw new SourceError(`indexes are nested more than ${MAX_DEPTH} deep`);
    const wanted = parseDigest(reference);
    if (wanted !== undefined && (await target.manifests.exists(wanted))) return wanted;
    const found = await this.#source.manifest(from, reference);
    if (!found) throw new SourceError(`${reference} is not there`);
    const { payload } = found;
    // Some registries answer with a general type.
    const mediaType =
      found.mediaType?.includes("manifest") || found.mediaType?.includes("index") ? found.mediaType : undefined;
    const { config, layers, children } = readManifest(payload, mediaType, ignoreDeviations);
    for (const { digest, mediaType: type, urls = [] } of [...(config ? [config] : []), ...layers]) {
      const blob = parseDigest(digest);
      const isElsewhere = isForeignLayer(type) || urls.length > 0;
      if (blob !== undefined) await this.#blob(from, target, blob, isElsewhere);
    }
    for (const { digest } of children) {
      // A child of BuildKit's caches is a layer.
      const isThere = (await this.#source.digestOf(from, digest)) !== undefined;
      const child = parseDigest(digest);
      if (isThere) {
        const isHere = child !== undefined && (await target.manifests.exists(child));
        const copied = await this.#manifest(from, target, digest, { depth: depth + 1 });
        if (isHere) await this.#referrersOfAll(from, target, copied, depth + 1);
        else await this.#referrers(from, target, copied, depth + 1);
      } else if (child !== undefined) await this.#blob(from, target, child, false);
    }
    const digest = wanted ?? digestOf(payload);
    await target.manifests.put(payload, { digest, tags, ...(mediaType === undefined ? {} : { mediaType }) });
    this.#count({ manifests: 1 });
    return digest;
  }

  async #blob(from: string, target: Repository, digest: Digest, isOptional: boolean): Promise<void> {
    if (await target.blobs.exists(digest)) return;
    if (await target.blobs.mount(digest, this.#options.mountFrom)) return;
    const upload = await target.blobs.upload();
    let bytes = 0;
    const source = this.#source;
    const counted = (async function* () {
      for await (const piece of source.blob(from, digest)) {
        bytes += piece.length;
        yield piece;
      }
    })();
    try {
      await upload.finish([digest], counted);
    } catch (error) {
      await upload.cancel().catch(() => undefined); // it has ended, or expires
      const cause = error instanceof BrokenBodyError && error.cause instanceof SourceError ? error.cause : error;
      if (isOptional && cause instanceof SourceError) return; // foreign layers lie at their urls
      throw cause;
    }
    this.#count({ blobs: 1, bytes });
  }

  async #referrers(from: string, target: Repository, subject: Digest, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) return;
    for (const digest of await this.#source.referrers(from, subject)) {
      await this.#manifest(from, target, digest, { depth });
      await this.#referrers(from, target, digest, depth + 1);
    }
  }

  /** Copies what refers to a manifest that was here before, and to those that it lists: new ones may have come. */
  async #referrersOfAll(from: string, target: Repository, digest: Digest, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) return;
    await this.#referrers(from, target, digest, depth);
    const manifest = await target.manifests.find(digest);
    if (!manifest) return;
    for (const { digest: text } of readManifest(manifest.payload, manifest.mediaType, ignoreDeviations).children) {
      const child = parseDigest(text);
      if (child === undefined || !(await target.manifests.exists(child))) continue;
      await this.#referrersOfAll(from, target, child, depth + 1);
    }
  }

  #count(more: Partial<ImportCounts>): void {
    const added = Object.entries(more).map(([key, count]) => [key, this.counts[key as keyof ImportCounts] + count]);
    this.counts = { ...this.counts, ...(Object.fromEntries(added) as Partial<ImportCounts>) };
    this.#options.onStep?.(this.counts);
  }
}
