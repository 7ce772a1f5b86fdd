/**
 * Metadata: what the registry knows, one object for each of its nouns. Every operation is atomic: it happens whole or not at
 * all, and what it changed is durable when it resolves, or after `flush` where it says so. The bytes of blobs lie in
 * `storage/`; here is where. What differs between databases is below `SqlEngine`, the port.
 */
import type { Clock } from "../lib/clock.ts";
import { Accounts } from "./accounts.ts";
import { Adoptions } from "./adoption.ts";
import { Audit } from "./audit.ts";
import { Blobs } from "./blobs.ts";
import { Collection } from "./collection.ts";
import { CollectionPreviews } from "./collection-preview.ts";
import type { ChangeRecorder } from "./changes.ts";
import { DEFAULT_RULES } from "./database.ts";
import type { Database, Periods, Quota } from "./database.ts";
import { Jobs } from "./job-steps.ts";
import { DeletionPreviews } from "./deletion-preview.ts";
import { HolderLeases } from "./holder-leases.ts";
import { Inventory } from "./inventory.ts";
import { Leases } from "./leases.ts";
import { Manifests } from "./manifests.ts";
import { Outbox } from "./outbox.ts";
import { OverviewOfAll } from "./overview.ts";
import { Pins } from "./pins.ts";
import { Quotas } from "./quota-counting.ts";
import { Repositories } from "./repositories.ts";
import { Revisions } from "./revisions.ts";
import type { Revision, RevisionScope, RevisionSource } from "./revision-source.ts";
import { RobotTokens } from "./robot-tokens.ts";
import { Secrets } from "./secrets.ts";
import { Signatures } from "./signatures.ts";
import { StoredSigningKeys } from "./signing-keys.ts";
import type { SqlEngine } from "./sql.ts";
import { TagHistories } from "./tag-history.ts";
import { Tags } from "./tags.ts";
import { Trash } from "./trash.ts";
import { Uploads } from "./uploads.ts";

export interface MetadataOptions {
  readonly periods?: Periods | undefined;
  readonly quotas?: readonly Quota[] | undefined;
  /** Records changes in the transactions that make them; absent where nothing is recorded. */
  readonly recorder?: ChangeRecorder | undefined;
}

export class Metadata {
  readonly repositories: Repositories;
  readonly uploads: Uploads;
  readonly holders: HolderLeases;
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly tagHistories: TagHistories;
  readonly signatures: Signatures;
  readonly pins: Pins;
  readonly collection: Collection;
  readonly collectionPreviews: CollectionPreviews;
  readonly trash: Trash;
  readonly jobs: Jobs;
  readonly leases: Leases;
  readonly quotas: Quotas;
  readonly accounts: Accounts;
  readonly robotTokens: RobotTokens;
  readonly signingKeys: StoredSigningKeys;
  readonly secrets: Secrets;
  readonly audit: Audit;
  readonly outbox: Outbox;
  readonly overview: OverviewOfAll;
  readonly adoptions: Adoptions;
  readonly inventory: Inventory;
  readonly deletionPreviews: DeletionPreviews;
  readonly #engine: SqlEngine;
  readonly #revisions: RevisionSource;

  constructor(
    engine: SqlEngine,
    clock: Clock,
    { periods = DEFAULT_RULES, quotas = [], recorder }: MetadataOptions = {},
  ) {
    this.quotas = new Quotas(engine, quotas);
    const countQuotas = (): void => void this.quotas.count().catch(() => undefined); // the next write that needs it tries again
    const database: Database = { engine, clock, periods, quotas, recorder, countQuotas };
    this.#engine = engine;
    this.#revisions = engine.revisions ?? new Revisions(engine);
    this.repositories = new Repositories(database);
    this.uploads = new Uploads(database);
    this.holders = new HolderLeases(database);
    this.blobs = new Blobs(database);
    this.manifests = new Manifests(database);
    this.tags = new Tags(database);
    this.tagHistories = new TagHistories(database);
    this.signatures = new Signatures(database);
    this.pins = new Pins(database);
    this.collection = new Collection(database);
    this.collectionPreviews = new CollectionPreviews(database);
    this.trash = new Trash(database);
    this.jobs = new Jobs(database);
    this.leases = new Leases(database);
    this.accounts = new Accounts(database);
    this.robotTokens = new RobotTokens(database);
    this.signingKeys = new StoredSigningKeys(database);
    this.secrets = new Secrets(database);
    this.audit = new Audit(database);
    this.outbox = new Outbox(database);
    this.overview = new OverviewOfAll(database);
    this.adoptions = new Adoptions(database);
    this.inventory = new Inventory(database);
    this.deletionPreviews = new DeletionPreviews(database);
  }

  /** Everything that was changed before is durable when it resolves. */
  flush(): Promise<void> {
    return this.#engine.flush();
  }

  /**
   * Returns the revision of a scope: what was read of the scope after that still holds as long as it is the same. Cheap enough
   * to ask for each request: nothing is read as long as nothing at all is committed.
   */
  revision(scope: RevisionScope): Revision | Promise<Revision> {
    return this.#revisions.of(scope);
  }

  /** Returns another number when anything may have been committed, by whatever process, since it returned the last one. */
  lastCommit(): number {
    return this.#engine.lastCommit();
  }

  /** Rejects when the database cannot answer. */
  checkReady(): Promise<void> {
    return this.#engine.checkReady();
  }

  close(): Promise<void> {
    this.quotas.close();
    return this.#engine.close();
  }
}
