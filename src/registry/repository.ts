/** A named collection of manifests, tags and blobs. */
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Backend } from "./backend.ts";
import { LocalBlobs } from "./blobs.ts";
import type { BlobService } from "./blobs.ts";
import { LocalManifests } from "./manifests.ts";
import type { ManifestService } from "./manifests.ts";
import { LocalPins } from "./pins.ts";
import type { PinService } from "./pins.ts";
import { LocalReferrers } from "./referrers.ts";
import type { ReferrersService } from "./referrers.ts";
import { LocalSignatures } from "./signatures.ts";
import type { SignatureService } from "./signatures.ts";
import { LocalTags } from "./tags.ts";
import type { TagService } from "./tags.ts";

/**
 * The interfaces of a namespace, a repository and its services are the library's contract, which follows those of
 * docker/distribution: that is why each stands beside the one class that has it.
 */
export interface Repository {
  readonly name: RepositoryName;
  readonly manifests: ManifestService;
  readonly blobs: BlobService;
  readonly tags: TagService;
  readonly referrers: ReferrersService;
  readonly signatures: SignatureService;
  readonly pins: PinService;
  /** Whether something is in it: a manifest, a blob or an upload. */
  exists(): Promise<boolean>;
}

export class LocalRepository implements Repository {
  readonly name: RepositoryName;
  readonly manifests: ManifestService;
  readonly blobs: BlobService;
  readonly tags: TagService;
  readonly referrers: ReferrersService;
  readonly signatures: SignatureService;
  readonly pins: PinService;
  readonly #backend: Backend;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.name = name;
    this.manifests = new LocalManifests(backend, name);
    this.blobs = new LocalBlobs(backend, name);
    this.tags = new LocalTags(backend, name);
    this.referrers = new LocalReferrers(backend, name);
    this.signatures = new LocalSignatures(backend, name);
    this.pins = new LocalPins(backend, name);
  }

  exists(): Promise<boolean> {
    return this.#backend.metadata.repositories.exists(this.name);
  }
}
