/**
 * The metadata port: what the registry knows, as operations of its own trade. Each is atomic: it happens whole or not
 * at all, and what it changed is durable when it resolves, or after `flush` where it says so. Bytes lie in `storage/`;
 * here is only where.
 */
import type { Algorithm, Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import type { Tag } from "../oci/tag.ts";
import type { Holders } from "./holders.ts";
import type { Revision, RevisionScope } from "./revisions.ts";

/** A page of a list in byte order: what comes after `after`, which need not exist, at most `limit` items. */
export interface Page {
  readonly after?: string;
  readonly limit: number;
}

/** A page that may also begin with a certain item, `from`, if that is there, instead of behind one. */
export interface PageFrom extends Page {
  readonly from?: string;
}

/** An upload as its row has it. */
export interface UploadRecord {
  readonly id: string;
  /** Where its bytes lie when they are not `staged`. */
  readonly partKey: string;
  /** What a writer was about to make of them when he was last heard of. */
  readonly finalKey: string | undefined;
  /** The bytes while they are few: they lie in the row. */
  readonly staged: Uint8Array | undefined;
  readonly algorithm: Algorithm;
  /** Bytes that count. */
  readonly received: number;
  /** SHA-256 of those bytes, when some process had hashed all of them. */
  readonly digestSoFar: Digest | undefined;
  /** Goes up with every change: a writer that holds an old one has lost the upload. */
  readonly version: number;
  /** The holder that writes to it, which may have ended meanwhile; undefined when none does. */
  readonly claimedBy: string | undefined;
  readonly startedAt: number;
  /** Goes up whenever a client is told where the upload stands. */
  readonly told: number;
}

/** Where the bytes of a blob are: in a store, or in the row. */
export type Whereabouts =
  | { readonly kind: "stored"; readonly storageKey: string; readonly mtimeMs: number }
  | { readonly kind: "inline"; readonly payload: Uint8Array };

export interface BlobFacts {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly at: Whereabouts;
  readonly createdAt: number;
  /** When somebody was last promised that it is here, by the repository's link and by the blob: the older of both. */
  readonly touchedAt: number;
  /** Whether a manifest of the repository needs it: then it stays, promised or not. */
  readonly needed: boolean;
}

export interface ManifestFacts {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

export interface StoredManifest extends ManifestFacts {
  readonly payload: Uint8Array;
}

/** What the referrers list shows of a manifest. */
export interface ReferrerFacts extends ManifestFacts {
  readonly artifactType: string | undefined;
  /** A JSON object's text. */
  readonly annotations: string | undefined;
}

/** A reference inside a manifest. Its digest may be of an algorithm that we do not compute. */
export interface Needed {
  readonly digest: string;
  /** What the manifest says it has; undefined when it says nothing. */
  readonly size: number | undefined;
  /** Whether the manifest may be stored when this is not here. */
  readonly optional: boolean;
  /** Where in the manifest it is named, for messages. */
  readonly path: string;
}

/** Content that has another size than a manifest says. */
export interface WrongSize {
  readonly path: string;
  readonly said: number;
  readonly actual: number;
}

export interface NewManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly subject: string | undefined;
  readonly configDigest: string | undefined;
  readonly annotations: string | undefined;
  readonly payload: Uint8Array;
  readonly blobs: readonly Needed[];
  readonly children: readonly Needed[];
  /** Whether content of another size than the manifest says keeps it out; false when absent. */
  readonly exactSizes?: boolean;
  readonly tags: readonly Tag[];
  /** Checked against the one tag, when there is one. */
  readonly condition: TagCondition | undefined;
  /** Those of `tags` that stay where they are, once they are there. */
  readonly fixedTags?: readonly Tag[];
}

export type PutManifestResult =
  /** … what it names and is not here, and what is here in another size than it says. */
  | { readonly kind: "stored"; readonly missing: readonly string[]; readonly wrongSizes: readonly WrongSize[] }
  /** Needed content that this repository does not have. */
  | { readonly kind: "missing"; readonly digests: readonly string[] }
  /** The manifest says another size than the content has, where sizes have to be exact. */
  | ({ readonly kind: "size" } & WrongSize)
  | { readonly kind: "condition" }
  /** A tag that stays points at another manifest. */
  | { readonly kind: "fixed"; readonly tag: Tag };

/** What keeps something from being deleted. */
export type Hold =
  /** A tag that stays: it points at what needs this, or at an index that leads there. */
  | { readonly fixed: Tag }
  /** Too many manifests need it to find out whether there is such a tag. */
  | "unclear";

export type DeleteResult = "done" | "absent" | Hold;

/** What came of a change to a tag; "immutable" when the tag must stay where it is. */
export type ChangeResult = "done" | "absent" | "condition" | "immutable";

/** What must hold of a tag, in the transaction that changes it. */
export interface TagRules {
  readonly condition?: TagCondition | undefined;
  /** Whether the tag must stay where it is, once it exists. */
  readonly immutable?: boolean;
}

export interface TagFacts {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
}

export interface TagEvent {
  readonly digest: Digest;
  readonly since: number;
  /** Undefined while the tag still points there. */
  readonly until: number | undefined;
}

export interface NewUpload {
  readonly id: string;
  readonly partKey: string;
  readonly algorithm: Algorithm;
  readonly expiresAt: number;
  /** How many bytes will come, when that is known. */
  readonly announced?: number | undefined;
  /** The client that begins it, of which no more than `atMost` uploads may be unfinished; not counted when absent. */
  readonly begunBy?: { readonly client: string; readonly atMost: number } | undefined;
}

export interface UploadClaim {
  readonly id: string;
  /** The version that the claimer has seen. */
  readonly version: number;
  readonly holder: string;
  /** A holder that is known to have ended: what it held is free, whatever its lease says. */
  readonly ended?: string | undefined;
  /** Renews the lease of `holder` in the same transaction, until this time. */
  readonly leaseUntil?: number | undefined;
  readonly expiresAt: number;
  /** What the part file is about to become, when it is about to: known before the rename, so that no file is orphaned. */
  readonly finalKey?: string;
}

export interface UploadProgress {
  readonly id: string;
  /** The version that the writer holds. */
  readonly version: number;
  readonly received: number;
  readonly digestSoFar: Digest | undefined;
  readonly staged: Uint8Array | undefined;
  readonly expiresAt: number;
  /** Refused unless the record has this still; not compared when absent. */
  readonly told?: number | undefined;
}

export interface FinishedUpload {
  readonly id: string;
  readonly version: number;
  readonly digest: Digest;
  readonly size: number;
  readonly at: Whereabouts;
}

/** When collection may take something, in milliseconds. */
export interface CollectionRules {
  /** What a client was told is here is kept for so long after that. */
  readonly leaseMs: number;
  /** What lost its last reference is kept for so long after that. */
  readonly graceMs: number;
  /** A manifest whose tag moved away, and a referrer whose subject went, is kept for so long after that. */
  readonly undoMs: number;
  /** A manifest that was pushed is kept for so long, tagged or not. */
  readonly freshMs: number;
  /** Whether manifests go that no tag leads to. */
  readonly untagged: boolean;
}

const HOUR_MS = 3_600_000;

export const DEFAULT_RULES: CollectionRules = {
  leaseMs: HOUR_MS,
  graceMs: HOUR_MS,
  undoMs: 168 * HOUR_MS,
  freshMs: 168 * HOUR_MS,
  untagged: false,
};

/** A place in the queue of what may have lost its last reference. */
export interface QueuePosition {
  readonly kind: "manifest" | "link" | "blob";
  readonly repo: number;
  readonly digest: string;
}

/** What a step of collection did. */
export interface CollectionStep {
  /** Entries of the queue that were looked at. */
  readonly reviewed: number;
  /** Manifests that went. */
  readonly manifests: number;
  /** Blobs that a repository does not show any more. */
  readonly links: number;
  /** Blobs whose bytes are on their way out, and how many bytes those are. */
  readonly blobs: number;
  readonly bytes: number;
  /** Where the next step goes on; undefined when the queue is through. */
  readonly next: QueuePosition | undefined;
}

/** What an operator changed by a command. */
export interface Operation {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The user of the system that ran the command, such as `system:root`. */
  readonly who: string;
  /** Such as `tag delete team/app:v1`. */
  readonly command: string;
}

/** How much there is, and what was last done. */
export interface Overview {
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Of all blobs and manifests, each counted once for a blob and once in each repository for a manifest. */
  readonly bytes: number;
  /** Uploads that have begun and not ended. */
  readonly uploads: number;
  /** When each kind of work was last done to its end, in milliseconds since 1970. */
  readonly lastRuns: Readonly<Partial<Record<RunName, number>>>;
}

/** Kinds of work on the whole registry. */
export type RunName = "backup" | "scrub" | "gc" | "check";

/** How much lies below the prefix of a quota; bytes of what two repositories show count twice. */
export interface QuotaUsage {
  readonly bytes: number;
  readonly tags: number;
  readonly repositories: number;
}

/** How much is in one repository. */
export interface RepositoryUsage {
  readonly name: RepositoryName;
  readonly tags: number;
  readonly manifests: number;
  /** Of its manifests and of the blobs that it shows; what two repositories show counts in both. */
  readonly bytes: number;
  /** When a manifest was last pushed. */
  readonly lastPush: number;
}

/** What waits for garbage collection. Times are in milliseconds since 1970, undefined when nothing waits. */
export interface Backlog {
  /** Manifests, links and blobs that may be unreferenced, and when the next of them is looked at. */
  readonly entries: number;
  readonly nextReviewAt: number | undefined;
  /** Files in the trash, and when the next of them may be unlinked. */
  readonly files: number;
  readonly nextUnlinkAt: number | undefined;
  /** Whether no file is unlinked because a backup is being made. */
  readonly isHeldByBackup: boolean;
}

/** Something that collection would take now. */
export interface Collectable {
  readonly kind: "manifest" | "link" | "blob";
  /** Undefined for the bytes of a blob, which belong to no repository. */
  readonly repository: RepositoryName | undefined;
  readonly digest: Digest;
  /** Bytes. Those of a link are freed with the blob alone. */
  readonly size: number;
}

/** A blob as its row has it, whatever repositories show it. */
export interface RecordedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly at: Whereabouts;
  readonly damaged: boolean;
}

export interface NeedingManifest {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly tags: readonly Tag[];
}

/** A manifest that is kept on purpose, and why. */
export interface Pin {
  readonly digest: Digest;
  readonly why: string;
}

/** A user that is kept here. */
export interface UserFacts {
  readonly name: string;
  readonly passwordHash: string;
  readonly groups: readonly string[];
  /** Another one after each change. */
  readonly generation: string;
  readonly createdAt: number;
  readonly changedAt: number;
}

export type NewUser = Omit<UserFacts, "createdAt" | "changedAt">;

/** What is absent stays; the generation never does. */
export type UserChange = Pick<UserFacts, "generation"> & Partial<Pick<UserFacts, "passwordHash" | "groups">>;

/** What a robot logs in with; it never changes. */
export interface RobotTokenFacts {
  readonly id: string;
  readonly robot: string;
  readonly secretHash: Uint8Array;
  /** What may be done with it. */
  readonly grants: readonly { readonly repositories: string; readonly actions: readonly string[] }[];
  readonly createdAt: number;
  /** Undefined for never. */
  readonly expiresAt: number | undefined;
}

/** A key that tokens are signed with. */
export interface StoredSigningKey {
  readonly id: string;
  /** As JWK in JSON, the private part included. */
  readonly jwk: string;
  readonly createdAt: number;
}

export interface MetadataStore {
  /** Whether something is in the repository: a manifest, a blob or an upload. */
  repositoryExists(name: RepositoryName): Promise<boolean>;
  /** Repositories with at least one manifest. */
  repositories(page: PageFrom): Promise<readonly RepositoryName[]>;

  /**
   * Records the intent to upload; the repository begins with it when it is new. Durable with the next write that is. Refused
   * with `DENIED` by a quota, and with `TOOMANYREQUESTS` when the client has too many.
   */
  createUpload(name: RepositoryName, upload: NewUpload): Promise<void>;
  findUpload(name: RepositoryName, id: string): Promise<UploadRecord | undefined>;
  /**
   * The bytes that count, for a client that will go on from there: `saveUpload` with an older `told` is refused from then
   * on. Undefined when there is no such upload. Durable after `flush`.
   */
  tellUpload(name: RepositoryName, id: string): Promise<number | undefined>;
  /** The processes that share the database, as the system knows them. */
  readonly holders: Holders;
  /** Makes the lease of a holder last until `until`. Durable after `flush`. */
  renewHolder(id: string, until: number): Promise<void>;
  /** Those of `uploads` that the holder has lost: they were taken over, or have ended. */
  lostUploads(
    holder: string,
    uploads: readonly { readonly id: string; readonly version: number }[],
  ): Promise<readonly string[]>;

  /** Refused with `DENIED` when the upload cannot have `bytes` in all, because of a quota. */
  checkUpload(id: string, bytes: number): Promise<void>;
  /**
   * Lets the upload, of which the writer holds `version`, count in quotas for at least `least` and at most `most` bytes in all,
   * until it is recorded, claimed or released; returns for how many. Infinite when no quota bounds it. Refused with `DENIED`
   * when `least` bytes do not fit. Undefined when the writer had lost the upload. Durable after `flush`.
   */
  reserveUpload(id: string, version: number, least: number, most: number): Promise<number | undefined>;

  /** The new version; undefined when another holder that runs has the upload, or it was changed since `version`. */
  claimUpload(claim: UploadClaim): Promise<number | undefined>;
  /** Gives a claim up and leaves the upload as it is, its version too. False when the holder had lost it. Durable after `flush`. */
  releaseUpload(id: string, holder: string): Promise<boolean>;
  /** Records the key that the part file is about to get; the file of another one becomes trash. False when the claim was lost. */
  nameFinalKey(id: string, version: number, finalKey: string): Promise<boolean>;
  /**
   * Records the key of a part file that a writer makes to take over from another, as trash from `until` on: should he die
   * before the upload moves to it, it is removed then.
   */
  reservePart(partKey: string, until: number): Promise<void>;
  /** Lets the holder of a claim write to another part file; the old one goes to the trash. False when he lost the claim. */
  moveUpload(id: string, version: number, partKey: string): Promise<boolean>;
  /**
   * Records what has arrived and gives the claim up. Refused with `DENIED` when it does not fit into a quota. The new version; undefined when the writer had lost the claim, or a
   * client was told where the upload stands since `told`.
   */
  saveUpload(progress: UploadProgress): Promise<number | undefined>;
  /**
   * Turns the upload into a blob of its repository. Refused with `DENIED` when that does not fit into a quota. False when the upload is gone (its own bytes are then the caller's to
   * remove). Bytes of the same digest that were here already go to the trash.
   */
  finishUpload(finished: FinishedUpload): Promise<boolean>;
  /**
   * Ends an upload; its bytes go to the trash. False when there is no such upload, or it is of another version than
   * `version`, where that is given.
   */
  cancelUpload(name: RepositoryName, id: string, version?: number): Promise<boolean>;
  /** Ends uploads whose time is over; gives how many. Durable after `flush`. */
  expireUploads(limit: number): Promise<number>;

  /** Undefined when this repository does not show such a blob, or it is damaged. */
  findBlob(name: RepositoryName, digest: Digest): Promise<BlobFacts | undefined>;
  /** Where the bytes of a digest are, whatever repository shows them. */
  findBytes(digest: Digest): Promise<Whereabouts | undefined>;
  /**
   * Promises a client anew that the blob stays for a while, unless a manifest needs it anyhow. False when the repository
   * does not show it any more.
   */
  touchBlob(name: RepositoryName, digest: Digest): Promise<boolean>;
  /** Lets `name` show a blob that `from` shows. False when `from` does not. */
  mountBlob(name: RepositoryName, from: RepositoryName, digest: Digest): Promise<boolean>;
  /** Repositories that show the blob, the oldest first. */
  repositoriesWithBlob(digest: Digest, limit: number): Promise<readonly RepositoryName[]>;
  /** The repository no longer shows the blob, unless a tag that stays needs it. */
  unlinkBlob(name: RepositoryName, digest: Digest, isFixed?: (tag: Tag) => boolean): Promise<DeleteResult>;
  /**
   * The bytes under this key, or these bytes that lay in the row, are not what they should be: the blob is missing until it is
   * pushed again. Changes nothing when it has other bytes by now.
   */
  markDamaged(digest: Digest, bytes: string | Uint8Array): Promise<void>;
  /** The bytes were hashed again and are good, as of this time of their file: also when they were marked as damaged. */
  confirmBlob(digest: Digest, storageKey: string, mtimeMs: number): Promise<void>;

  findManifest(name: RepositoryName, digest: Digest): Promise<ManifestFacts | undefined>;
  findManifestByTag(name: RepositoryName, tag: Tag): Promise<ManifestFacts | undefined>;
  readManifest(name: RepositoryName, digest: Digest): Promise<StoredManifest | undefined>;
  readManifestByTag(name: RepositoryName, tag: Tag): Promise<StoredManifest | undefined>;
  /**
   * Promises a client anew that the manifest stays for a while, when it was promised before `staleBefore` and no tag
   * holds it anyhow.
   */
  touchManifest(name: RepositoryName, digest: Digest, staleBefore: number): Promise<void>;
  putManifest(name: RepositoryName, manifest: NewManifest): Promise<PutManifestResult>;
  /** Removes the manifest and every tag that points at it, unless a tag that stays needs it. */
  deleteManifest(name: RepositoryName, digest: Digest, isFixed?: (tag: Tag) => boolean): Promise<DeleteResult>;
  manifests(name: RepositoryName, page: Page): Promise<readonly ManifestFacts[]>;

  /** Points the tag at a manifest of the repository; "absent" when that is not here. */
  putTag(name: RepositoryName, tag: Tag, digest: Digest, rules?: TagRules): Promise<ChangeResult>;
  deleteTag(name: RepositoryName, tag: Tag, rules?: TagRules): Promise<ChangeResult>;
  tags(name: RepositoryName, page: Page): Promise<readonly TagFacts[]>;
  /** What the tag has pointed at, newest first. */
  tagHistory(name: RepositoryName, tag: Tag, limit: number): Promise<readonly TagEvent[]>;

  /**
   * Manifests whose subject is `subject`, of any of `artifactTypes` (undefined for all), in order of their digests. At
   * least one when there is one; more while their descriptors together take at most `maxBytes`.
   */
  referrers(
    name: RepositoryName,
    subject: Digest,
    filter: { readonly after?: string; readonly artifactTypes?: readonly string[]; readonly maxBytes: number },
  ): Promise<{ readonly referrers: readonly ReferrerFacts[]; readonly more: boolean }>;

  signatures(name: RepositoryName, manifest: Digest): Promise<readonly Signature[]>;
  /**
   * "absent" when there is no such manifest, "full" when its signatures would have more than `maxBytes` together. Of names
   * that are taken `taken` says whether they are an error ("exists") or skipped.
   */
  putSignatures(
    name: RepositoryName,
    manifest: Digest,
    signatures: readonly Signature[],
    limits: { readonly maxBytes: number; readonly taken: "refuse" | "skip" },
  ): Promise<"done" | "absent" | "exists" | "full">;

  /** False when there is no such manifest. One that is pinned already gets the new reason. */
  pinManifest(name: RepositoryName, digest: Digest, why: string): Promise<boolean>;
  /** False when it was not pinned. */
  unpinManifest(name: RepositoryName, digest: Digest): Promise<boolean>;
  /** What is pinned, in order of the digests. */
  pins(name: RepositoryName, page: Page): Promise<readonly Pin[]>;

  /**
   * Looks at some entries of the queue and removes what nothing holds any more: with `due` those whose time has come,
   * else any, from `from` on. Durable after `flush`.
   */
  collect(
    rules: CollectionRules,
    from: QueuePosition | undefined,
    options: { readonly due: boolean; readonly limit: number; readonly now?: number },
  ): Promise<CollectionStep>;
  /** What `collect` over the whole queue would take now, for a person to look at; a thing may come twice. Changes nothing. */
  collectable(
    rules: CollectionRules,
    from: QueuePosition | undefined,
    limit: number,
  ): Promise<{
    readonly found: readonly Collectable[];
    readonly next: QueuePosition | undefined;
  }>;
  /** The manifests among those that no tag points at which collection would take now, queued or not; a page of them. */
  collectableUntagged(
    rules: CollectionRules,
    after: QueuePosition | undefined,
    limit: number,
  ): Promise<{
    readonly found: readonly Collectable[];
    readonly next: QueuePosition | undefined;
  }>;
  /** Puts manifests that no tag points at into the queue, a page of them; gives where the next page begins. */
  queueUntagged(after: QueuePosition | undefined, limit: number): Promise<QueuePosition | undefined>;
  /** What waits for garbage collection, due or not. */
  backlog(): Promise<Backlog>;

  /** Takes a piece of work for this holder until `until`. False when another holder has it. */
  takeLease(name: string, holder: string, until: number): Promise<boolean>;
  /** Makes a lease last until `until`. False when the holder does not have it, or when it has ended meanwhile. */
  renewLease(name: string, holder: string, until: number): Promise<boolean>;
  releaseLease(name: string, holder: string): Promise<void>;
  /** Whether anybody holds it now. */
  leaseHeld(name: string): Promise<boolean>;

  findUser(name: string): Promise<UserFacts | undefined>;
  /** Users in byte order of their names. */
  users(page: Page): Promise<readonly UserFacts[]>;
  /** False when there is a user of this name. */
  addUser(user: NewUser): Promise<boolean>;
  /** False when there is no such user. */
  changeUser(name: string, change: UserChange): Promise<boolean>;
  /** False when there is no such user. */
  removeUser(name: string): Promise<boolean>;

  /** Expired ones too. */
  findRobotToken(id: string): Promise<RobotTokenFacts | undefined>;
  /** Tokens of all robots in order of their ids, expired ones too. */
  robotTokens(page: Page): Promise<readonly RobotTokenFacts[]>;
  addRobotToken(token: Omit<RobotTokenFacts, "createdAt">): Promise<void>;
  /** False when there is no such token. */
  removeRobotToken(id: string): Promise<boolean>;
  /** Removes all tokens of a robot, and gives how many it had. */
  removeRobot(robot: string): Promise<number>;

  /** Newest first. */
  signingKeys(): Promise<readonly StoredSigningKey[]>;
  /** Adds a key unless one was made after `unlessAfter`, and forgets those that were made until `forgetUntil`. */
  addSigningKey(
    key: StoredSigningKey,
    times: { readonly unlessAfter: number; readonly forgetUntil: number },
  ): Promise<void>;

  /** Random bytes that all processes on this database share, and that stay: made when they are first asked for. */
  secret(name: string): Promise<Uint8Array>;

  /** Every blob there is, in order of the digests, damaged ones too. */
  allBlobs(page: Page): Promise<readonly RecordedBlob[]>;
  /** Those of `keys` that a blob, an upload or the trash names. */
  knownKeys(keys: readonly string[]): Promise<ReadonlySet<string>>;
  /** Manifests that need the blob, and the tags that point at them. */
  manifestsNeeding(digest: Digest, limit: number): Promise<readonly NeedingManifest[]>;

  /** Keys whose bytes may be removed now, or within `aheadMs` from now; none while a backup holds its lease. */
  dueTrash(limit: number, aheadMs?: number): Promise<readonly string[]>;
  /** Forgets keys whose bytes are gone. Durable after `flush`. */
  forgetTrash(keys: readonly string[]): Promise<void>;

  /** How much there is, and what was last done. It walks through all tables. */
  overview(): Promise<Overview>;
  /** How much is in each repository that has a manifest, in byte order of their names. It walks through their manifests. */
  repositoryUsage(page: Page): Promise<readonly RepositoryUsage[]>;
  /** Records that a kind of work on the whole registry was done to its end. */
  recordRun(job: RunName): Promise<void>;

  /** Records what an operator changed by a command: it waits for a server that writes it to the audit. */
  recordOperation(who: string, command: string): Promise<void>;
  /** The oldest operations that no server has written to the audit yet. */
  waitingOperations(limit: number): Promise<readonly Operation[]>;
  /** Forgets the operations up to `id`. */
  forgetOperations(id: number): Promise<void>;

  /** Removes every repository and all that was pushed; its bytes are trash that is due. Accounts, tokens and keys stay. */
  clear(): Promise<void>;

  /**
   * Counts what lies below the prefixes of quotas, in small steps, and forgets what was counted for quotas that are no more.
   * Resolves once all is counted; a write that a quota bounds waits for that.
   */
  keepQuotas(): Promise<void>;
  /** How much lies below the prefix of a quota; undefined while that is not counted. */
  quotaUsage(prefix: string): Promise<QuotaUsage | undefined>;

  /** Everything that was changed before is durable when it resolves. */
  flush(): Promise<void>;

  /**
   * Returns the revision of a scope: what was read of the scope after that still holds as long as it is the same. Cheap enough
   * to ask for each request: nothing is read as long as nothing at all is committed.
   */
  revision(scope: RevisionScope): Revision | Promise<Revision>;
  /** Returns another number when anything may have been committed, by whatever process, since it returned the last one. */
  lastCommit(): number;

  /** Rejects when the database cannot answer. */
  checkReady(): Promise<void>;
  close(): Promise<void>;
}
