/** What the services of a registry work with. The caller that makes the registry chooses the drivers. */
import type { Clock } from "../lib/clock.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import type { Platform } from "../oci/descriptor.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { DEFAULT_RULES } from "../metadata/database.ts";
import type { Cause } from "../metadata/changes.ts";
import type { RetentionRules } from "../metadata/database.ts";
import type { Metadata } from "../metadata/metadata.ts";
import type { BlobStore, StorageKey } from "../storage/blob-store.ts";
import type { ManifestClass } from "../oci/manifest-class.ts";
import { HashStateCache } from "./hash-state-cache.ts";
import type { UrlRule } from "./manifest-urls.ts";
import { UploadClaims } from "./upload-claims.ts";
import type { UploadTimes } from "./upload-claims.ts";

export interface RegistryLimits extends UploadTimes {
  /** How many unfinished uploads one client may have: a user, a robot, or an address; 0 for any number. */
  readonly openUploads: number;
  /** Bytes up to which a blob lies in the database instead of a file; 0 keeps every blob a file. */
  readonly inlineBytes: number;
  /** How many layers, blobs or manifests a manifest may list. */
  readonly descriptors: number;
  /** Whether manifests may name blobs and manifests that are not here. */
  readonly sparse: boolean;
  /** Whether manifests that deviate from the spec are refused, also where tools write them so. */
  readonly strict: boolean;
  /** Which addresses (`urls`) manifests may name; any when absent. */
  readonly allowsUrl?: UrlRule;
  /** Whether an index may name a manifest for this platform that is not here; none may when absent. */
  readonly mayBeMissing?: (platform: Platform | undefined) => boolean;
  /** Kinds of images that are taken: `image`, `plugin`; any manifest when absent. */
  readonly classes?: readonly ManifestClass[];
  /** Whether signed manifests of Docker's schema 1 are taken. */
  readonly schema1: boolean;
  /**
   * Patterns, such as `v*`, of the tags of a repository that stay where they are, once they are there: no client moves or
   * removes them, nor anything that their images need.
   */
  readonly immutableTagsOf: (repository: RepositoryName) => readonly string[];
}

export const DEFAULT_LIMITS: RegistryLimits = {
  inlineBytes: 16 * 1024,
  descriptors: 10_000,
  sparse: false,
  strict: false,
  schema1: false,
  immutableTagsOf: () => [],
  openUploads: 10_000,
  uploadExpiryMs: 168 * 3_600_000,
  leaseMs: 10_000,
  silenceMs: 5_000,
};

export interface Backend {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly limits: RegistryLimits;
  /** What collection keeps, and how long a client may count on what it was told. */
  readonly rules: RetentionRules;
  /** Which uploads this process writes to. */
  readonly claims: UploadClaims;
  readonly hashStates: HashStateCache;
  /** Files being hashed because their time changed: requests for the same blob share one reading of it. */
  readonly verifications: SingleFlight<StorageKey, boolean>;
  /** Who makes the changes that come through here, for events and audit; undefined where that is not known. */
  readonly cause?: Cause | undefined;
}

/** What a registry is made of: drivers, and what may differ from the defaults. */
export interface BackendParts extends Pick<Backend, "store" | "metadata" | "clock"> {
  readonly limits?: Partial<RegistryLimits> | undefined;
  readonly rules?: RetentionRules;
  readonly cause?: Cause | undefined;
}

/** A backend that has nothing in memory yet, as a process has it that just began. */
export function createBackend(parts: BackendParts): Backend {
  const { store, metadata, clock, rules = DEFAULT_RULES, cause } = parts;
  const limits = { ...DEFAULT_LIMITS, ...parts.limits };
  return {
    store,
    metadata,
    clock,
    limits,
    rules,
    claims: new UploadClaims({ metadata, clock, limits }),
    hashStates: new HashStateCache(),
    verifications: new SingleFlight(),
    cause,
  };
}
