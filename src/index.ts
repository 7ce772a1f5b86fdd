/** Stowage as a library: a registry inside another program. */
export { createRegistry } from "./create-registry.ts";
export type { Registry, RegistryOptions } from "./create-registry.ts";
export type { AccessOptions } from "./open-access.ts";
export type { ListenOptions, RegistryListener } from "./server/listen/embedded-listener.ts";
export { pushImage } from "./registry/push-image.ts";
export type { ImageLayer, ImageOptions } from "./registry/push-image.ts";
export type { Action, Authenticator, Grant, Identity } from "./auth/identity.ts";
export type { Decision, Rule } from "./auth/policy.ts";
export type { CheckOptions, Finding } from "./registry/check.ts";
export type { HeldLease, Lease } from "./registry/gc/lease.ts";
export type { BackgroundOptions } from "./registry/gc/background.ts";
export type { CollectionHooks, CollectionReport } from "./registry/gc/collector.ts";
export type { ScrubOptions } from "./registry/gc/scrub.ts";
export type { RecordedBlob } from "./metadata/blobs.ts";
export type { Backlog, Collectable } from "./metadata/collection.ts";
export type { CollectionRules, RetentionRules } from "./metadata/database.ts";
export type { Overview, RunName } from "./metadata/overview.ts";
export type { QuotaUsage } from "./metadata/quota-counting.ts";
export type { RepositoryUsage } from "./metadata/repositories.ts";
export type { RegistryLimits } from "./registry/backend.ts";
export type { Namespace } from "./registry/namespace.ts";
export type { Repository } from "./registry/repository.ts";
export type { Blob, BlobService, BlobValidity } from "./registry/blobs.ts";
export type { BlobUpload, ChunkPlace, UploadOptions } from "./registry/uploads.ts";
export type {
  Manifest,
  ManifestDescriptor,
  ManifestService,
  PutManifest,
  PutManifestOptions,
} from "./registry/manifests.ts";
export type { TagService } from "./registry/tags.ts";
export type { PinService } from "./registry/pins.ts";
export type { Pin } from "./metadata/pins.ts";
export type { TagEvent, TagRecord } from "./metadata/tags.ts";
export type { ReferrersFilter, ReferrersPage, ReferrersService } from "./registry/referrers.ts";
export type { SignatureService } from "./registry/signatures.ts";
export type { PageStart } from "./registry/pages.ts";
export type { RepositoryFilter } from "./registry/repository-list.ts";
export { GlobalScope } from "./registry/scope.ts";
export type { Scope } from "./registry/scope.ts";
export type { ByteLocation, FileLocation, Fingerprint } from "./lib/byte-location.ts";
export type { ByteRange } from "./lib/byte-range.ts";
export type { Clock } from "./lib/clock.ts";
export type { ChangeEvent, ChangeListener } from "./server/change-event.ts";
export type { Handler } from "./server/http/handler.ts";
export type { ConfiguredHeaders } from "./server/http/common-headers.ts";
export type { OriginOptions } from "./server/http/origin.ts";
export type { ReadLimitOptions } from "./server/access/read-limits.ts";
export type { Quota } from "./metadata/database.ts";
export type { Logger } from "./observe/logger.ts";
export { digest, digestOf, parseDigest } from "./oci/digest.ts";
export type { Algorithm, Digest } from "./oci/digest.ts";
export type { Deviation } from "./oci/deviation.ts";
export type { Annotations, Descriptor, LocalDescriptor, Platform } from "./oci/descriptor.ts";
export { parseRepositoryName, repositoryName } from "./oci/repository-name.ts";
export type { RepositoryName } from "./oci/repository-name.ts";
export { parseTag, tag } from "./oci/tag.ts";
export type { TagCondition } from "./oci/tag-condition.ts";
export type { Signature } from "./oci/signature.ts";
export type { Tag } from "./oci/tag.ts";
export { OciError } from "./oci/error.ts";
export { BusyError } from "./lib/busy-error.ts";
export type { ErrorCode } from "./oci/error.ts";
