/** The metadata port on any SQL engine: each operation is one transaction of its noun's file. */
import { randomBytes } from "node:crypto";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import type { Tag } from "../oci/tag.ts";
import type { Clock } from "../lib/clock.ts";
import * as accounts from "./accounts.ts";
import * as blobs from "./blobs.ts";
import { clear } from "./clear.ts";
import * as collection from "./collection.ts";
import * as holderLeases from "./holder-leases.ts";
import type { Holders } from "./holders.ts";
import * as inventory from "./inventory.ts";
import * as leases from "./leases.ts";
import * as manifests from "./manifests.ts";
import * as port from "./metadata-store.ts";
import * as operations from "./operations.ts";
import * as overview from "./overview.ts";
import * as pins from "./pins.ts";
import {
  beingCounted,
  countedUsage,
  freeBytes,
  keepQuotas,
  quotasOf,
  requireFreeBytes,
  requireRoom,
  usageBelow,
} from "./quotas.ts";
import type { Addition, Quota } from "./quotas.ts";
import * as repositories from "./repositories.ts";
import { Revisions } from "./revisions.ts";
import type { Revision, RevisionScope } from "./revisions.ts";
import * as robotTokens from "./robot-tokens.ts";
import * as secrets from "./secrets.ts";
import * as signatures from "./signatures.ts";
import * as signingKeys from "./signing-keys.ts";
import type { Durability, SqlEngine, Transaction } from "./sql.ts";
import * as tags from "./tags.ts";
import * as trash from "./trash.ts";
import * as uploads from "./uploads.ts";

/** Milliseconds for which a write waits for a quota that is being counted. */
const COUNTING_LIMIT_MS = 5000;

/** How long things are kept for somebody who may still come for them. */
export type Periods = Pick<port.CollectionRules, "leaseMs" | "graceMs" | "undoMs">;

/** As long as a hash of SHA-256. */
const SECRET_BYTES = 32;

export class SqlMetadataStore implements port.MetadataStore {
  readonly #engine: SqlEngine;
  readonly #revisions: Revisions;
  readonly #clock: Clock;
  readonly #periods: Periods;
  readonly #quotas: readonly Quota[];
  #isClosed = false;

  constructor(engine: SqlEngine, clock: Clock, periods: Periods = port.DEFAULT_RULES, quotas: readonly Quota[] = []) {
    this.#engine = engine;
    this.#revisions = new Revisions(engine);
    this.#clock = clock;
    this.#periods = periods;
    this.#quotas = quotas;
  }

  repositoryExists(name: RepositoryName): Promise<boolean> {
    return this.#engine.read(() => repositories.repositoryExists(name));
  }

  repositories(page: port.PageFrom): Promise<readonly RepositoryName[]> {
    return this.#engine.read(() => repositories.listRepositories(page));
  }

  createUpload(name: RepositoryName, upload: port.NewUpload): Promise<void> {
    // After a power loss a part file without a row is nobody's, and is removed.
    const begun = (): Transaction<void> => uploads.createUpload(name, upload, this.#clock.now());
    const bytes = Math.max(upload.announced ?? 0, 1); // something will come
    return this.#writeWithin(name, { bytes }, begun, "soon");
  }

  findUpload(name: RepositoryName, id: string): Promise<port.UploadRecord | undefined> {
    return this.#engine.read(() => uploads.findUpload(name, id));
  }

  tellUpload(name: RepositoryName, id: string): Promise<number | undefined> {
    return this.#engine.write(() => uploads.tellUpload(name, id), "soon"); // what it fences ends with its process too
  }

  claimUpload(claim: port.UploadClaim): Promise<number | undefined> {
    return this.#engine.write(() => uploads.claimUpload(claim, this.#clock.now()));
  }

  get holders(): Holders {
    return this.#engine.holders;
  }

  renewHolder(id: string, until: number): Promise<void> {
    return this.#engine.write(() => holderLeases.renewHolder(id, until, this.#clock.now()), "soon");
  }

  lostUploads(
    holder: string,
    held: readonly { readonly id: string; readonly version: number }[],
  ): Promise<readonly string[]> {
    return this.#engine.read(() => holderLeases.lostUploads(holder, held));
  }

  releaseUpload(id: string, holder: string): Promise<boolean> {
    return this.#engine.write(() => uploads.releaseUpload(id, holder), "soon"); // a claim ends with its process anyhow
  }

  nameFinalKey(id: string, version: number, finalKey: string): Promise<boolean> {
    return this.#engine.write(() => uploads.nameFinalKey(id, version, finalKey, this.#clock.now()));
  }

  reservePart(partKey: string, until: number): Promise<void> {
    return this.#engine.write(() => trash.discard(partKey, until));
  }

  moveUpload(id: string, version: number, partKey: string): Promise<boolean> {
    return this.#engine.write(() => uploads.moveUpload(id, version, partKey, this.#clock.now()));
  }

  async checkUpload(id: string, bytes: number): Promise<void> {
    if (this.#quotas.length > 0) await this.#engine.read(() => requireUploadRoom(this.#quotas, id, bytes));
  }

  async reserveUpload(id: string, version: number, least: number, most: number): Promise<number | undefined> {
    if (this.#quotas.length === 0) return Infinity;
    return await this.#writeCounted(() => reserveUpload(this.#quotas, id, version, least, most), "soon");
  }

  saveUpload(progress: port.UploadProgress): Promise<number | undefined> {
    return this.#writeToUpload(
      progress.id,
      ({ counted }) => ({ bytes: progress.received - counted }),
      () => uploads.saveUpload(progress),
    );
  }

  finishUpload(finished: port.FinishedUpload): Promise<boolean> {
    return this.#writeToUpload(
      finished.id,
      ({ counted }) => ({ bytes: -counted, linked: { digest: finished.digest, size: finished.size } }),
      () => {
        const now = this.#clock.now();
        return uploads.finishUpload(finished, now, this.#leaseAfter(now));
      },
    );
  }

  cancelUpload(name: RepositoryName, id: string, version?: number): Promise<boolean> {
    return this.#engine.write(() => uploads.cancelUpload(name, id, version, this.#clock.now()));
  }

  expireUploads(limit: number): Promise<number> {
    return this.#engine.write(() => uploads.expireUploads(limit, this.#clock.now()), "soon");
  }

  findBlob(name: RepositoryName, digest: Digest): Promise<port.BlobFacts | undefined> {
    return this.#engine.read(() => blobs.findBlob(name, digest));
  }

  findBytes(digest: Digest): Promise<port.Whereabouts | undefined> {
    return this.#engine.read(() => blobs.findBytes(digest));
  }

  touchBlob(name: RepositoryName, digest: Digest): Promise<boolean> {
    return this.#engine.write(() => blobs.touchBlob(name, digest, this.#clock.now()));
  }

  mountBlob(name: RepositoryName, from: RepositoryName, digest: Digest): Promise<boolean> {
    return this.#writeWithin(name, { blob: digest }, () => {
      const now = this.#clock.now();
      return blobs.mountBlob(name, from, digest, now, this.#leaseAfter(now));
    });
  }

  repositoriesWithBlob(digest: Digest, limit: number): Promise<readonly RepositoryName[]> {
    return this.#engine.read(() => blobs.repositoriesWithBlob(digest, limit));
  }

  unlinkBlob(name: RepositoryName, digest: Digest, isFixed?: (tag: Tag) => boolean): Promise<port.DeleteResult> {
    return this.#engine.write(() => {
      const now = this.#clock.now();
      return blobs.unlinkBlob(name, digest, isFixed, now, now + this.#periods.graceMs);
    });
  }

  markDamaged(digest: Digest, bytes: string | Uint8Array): Promise<void> {
    return this.#engine.write(() => blobs.markDamaged(digest, bytes));
  }

  confirmBlob(digest: Digest, storageKey: string, mtimeMs: number): Promise<void> {
    return this.#engine.write(() => blobs.confirmBlob(digest, storageKey, mtimeMs));
  }

  findManifest(name: RepositoryName, digest: Digest): Promise<port.ManifestFacts | undefined> {
    return this.#engine.read(() => manifests.findManifest(name, digest));
  }

  findManifestByTag(name: RepositoryName, tag: Tag): Promise<port.ManifestFacts | undefined> {
    return this.#engine.read(() => manifests.findManifestByTag(name, tag));
  }

  readManifest(name: RepositoryName, digest: Digest): Promise<port.StoredManifest | undefined> {
    return this.#engine.read(() => manifests.readManifest(name, digest));
  }

  readManifestByTag(name: RepositoryName, tag: Tag): Promise<port.StoredManifest | undefined> {
    return this.#engine.read(() => manifests.readManifestByTag(name, tag));
  }

  async touchManifest(name: RepositoryName, digest: Digest, staleBefore: number): Promise<void> {
    if (!(await this.#engine.read(() => manifests.isStale(name, digest, staleBefore)))) return;
    await this.#engine.write(() => manifests.touchManifest(name, digest, this.#clock.now()));
  }

  putManifest(name: RepositoryName, manifest: port.NewManifest): Promise<port.PutManifestResult> {
    const { digest, payload, tags: given } = manifest;
    return this.#writeWithin(name, { manifest: { digest, size: payload.length }, tags: given }, () => {
      const now = this.#clock.now();
      return manifests.putManifest(name, manifest, now, now + this.#periods.undoMs);
    });
  }

  deleteManifest(name: RepositoryName, digest: Digest, isFixed?: (tag: Tag) => boolean): Promise<port.DeleteResult> {
    return this.#engine.write(() => {
      const now = this.#clock.now();
      return manifests.deleteManifest(name, digest, isFixed, now, now + this.#periods.graceMs);
    });
  }

  manifests(name: RepositoryName, page: port.Page): Promise<readonly port.ManifestFacts[]> {
    return this.#engine.read(() => manifests.listManifests(name, page));
  }

  putTag(name: RepositoryName, tag: Tag, digest: Digest, rules: port.TagRules = {}): Promise<port.ChangeResult> {
    return this.#writeWithin(name, { tags: [tag] }, () => {
      const now = this.#clock.now();
      return tags.putTag(name, tag, digest, rules, now, now + this.#periods.undoMs);
    });
  }

  deleteTag(name: RepositoryName, tag: Tag, rules: port.TagRules = {}): Promise<port.ChangeResult> {
    return this.#engine.write(() => {
      const now = this.#clock.now();
      return tags.deleteTag(name, tag, rules, now, now + this.#periods.undoMs);
    });
  }

  tags(name: RepositoryName, page: port.Page): Promise<readonly port.TagFacts[]> {
    return this.#engine.read(() => tags.listTags(name, page));
  }

  tagHistory(name: RepositoryName, tag: Tag, limit: number): Promise<readonly port.TagEvent[]> {
    return this.#engine.read(() => tags.tagHistory(name, tag, limit));
  }

  referrers(
    name: RepositoryName,
    subject: Digest,
    filter: { readonly after?: string; readonly artifactTypes?: readonly string[]; readonly maxBytes: number },
  ): Promise<{ readonly referrers: readonly port.ReferrerFacts[]; readonly more: boolean }> {
    return this.#engine.read(() => manifests.listReferrers(name, subject, filter));
  }

  signatures(name: RepositoryName, manifest: Digest): Promise<readonly Signature[]> {
    return this.#engine.read(() => signatures.listSignatures(name, manifest));
  }

  putSignatures(
    name: RepositoryName,
    manifest: Digest,
    given: readonly Signature[],
    limits: Parameters<port.MetadataStore["putSignatures"]>[3],
  ): Promise<"done" | "absent" | "exists" | "full"> {
    return this.#writeWithin(name, { signatures: { manifest, given } }, () =>
      signatures.putSignatures(name, manifest, given, limits),
    );
  }

  pinManifest(name: RepositoryName, digest: Digest, why: string): Promise<boolean> {
    return this.#engine.write(() => pins.pinManifest(name, digest, why));
  }

  unpinManifest(name: RepositoryName, digest: Digest): Promise<boolean> {
    return this.#engine.write(() => pins.unpinManifest(name, digest, this.#clock.now()));
  }

  pins(name: RepositoryName, page: port.Page): Promise<readonly port.Pin[]> {
    return this.#engine.read(() => pins.listPins(name, page));
  }

  collect(
    rules: port.CollectionRules,
    from: port.QueuePosition | undefined,
    options: { readonly due: boolean; readonly limit: number; readonly now?: number },
  ): Promise<port.CollectionStep> {
    return this.#engine.write(() => collection.collect(rules, from, options, options.now ?? this.#clock.now()), "soon");
  }

  collectable(
    rules: port.CollectionRules,
    from: port.QueuePosition | undefined,
    limit: number,
  ): Promise<{ readonly found: readonly port.Collectable[]; readonly next: port.QueuePosition | undefined }> {
    return this.#engine.read(() => collection.collectable(rules, from, limit, this.#clock.now()));
  }

  collectableUntagged(
    rules: port.CollectionRules,
    after: port.QueuePosition | undefined,
    limit: number,
  ): Promise<{ readonly found: readonly port.Collectable[]; readonly next: port.QueuePosition | undefined }> {
    return this.#engine.read(() => collection.collectableUntagged(rules, after, limit, this.#clock.now()));
  }

  queueUntagged(after: port.QueuePosition | undefined, limit: number): Promise<port.QueuePosition | undefined> {
    return this.#engine.write(() => collection.queueUntagged(after, limit, this.#clock.now()));
  }

  backlog(): Promise<port.Backlog> {
    return this.#engine.read(() => collection.backlog(this.#clock.now()));
  }

  takeLease(name: string, holder: string, until: number): Promise<boolean> {
    return this.#engine.write(() => leases.takeLease(name, holder, until, this.#clock.now()), "soon");
  }

  renewLease(name: string, holder: string, until: number): Promise<boolean> {
    return this.#engine.write(() => leases.renewLease(name, holder, until, this.#clock.now()), "soon");
  }

  releaseLease(name: string, holder: string): Promise<void> {
    return this.#engine.write(() => leases.releaseLease(name, holder), "soon");
  }

  leaseHeld(name: string): Promise<boolean> {
    return this.#engine.read(() => leases.leaseHeld(name, this.#clock.now()));
  }

  findUser(name: string): Promise<port.UserFacts | undefined> {
    return this.#engine.read(() => accounts.findUser(name));
  }

  users(page: port.Page): Promise<readonly port.UserFacts[]> {
    return this.#engine.read(() => accounts.listUsers(page));
  }

  addUser(user: port.NewUser): Promise<boolean> {
    return this.#engine.write(() => accounts.addUser(user, this.#clock.now()));
  }

  changeUser(name: string, change: port.UserChange): Promise<boolean> {
    return this.#engine.write(() => accounts.changeUser(name, change, this.#clock.now()));
  }

  removeUser(name: string): Promise<boolean> {
    return this.#engine.write(() => accounts.removeUser(name));
  }

  findRobotToken(id: string): Promise<port.RobotTokenFacts | undefined> {
    return this.#engine.read(() => robotTokens.findRobotToken(id));
  }

  robotTokens(page: port.Page): Promise<readonly port.RobotTokenFacts[]> {
    return this.#engine.read(() => robotTokens.listRobotTokens(page));
  }

  addRobotToken(token: Omit<port.RobotTokenFacts, "createdAt">): Promise<void> {
    return this.#engine.write(() => robotTokens.addRobotToken(token, this.#clock.now()));
  }

  removeRobotToken(id: string): Promise<boolean> {
    return this.#engine.write(() => robotTokens.removeRobotToken(id));
  }

  removeRobot(robot: string): Promise<number> {
    return this.#engine.write(() => robotTokens.removeRobot(robot));
  }

  signingKeys(): Promise<readonly port.StoredSigningKey[]> {
    return this.#engine.read(() => signingKeys.listSigningKeys());
  }

  addSigningKey(
    key: port.StoredSigningKey,
    times: { readonly unlessAfter: number; readonly forgetUntil: number },
  ): Promise<void> {
    return this.#engine.write(() => signingKeys.addSigningKey(key, times));
  }

  async secret(name: string): Promise<Uint8Array> {
    const found = await this.#engine.read(() => secrets.findSecret(name));
    if (found) return found;
    const fresh = randomBytes(SECRET_BYTES);
    return await this.#engine.write(() => secrets.provideSecret(name, fresh));
  }

  allBlobs(page: port.Page): Promise<readonly port.RecordedBlob[]> {
    return this.#engine.read(() => inventory.allBlobs(page));
  }

  knownKeys(keys: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#engine.read(() => inventory.knownKeys(keys));
  }

  manifestsNeeding(digest: Digest, limit: number): Promise<readonly port.NeedingManifest[]> {
    return this.#engine.read(() => inventory.manifestsNeeding(digest, limit));
  }

  dueTrash(limit: number, aheadMs = 0): Promise<readonly string[]> {
    return this.#engine.read(() => trash.dueTrash(this.#clock.now(), aheadMs, limit));
  }

  forgetTrash(keys: readonly string[]): Promise<void> {
    return this.#engine.write(() => trash.forgetTrash(keys), "soon"); // to forget it again does no harm
  }

  quotaUsage(prefix: string): Promise<port.QuotaUsage | undefined> {
    return this.#engine.read(() => countedUsage(prefix));
  }

  overview(): Promise<port.Overview> {
    return this.#engine.read(() => overview.overview());
  }

  repositoryUsage(page: port.Page): Promise<readonly port.RepositoryUsage[]> {
    return this.#engine.read(() => overview.repositoryUsage(page));
  }

  recordOperation(who: string, command: string): Promise<void> {
    return this.#engine.write(() => operations.recordOperation(who, command, this.#clock.now()));
  }

  waitingOperations(limit: number): Promise<readonly port.Operation[]> {
    return this.#engine.read(() => operations.waitingOperations(limit));
  }

  forgetOperations(id: number): Promise<void> {
    return this.#engine.write(() => operations.forgetOperations(id));
  }

  recordRun(job: port.RunName): Promise<void> {
    return this.#engine.write(() => overview.recordRun(job, this.#clock.now()));
  }

  clear(): Promise<void> {
    return this.#engine.write(() => clear());
  }

  async keepQuotas(): Promise<void> {
    if (this.#isClosed) return;
    const prefixes = this.#quotas.map(({ prefix }) => prefix);
    await this.#engine.write(() => keepQuotas(prefixes), "soon");
    for (const prefix of prefixes) {
      while (!this.#isClosed && !(await this.#engine.write(() => usageBelow(prefix), "soon")));
    }
  }

  flush(): Promise<void> {
    return this.#engine.flush();
  }

  revision(scope: RevisionScope): Revision | Promise<Revision> {
    return this.#revisions.of(scope);
  }

  lastCommit(): number {
    return this.#engine.lastCommit();
  }

  checkReady(): Promise<void> {
    return this.#engine.checkReady();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return this.#engine.close();
  }

  /** Writes what fits into the quotas. Waits while a quota is being counted, and throws `UNAVAILABLE` when that takes long. */
  async #writeWithin<Result>(
    name: RepositoryName,
    addition: Addition,
    work: () => Transaction<Result>,
    durability: Durability = "durable",
  ): Promise<Result> {
    const quotas = this.#quotas.length > 0 ? quotasOf(this.#quotas, name) : this.#quotas;
    if (quotas.length === 0) return await this.#engine.write(work, durability);
    return await this.#writeCounted(() => within(quotas, name, addition, work), durability);
  }

  /** As `#writeWithin`, for what is added to an upload that is there already. */
  async #writeToUpload<Result>(
    id: string,
    addition: (upload: uploads.CountedUpload) => Addition,
    work: () => Transaction<Result>,
  ): Promise<Result> {
    if (this.#quotas.length === 0) return await this.#engine.write(work);
    return await this.#writeCounted(() => withinUpload(this.#quotas, id, addition, work), "durable");
  }

  async #writeCounted<Result>(attempt: () => Transaction<Within<Result>>, durability: Durability): Promise<Result> {
    const deadline = performance.now() + COUNTING_LIMIT_MS;
    for (;;) {
      const outcome = await this.#engine.write(attempt, durability);
      if (outcome.isCounted) return outcome.result;
      if (performance.now() > deadline) throw beingCounted(outcome.prefix);
    }
  }

  /** When a blob that nothing may ever need is to be looked at: its promise and the time after it are over then. */
  #leaseAfter(now: number): number {
    return now + this.#periods.leaseMs + this.#periods.graceMs;
  }
}

type Within<Result> =
  | { readonly isCounted: true; readonly result: Result }
  | { readonly isCounted: false; readonly prefix: string };

function* within<Result>(
  quotas: readonly Quota[],
  name: RepositoryName,
  addition: Addition,
  work: () => Transaction<Result>,
): Transaction<Within<Result>> {
  const prefix = yield* requireRoom(quotas, name, addition);
  return prefix === undefined ? { isCounted: true, result: yield* work() } : { isCounted: false, prefix };
}

function* withinUpload<Result>(
  all: readonly Quota[],
  id: string,
  addition: (upload: uploads.CountedUpload) => Addition,
  work: () => Transaction<Result>,
): Transaction<Within<Result>> {
  const upload = yield* uploads.countedUpload(id);
  if (!upload) return { isCounted: true, result: yield* work() };
  return yield* within(quotasOf(all, upload.name), upload.name, addition(upload), work);
}

function* reserveUpload(
  all: readonly Quota[],
  id: string,
  version: number,
  least: number,
  most: number,
): Transaction<Within<number | undefined>> {
  const upload = yield* uploads.countedUpload(id);
  if (!upload) return { isCounted: true, result: undefined };
  const { name, counted } = upload;
  const quotas = quotasOf(all, name);
  if (quotas.length === 0) return { isCounted: true, result: Infinity };
  return yield* within(quotas, name, { bytes: least - counted }, function* () {
    const bytes = counted + (yield* freeBytes(quotas, least - counted, most - counted));
    return (yield* uploads.reserveUpload(id, version, bytes)) ? bytes : undefined;
  });
}

/** Only reads: a quota that is not counted yet bounds nothing. */
function* requireUploadRoom(all: readonly Quota[], id: string, bytes: number): Transaction<void> {
  const upload = yield* uploads.countedUpload(id);
  if (upload) yield* requireFreeBytes(quotasOf(all, upload.name), bytes - upload.counted);
}
