/** Adopts all of a tree in the background of one process at a time, in small steps beside the requests. */
import { Pace } from "../../lib/pace.ts";
import { pause } from "../../lib/pause.ts";
import type { AdoptedBlob, AdoptedPart, AdoptionFinding, AdoptionProgress } from "../../metadata/adoption.ts";
import type { Digest } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../oci/manifest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Logger } from "../../observe/logger.ts";
import type { Metrics } from "../../observe/metrics.ts";
import { treeBlobKey } from "../../storage/distribution-tree.ts";
import type { Backend } from "../backend.ts";
import { Lease } from "../gc/lease.ts";
import type { Adoption } from "./adoption.ts";

/** Should the process die in the midst of it, another one goes on after so long. */
const LEASE_MS = 10_000;
/** Milliseconds until work that failed is tried again, or until it is seen that another process no longer does it. */
const RETRY_MS = 1000;
/** Milliseconds between two log lines about how far it is. */
const REPORT_MS = 10_000;
/** Manifests, tags or pairs of blobs of one transaction. */
const STEP = { least: 16, most: 100, stepMs: 4 };
/** Blobs of no repository that are added in one transaction. */
const LOOSE_AT_ONCE = 200;
/** Repositories that are read at the same time. */
const REPOSITORIES_AT_ONCE = 4;
/** Findings that are logged, each with a line of its own; `stowage status` has all of them. */
const LOGGED_FINDINGS = 1000;

interface Observers {
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Adopts until all is done or `signal` says stop. What fails is logged and tried again. */
export async function adoptInBackground(
  backend: Backend,
  adoption: Adoption,
  observers: Observers,
  signal: AbortSignal,
): Promise<void> {
  const { log } = observers;
  const lease = new Lease(backend, "adoption", LEASE_MS);
  while (!signal.aborted && (await adoption.refresh())) {
    try {
      await using held = await lease.hold();
      if (held) return await new Run(backend, adoption, observers, AbortSignal.any([signal, held.lost])).all();
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "adoption failed: it is tried again in a second");
    }
    await pause(RETRY_MS, signal);
  }
}

/** One process's share of an adoption. Each of its methods ends early when the signal says stop. */
class Run {
  readonly #backend: Backend;
  readonly #adoption: Adoption;
  readonly #observers: Observers;
  readonly #ending: AbortSignal;
  readonly #pace: Pace;
  #size: number = STEP.least;
  /** Manifests that were just added: their files are no blobs. */
  readonly #manifests = new Set<Digest>();
  #reportedAt = performance.now();

  constructor(backend: Backend, adoption: Adoption, observers: Observers, ending: AbortSignal) {
    this.#backend = backend;
    this.#adoption = adoption;
    this.#observers = observers;
    this.#ending = ending;
    this.#pace = new Pace({ ...STEP, commits: () => backend.metadata.lastCommit(), signal: ending });
  }

  async all(): Promise<void> {
    const { log } = this.#observers;
    const { adoptions } = this.#backend.metadata;
    log.info({ adoption: await this.#progress() }, "adoption: the tree of distribution is being indexed");
    await this.#adoption.nameRepositories();
    await this.#repositories();
    await this.#looseBlobs();
    await this.#tags();
    if (this.#ending.aborted) return;
    await adoptions.end();
    await this.#adoption.refresh();
    await this.#report();
    while ((await adoptions.forgetNames(LOOSE_AT_ONCE)) > 0 && (await pause(1, this.#ending)));
  }

  /** Adds one repository after the other; while a part is being written the next one is read. */
  async #repositories(): Promise<void> {
    const { adoptions } = this.#backend.metadata;
    if ((await this.#phase()) !== "repositories") return;
    let skipped: RepositoryName | undefined;
    for await (const { name, part } of new Ahead(this.#parts())) {
      if (this.#ending.aborted) return;
      if (skipped === name) continue;
      const isAdded = await this.#pace.step((size) => {
        this.#size = size;
        return adoptions.adopt(name, part);
      });
      if (!isAdded) skipped = name; // a request has added all of it meanwhile
      for (const { digest } of part.manifests) if (this.#manifests.size < MOST_KNOWN) this.#manifests.add(digest);
      await this.#tell();
      if (!(await this.#pace.rest())) return;
    }
    if (!this.#ending.aborted) await adoptions.goTo("blobs");
  }

  /** Reads repositories in their order, the next ones meanwhile: reading waits for a disk or a bucket most of the time. */
  async *#parts(): AsyncGenerator<{ readonly name: RepositoryName; readonly part: AdoptedPart }, void> {
    const { adoptions } = this.#backend.metadata;
    for (let after = ""; ;) {
      const names = await adoptions.open(after, NAMES_AT_ONCE);
      const reading: { readonly name: RepositoryName; readonly parts: Ahead<AdoptedPart> }[] = [];
      const left = names.values();
      const readNext = (): void => {
        const { value: name } = left.next();
        if (name === undefined) return;
        reading.push({ name, parts: new Ahead(this.#adoption.parts(name, () => this.#size)) });
      };
      try {
        for (let at = 0; at < REPOSITORIES_AT_ONCE; at++) readNext();
        for (let first = reading.shift(); first; first = reading.shift()) {
          readNext();
          const { name, parts } = first;
          for await (const part of parts) yield { name, part };
          after = name;
        }
      } finally {
        await Promise.all(reading.map(({ parts }) => parts.end()));
      }
      if (names.length < NAMES_AT_ONCE) return;
    }
  }

  /** Adds what lies in the tree and no repository shows. Files of manifests stay as they are: their bytes are in the database. */
  async #looseBlobs(): Promise<void> {
    const { adoptions } = this.#backend.metadata;
    if ((await this.#phase()) !== "blobs") return;
    const { tree } = this.#adoption;
    let { position = "" } = (await adoptions.phase()) ?? {};
    for (const folder of await tree.blobFolders()) {
      if (folder <= position) continue;
      const digests = await tree.blobsIn(folder);
      for (let at = 0; at < digests.length; at += LOOSE_AT_ONCE) {
        if (this.#ending.aborted) return;
        const some = digests.slice(at, at + LOOSE_AT_ONCE);
        const keys = await adoptions.keys(some);
        const blobs: AdoptedBlob[] = [];
        const findings: AdoptionFinding[] = [];
        const unknown = some.filter((digest) => !keys.has(digest) && !this.#manifests.has(digest));
        await Promise.all(unknown.map((digest) => this.#looseBlob(digest, blobs, findings)));
        const redundant = some.filter((digest) => keys.has(digest) && keys.get(digest) !== treeBlobKey(digest));
        const loose = { blobs, redundant: redundant.map(treeBlobKey), findings };
        await this.#pace.step(() => adoptions.addLoose(loose));
        await this.#tell();
        if (!(await this.#pace.rest())) return;
      }
      position = folder;
      await adoptions.goTo("blobs", position);
    }
    await adoptions.goTo("tags");
  }

  async #looseBlob(digest: Digest, blobs: AdoptedBlob[], findings: AdoptionFinding[]): Promise<void> {
    const { tree } = this.#adoption;
    try {
      const stored = await this.#backend.store.stat(treeBlobKey(digest));
      if (!stored) return;
      const createdAt = this.#backend.clock.now();
      if (stored.size <= MAX_MANIFEST_SIZE && isManifest(await tree.readBlob(digest, MAX_MANIFEST_SIZE))) return;
      blobs.push({ digest, ...stored, storageKey: treeBlobKey(digest), isIntact: true, createdAt });
    } catch (error) {
      if (!tree.isUnreadable(error)) throw error;
      const detail = (error as Error).message;
      findings.push({ repository: "", kind: "unreadable", subject: digest, detail });
    }
  }

  /** Asks for every tag of the tree as a client does. */
  async #tags(): Promise<void> {
    const { adoptions, manifests, repositories, tags } = this.#backend.metadata;
    if ((await this.#phase()) !== "tags") return;
    let { position = "" } = (await adoptions.phase()) ?? {};
    for (;;) {
      const names = await adoptions.names(position, NAMES_AT_ONCE);
      for (const name of names) {
        const findings: AdoptionFinding[] = [];
        // One that is not here was deleted since, or nothing of it could be adopted.
        const isHere = await repositories.exists(name);
        for (const each of isHere ? await this.#adoption.tree.tags(name) : []) {
          if (this.#ending.aborted) return;
          if ("strange" in each || (await manifests.findByTag(name, each.item))) continue;
          if ((await tags.history(name, each.item, 1)).length > 0) continue; // a client has deleted it since
          const detail = "a client that asks for the tag gets 404";
          findings.push({ repository: name, kind: "missing revision", subject: each.item, detail });
        }
        if (findings.length > 0) await adoptions.addFindings(findings);
        position = name;
        await this.#tell();
        if (!(await pause(0, this.#ending))) return;
      }
      await adoptions.goTo("tags", position);
      if (names.length < NAMES_AT_ONCE) return;
    }
  }

  async #phase(): Promise<AdoptionProgress["phase"] | undefined> {
    return this.#ending.aborted ? undefined : (await this.#backend.metadata.adoptions.phase())?.phase;
  }

  async #progress(): Promise<AdoptionProgress | undefined> {
    const progress = await this.#backend.metadata.adoptions.progress();
    const { metrics } = this.#observers;
    if (progress) {
      metrics.adoptedManifests.set(progress.manifests);
      metrics.openRepositories.set(progress.phase === "names" ? 0 : progress.openRepositories);
      metrics.adoptionFindings.set(progress.findings);
    }
    return progress;
  }

  /** Logs how far it is, now and then. */
  async #tell(): Promise<void> {
    if (performance.now() - this.#reportedAt < REPORT_MS) return;
    this.#reportedAt = performance.now();
    this.#observers.log.info({ adoption: await this.#progress() }, "adoption goes on");
  }

  /** Logs what is damaged, and that it is done. */
  async #report(): Promise<void> {
    const { log } = this.#observers;
    const { adoptions } = this.#backend.metadata;
    let last: AdoptionFinding | undefined;
    for (let logged = 0; logged < LOGGED_FINDINGS;) {
      const findings = await adoptions.findings(last, NAMES_AT_ONCE);
      for (const finding of findings) log.warn({ finding }, "adoption: damaged in the tree");
      logged += findings.length;
      last = findings.at(-1);
      if (findings.length < NAMES_AT_ONCE) break;
    }
    log.info({ adoption: await this.#progress() }, "adoption is done: all of the tree is in the database");
  }
}

const NAMES_AT_ONCE = 100;

/** Manifests that are in memory; a file of any other one is read to see what it is. */
const MOST_KNOWN = 100_000;

/** Whether bytes that no repository shows as a blob are a manifest. */
function isManifest(bytes: Uint8Array | "too large" | undefined): boolean {
  if (!(bytes instanceof Uint8Array) || bytes[0] !== 0x7b) return false;
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === "object" && value !== null && "schemaVersion" in value;
  } catch {
    return false;
  }
}

/** Items of which the next one is being made meanwhile, the first one from now on. */
class Ahead<Item> implements AsyncIterable<Item> {
  readonly #items: AsyncGenerator<Item, void>;
  #next: Promise<IteratorResult<Item, void>>;

  constructor(items: AsyncGenerator<Item, void>) {
    this.#items = items;
    this.#next = this.#make();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void> {
    try {
      for (;;) {
        const { done, value } = await this.#next;
        if (done) return;
        this.#next = this.#make();
        yield value;
      }
    } finally {
      await this.end();
    }
  }

  /** Ends the making, for items that are not asked for. */
  async end(): Promise<void> {
    await this.#next.catch(() => undefined);
    await this.#items.return();
  }

  #make(): Promise<IteratorResult<Item, void>> {
    const next = this.#items.next();
    next.catch(() => undefined); // it is awaited when it is asked for
    return next;
  }
}
