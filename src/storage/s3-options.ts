/** Where a bucket is, and how objects are written to it. */

/** Of every part but the last, at least (S3's own rule). */
export const MIN_PART_BYTES = 5 * 1024 * 1024;

export const DEFAULT_PART_BYTES = 10 * 1024 * 1024;

export interface S3Options {
  readonly bucket: string;
  readonly region: string;
  /** `https://host:port` of an S3-compatible service; Amazon's own for the region when absent. */
  readonly endpoint?: string | undefined;
  /** The path below which all objects lie, without slashes at its ends; empty for the whole bucket. */
  readonly prefix?: string | undefined;
  /** Whether the bucket is in the path (`host/bucket/key`) instead of the host name. */
  readonly pathStyle: boolean;
  /** Found as the AWS tools find them when absent: environment, profile, web identity, container, instance. */
  readonly credentials?: S3Credentials | undefined;
  /** Whether certificates are taken as they are. */
  readonly skipVerify?: boolean | undefined;
  /** Bytes of a part of a large upload: `DEFAULT_PART_BYTES` when absent. */
  readonly partBytes?: number | undefined;
  /** Headers of every object that is written: encryption, storage class, access list. */
  readonly objectHeaders?: Readonly<Record<string, string>> | undefined;
  /** When present, a client is sent to the bucket for the bytes of a blob. */
  readonly redirect?: { readonly endpoint?: string | undefined } | undefined;
  readonly userAgent?: string | undefined;
  /** Milliseconds for which a request that fails is repeated: a minute when absent. */
  readonly requestDeadlineMs?: number | undefined;
  /** Bytes of all uploads together that are in memory at a time. */
  readonly uploadMemoryBytes?: number | undefined;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly expiration?: Date | undefined;
}
