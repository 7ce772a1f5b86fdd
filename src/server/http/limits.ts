/** Limits of requests and replies, each with its reason. */
export const LIMITS = {
  /** Bytes of one request's body. Layers may have any size, bounded by the disk. */
  maxBodyBytes: Number.MAX_SAFE_INTEGER,
  /** Bytes of a request's headers. podman requests a thousand ranges in a header of 18 KiB; the runtime's default is 16 KiB. */
  maxHeaderBytes: 64 * 1024,
  /**
   * Bytes of a header of a reply that repeats what a client sent. Proxies refuse replies with long headers: nginx reads
   * 4 KiB of all of them together unless it is told otherwise.
   */
  maxHeaderValueBytes: 2048,
  /** Seconds of silence after which a connection is closed: longer than the keep-alive of common proxies (75 s). */
  idleSeconds: 120,
  /** Bytes of a body that is taken in one piece, and not as a stream. */
  maxWholeBytes: 64 * 1024,
  /** Bytes of a refused body that are read so that the client gets to see why … */
  maxDrainBytes: 64 * 1024 * 1024,
  /** … and milliseconds that are spent on it … */
  maxDrainMs: 30_000,
  /** … or without a byte. */
  maxDrainSilenceMs: 5_000,
  /** Ranges in one request: beyond that the whole blob costs less. */
  maxRanges: 4096,
  /** Tags on one push (`?tag=`): "A registry SHOULD support at least 10". */
  maxTagsPerPush: 100,
  /** Tags in one page of a list that was asked for with `n`. */
  maxTagsPage: 10_000,
  /** Repositories in one page of the catalog, and when none is asked for. */
  maxCatalogPage: 1000,
  defaultCatalogPage: 100,
  /** Characters of all artifact types by which one request filters referrers. */
  maxFilterCharacters: 1024,
  /** Bytes of one page of referrers: clients read 4 MiB and no further page. */
  maxReferrersBytes: 4 * 1024 * 1024 - 1024,
  /** Bytes of one signature as it is sent, in JSON and base64. A signature of OpenPGP has about one KiB. */
  maxSignatureBytes: 256 * 1024,
  /** Milliseconds between two checks of certificate files. */
  certificateMs: 2000,
  /** Bytes of a form by which a token is asked for; tokens of CI systems have some KiB. */
  maxFormBytes: 64 * 1024,
  /** Bytes of a stream that is read before it is sent: parts of a blob, as many as clients usually request at once. */
  maxGatheredBytes: 4 * 1024 * 1024,
  /** Bytes of a response up to which it is sent at once and not counted: HTTP/2 has 128 of them on a connection at most. */
  smallResponseBytes: 16 * 1024,
  /** Responses that are larger: what of them waits in memory, and how long a client may take nothing. */
  sends: {
    connectionBytes: 8 * 1024 * 1024,
    addressBytes: 64 * 1024 * 1024,
    waitMs: 20_000,
    /** As nginx's `send_timeout`, which is 60 s. */
    stallSeconds: 30,
  },
  /** Milliseconds that running requests get to finish after SIGTERM. */
  stopMs: 25_000,
} as const;
