/** A repository while its registry adopts a tree: each call first adds what it needs of the tree. */
import type { TagCondition } from "../../oci/tag-condition.ts";
import type { TagEvent, TagRecord } from "../../metadata/tags.ts";
import type { Pin } from "../../metadata/pins.ts";
import { ignoreDeviations } from "../../oci/deviation.ts";
import { parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import type { LocalDescriptor } from "../../oci/descriptor.ts";
import { OciError } from "../../oci/error.ts";
import { readManifest } from "../../oci/manifest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Signature } from "../../oci/signature.ts";
import type { Tag } from "../../oci/tag.ts";
import type { Blob, BlobService } from "../blobs.ts";
import type { Manifest, ManifestDescriptor, ManifestService, PutManifest, PutManifestOptions } from "../manifests.ts";
import type { PageStart } from "../pages.ts";
import type { PinService } from "../pins.ts";
import type { ReferrersFilter, ReferrersPage, ReferrersService } from "../referrers.ts";
import type { Repository } from "../repository.ts";
import type { SignatureService } from "../signatures.ts";
import type { TagService } from "../tags.ts";
import type { BlobUpload, UploadOptions } from "../uploads.ts";
import type { Adoption } from "./adoption.ts";

export class AdoptingRepository implements Repository {
  readonly name: RepositoryName;
  readonly manifests: ManifestService;
  readonly blobs: BlobService;
  readonly tags: TagService;
  readonly referrers: ReferrersService;
  readonly signatures: SignatureService;
  readonly pins: PinService;
  readonly #inner: Repository;
  readonly #adoption: Adoption;

  constructor(inner: Repository, adoption: Adoption) {
    this.#inner = inner;
    this.#adoption = adoption;
    this.name = inner.name;
    this.manifests = new AdoptingManifests(inner, adoption);
    this.blobs = new AdoptingBlobs(inner, adoption);
    this.tags = new AdoptingTags(inner, adoption);
    this.referrers = new AdoptingReferrers(inner, adoption);
    this.signatures = new AdoptingSignatures(inner, adoption);
    this.pins = new AdoptingPins(inner, adoption);
  }

  async exists(): Promise<boolean> {
    return (await this.#inner.exists()) || (await this.#adoption.tree.hasRepository(this.name));
  }
}

/** What is not here is looked up in the tree, and asked for once more. */
class Adopting {
  protected readonly inner: Repository;
  protected readonly adoption: Adoption;

  constructor(inner: Repository, adoption: Adoption) {
    this.inner = inner;
    this.adoption = adoption;
  }

  protected get name(): RepositoryName {
    return this.inner.name;
  }

  protected addRepository(): Promise<void> {
    return this.adoption.addRepository(this.name);
  }

  protected async withManifest<Result>(digest: Digest, find: () => Promise<Result>): Promise<Result> {
    return (await find()) ?? (await this.adoption.addManifest(this.name, digest), await find());
  }

  protected async withTag<Result>(tag: Tag, find: () => Promise<Result>): Promise<Result> {
    return (await find()) ?? (await this.adoption.addTag(this.name, tag), await find());
  }

  protected async withBlob<Result>(digest: Digest, find: () => Promise<Result>): Promise<Result> {
    return (await find()) ?? (await this.adoption.addBlobs(this.name, [digest]), await find());
  }
}

class AdoptingManifests extends Adopting implements ManifestService {
  async exists(digest: Digest): Promise<boolean> {
    return (await this.stat(digest)) !== undefined;
  }

  stat(digest: Digest): Promise<ManifestDescriptor | undefined> {
    return this.withManifest(digest, () => this.inner.manifests.stat(digest));
  }

  find(digest: Digest): Promise<Manifest | undefined> {
    return this.withManifest(digest, () => this.inner.manifests.find(digest));
  }

  /** Adds what the manifest names, and what its tags point at: rules about those hold in the tree too. */
  async put(payload: Uint8Array, options: PutManifestOptions = {}): Promise<PutManifest> {
    for (const tag of options.tags ?? []) await this.adoption.addTag(this.name, tag);
    const { blobs, children } = namedIn(payload, options.mediaType);
    for (const child of children) await this.adoption.addManifest(this.name, child);
    await this.adoption.addBlobs(this.name, [...blobs, ...children]);
    return await this.inner.manifests.put(payload, options);
  }

  async delete(digest: Digest): Promise<void> {
    await this.addRepository();
    await this.inner.manifests.delete(digest);
  }

  async *all(from?: PageStart): AsyncGenerator<ManifestDescriptor> {
    await this.addRepository();
    yield* this.inner.manifests.all(from);
  }
}

/** None for bytes that are no manifest: the registry says what is wrong with them. */
function namedIn(payload: Uint8Array, mediaType: string | undefined) {
  try {
    const { config, layers, children } = readManifest(payload, mediaType, ignoreDeviations);
    return { blobs: digestsOf([...(config ? [config] : []), ...layers]), children: digestsOf(children) };
  } catch (error) {
    if (error instanceof OciError) return { blobs: [], children: [] };
    throw error;
  }
}

function digestsOf(descriptors: readonly { readonly digest: string }[]): readonly Digest[] {
  const digests = descriptors.map(({ digest }) => parseDigest(digest)).filter((digest) => digest !== undefined);
  return [...new Set(digests)];
}

class AdoptingBlobs extends Adopting implements BlobService {
  async exists(digest: Digest): Promise<boolean> {
    return (await this.find(digest)) !== undefined;
  }

  find(digest: Digest): Promise<Blob | undefined> {
    return this.withBlob(digest, () => this.inner.blobs.find(digest));
  }

  async get(digest: Digest, options?: { readonly renews?: boolean }): Promise<Blob> {
    return await this.inner.blobs.get(digest, options).catch(async (error: unknown) => {
      if (!(error instanceof OciError) || error.code !== "BLOB_UNKNOWN") throw error;
      await this.adoption.addBlobs(this.name, [digest]);
      return await this.inner.blobs.get(digest, options);
    });
  }

  async delete(digest: Digest): Promise<void> {
    await this.addRepository();
    await this.inner.blobs.delete(digest);
  }

  async mount(
    digest: Digest,
    from?: RepositoryName,
    mayRead?: (name: RepositoryName) => boolean,
  ): Promise<Blob | undefined> {
    if (from !== undefined && (mayRead?.(from) ?? true)) await this.adoption.addBlobs(from, [digest]);
    return await this.inner.blobs.mount(digest, from, mayRead);
  }

  upload(options?: UploadOptions): Promise<BlobUpload> {
    return this.inner.blobs.upload(options);
  }

  resume(id: string): Promise<BlobUpload | undefined> {
    return this.inner.blobs.resume(id);
  }
}

class AdoptingTags extends Adopting implements TagService {
  async exists(tag: Tag): Promise<boolean> {
    return (await this.stat(tag)) !== undefined;
  }

  stat(tag: Tag): Promise<ManifestDescriptor | undefined> {
    return this.withTag(tag, () => this.inner.tags.stat(tag));
  }

  find(tag: Tag): Promise<Manifest | undefined> {
    return this.withTag(tag, () => this.inner.tags.find(tag));
  }

  async put(tag: Tag, digest: Digest, condition?: TagCondition): Promise<void> {
    await this.adoption.addTag(this.name, tag);
    await this.adoption.addManifest(this.name, digest);
    await this.inner.tags.put(tag, digest, condition);
  }

  async delete(tag: Tag, condition?: TagCondition): Promise<void> {
    await this.addRepository();
    await this.inner.tags.delete(tag, condition);
  }

  async *list(from?: PageStart): AsyncGenerator<TagRecord> {
    await this.addRepository();
    yield* this.inner.tags.list(from);
  }

  async *namePages(from?: PageStart): AsyncGenerator<readonly Tag[], void> {
    await this.addRepository();
    yield* this.inner.tags.namePages(from);
  }

  async history(tag: Tag, limit?: number): Promise<readonly TagEvent[]> {
    await this.adoption.addTag(this.name, tag);
    return await this.inner.tags.history(tag, limit);
  }

  async restore(tag: Tag, at: Date): Promise<Digest> {
    await this.addRepository();
    return await this.inner.tags.restore(tag, at);
  }
}

class AdoptingReferrers extends Adopting implements ReferrersService {
  async *list(subject: Digest, filter?: ReferrersFilter): AsyncGenerator<LocalDescriptor> {
    await this.addRepository();
    yield* this.inner.referrers.list(subject, filter);
  }

  async page(subject: Digest, filter: ReferrersFilter, maxBytes: number): Promise<ReferrersPage> {
    await this.addRepository();
    return await this.inner.referrers.page(subject, filter, maxBytes);
  }

  async *steps(
    subject: Digest,
    filter: ReferrersFilter,
    maxBytes: number,
  ): AsyncGenerator<readonly LocalDescriptor[], boolean> {
    await this.addRepository();
    return yield* this.inner.referrers.steps(subject, filter, maxBytes);
  }
}

class AdoptingSignatures extends Adopting implements SignatureService {
  get(digest: Digest): Promise<readonly Uint8Array[]> {
    return this.inner.signatures.get(digest);
  }

  list(digest: Digest): Promise<readonly Signature[]> {
    return this.inner.signatures.list(digest);
  }

  async put(digest: Digest, ...signatures: readonly Uint8Array[]): Promise<void> {
    await this.adoption.addManifest(this.name, digest);
    await this.inner.signatures.put(digest, ...signatures);
  }

  async add(digest: Digest, signature: Signature): Promise<void> {
    await this.adoption.addManifest(this.name, digest);
    await this.inner.signatures.add(digest, signature);
  }
}

class AdoptingPins extends Adopting implements PinService {
  async add(digest: Digest, why: string): Promise<void> {
    await this.adoption.addManifest(this.name, digest);
    await this.inner.pins.add(digest, why);
  }

  remove(digest: Digest): Promise<boolean> {
    return this.inner.pins.remove(digest);
  }

  list(from?: PageStart): AsyncIterable<Pin> {
    return this.inner.pins.list(from);
  }
}
