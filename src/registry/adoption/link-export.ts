/**
 * The way home: writes the links by which distribution (`registry:2`, `registry:3`) finds what is in a registry, beside the blobs of
 * its tree. What is there already is left as it is, so that an export that was interrupted goes on.
 */
import { collect } from "../../lib/collect.ts";
import { ignoreDeviations } from "../../oci/deviation.ts";
import { algorithmOf, digestOf, encodedOf, parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { readManifest } from "../../oci/manifest.ts";
import { MANIFEST_SHAPES, OCI_INDEX } from "../../oci/media-type.ts";
import { parseTag } from "../../oci/tag.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import {
  DistributionTree,
  layerLinkPath,
  revisionLinkPath,
  tagFolder,
  tagIndexPath,
  tagLinkPath,
  treeBlobKey,
} from "../../storage/distribution-tree.ts";
import type { TreeFile, WritableTreeFiles } from "../../storage/tree-files.ts";
import type { Backend } from "../backend.ts";
import type { Manifest } from "../manifests.ts";
import { PAGE_SIZE, paged } from "../pages.ts";
import type { Repository } from "../repository.ts";
import { LocalRepository } from "../repository.ts";

export interface LinkExportOptions {
  /** Whether nothing is written: the report says what would be. */
  readonly isDryRun?: boolean;
  /** Called now and then with the links and files that were looked at so far. */
  readonly onStep?: (done: number) => void;
}

export interface LinkExportReport {
  readonly repositories: number;
  /** Links that were written, or would be. */
  readonly links: number;
  /** Blobs and manifests whose bytes came into the tree, and how many bytes those have. */
  readonly files: number;
  readonly bytes: number;
  /** Links of what was deleted since it was adopted, which were removed. */
  readonly removed: number;
  /** Blobs that are corrupt here, and not in the tree. */
  readonly corrupt: readonly Digest[];
}

/** Files that are looked at or written at the same time: each waits for the disk or the bucket. */
const WRITTEN_AT_ONCE = 16;
/** Corrupt blobs that a report names. */
const MOST_NAMED = 100;
/** Findings of one repository that are looked at. */
const MOST_FINDINGS = 100_000;

export async function exportLinks(
  backend: Backend,
  files: WritableTreeFiles,
  options: LinkExportOptions = {},
): Promise<LinkExportReport> {
  const run = new Run(backend, files, options);
  await run.blobs();
  await run.repositories();
  return run.report;
}

class Run {
  readonly #backend: Backend;
  readonly #files: WritableTreeFiles;
  readonly #tree: DistributionTree;
  readonly #options: LinkExportOptions;
  /** What is being written. */
  readonly #writing = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #done = 0;
  report: LinkExportReport = { repositories: 0, links: 0, files: 0, bytes: 0, removed: 0, corrupt: [] };

  constructor(backend: Backend, files: WritableTreeFiles, options: LinkExportOptions) {
    this.#backend = backend;
    this.#files = files;
    this.#tree = new DistributionTree(files);
    this.#options = options;
  }

  /** The bytes of every blob come first: a link never leads to what is not there. */
  async blobs(): Promise<void> {
    const { blobs } = this.#backend.metadata;
    const all = paged(
      {},
      (page) => blobs.list(page),
      ({ digest }) => digest,
    );
    for await (const { digest, size, location, corrupt } of all) {
      this.#step();
      if (corrupt) {
        if (this.report.corrupt.length < MOST_NAMED) {
          this.report = { ...this.report, corrupt: [...this.report.corrupt, digest] };
        }
      } else if (location.kind === "stored") {
        await this.#start(() => this.#file(location.storageKey, treeBlobKey(digest), size));
      } else {
        await this.#start(
          async () => await this.#bytes(digest, (await blobs.inlinePayload(digest)) ?? new Uint8Array()),
        );
      }
    }
    await this.#written();
  }

  async repositories(): Promise<void> {
    const { repositories } = this.#backend.metadata;
    const all = paged(
      {},
      ({ after, limit }) => repositories.list({ from: after === undefined ? "" : `${after}-`, limit }),
      ({ name }) => name,
    );
    for await (const { name } of all) {
      await this.#repository(name);
      this.report = { ...this.report, repositories: this.report.repositories + 1 };
    }
    // Those that were deleted here, or never had anything that could be adopted.
    for await (const each of this.#tree.repositories()) {
      if ("item" in each && !(await repositories.exists(each.item))) await this.#removeOthers(each.item, new Set());
    }
  }

  async #repository(name: RepositoryName): Promise<void> {
    const repository = new LocalRepository(this.#backend, name);
    const subjects = new Set<Digest>();
    for await (const { digest } of repository.manifests.all()) {
      const manifest = await repository.manifests.find(digest);
      if (!manifest) continue;
      await this.#start(async () => {
        await this.#bytes(digest, manifest.payload);
        await this.#link(revisionLinkPath(name, digest), digest);
      });
      const subject = subjectOf(manifest);
      if (subject !== undefined) subjects.add(subject);
    }
    const { adoptions } = this.#backend.metadata;
    const blobs = new Set<Digest>();
    for (let after = 0; ;) {
      const linked = await adoptions.linkedBlobs(name, after, PAGE_SIZE);
      for (const { digest } of linked) {
        blobs.add(digest);
        await this.#start(() => this.#link(layerLinkPath(name, digest), digest));
      }
      after = linked.at(-1)?.id ?? after;
      if (linked.length < PAGE_SIZE) break;
    }
    await this.#written(); // tags come last
    for await (const { name: tag, digest } of repository.tags.list()) {
      await this.#start(async () => {
        await this.#link(tagIndexPath(name, tag, digest), digest);
        await this.#link(tagLinkPath(name, tag), digest);
      });
    }
    await this.#written();
    const made = new Set<string>();
    for (const subject of subjects) for (const each of await this.#referrersTag(repository, subject)) made.add(each);
    await this.#removeOthers(name, blobs, made);
  }

  /**
   * Distribution has no list of referrers: clients look for them in an index under a tag ("Referrers Tag Schema" of the
   * distribution-spec), which they do not write where the registry has such a list. Returns the tag and the digest of the index.
   */
  async #referrersTag(repository: Repository, subject: Digest): Promise<readonly string[]> {
    const { name } = repository;
    const tag = parseTag(`${algorithmOf(subject)}-${encodedOf(subject).slice(0, 64)}`);
    if (tag === undefined || (await repository.tags.exists(tag))) return [];
    const manifests = await collect(repository.referrers.list(subject));
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
    const payload = new TextEncoder().encode(JSON.stringify(index));
    const digest = digestOf(payload);
    await this.#bytes(digest, payload);
    await this.#link(revisionLinkPath(name, digest), digest);
    await this.#link(tagIndexPath(name, tag, digest), digest);
    await this.#link(tagLinkPath(name, tag), digest);
    return [tag, digest];
  }

  /** Removes the links of what was deleted here. What adoption had skipped, because it is damaged, stays as it is. */
  async #removeOthers(
    name: RepositoryName,
    blobs: ReadonlySet<Digest>,
    made: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const { metadata } = this.#backend;
    const skipped = new Set([...made, ...(await metadata.adoptions.findingsIn(name, MOST_FINDINGS))]);
    const remove = async (path: string): Promise<void> => {
      this.report = { ...this.report, removed: this.report.removed + 1 };
      if (!this.#options.isDryRun) await this.#files.remove(path);
    };
    for (const each of await this.#tree.tags(name)) {
      this.#step();
      if ("strange" in each || skipped.has(each.item)) continue;
      if (!(await metadata.manifests.findByTag(name, each.item))) await remove(tagFolder(name, each.item));
    }
    for (const each of await this.#tree.revisions(name)) {
      this.#step();
      if ("strange" in each || skipped.has(each.item)) continue;
      if (!(await metadata.manifests.find(name, each.item))) await remove(folderOf(revisionLinkPath(name, each.item)));
    }
    for (const each of await this.#tree.layers(name)) {
      this.#step();
      if ("strange" in each || skipped.has(each.item)) continue;
      if (!blobs.has(each.item)) await remove(folderOf(layerLinkPath(name, each.item)));
    }
  }

  /** Begins to write, once there is room among what is being written. Throws what has failed before. */
  async #start(write: () => Promise<void>): Promise<void> {
    while (this.#writing.size >= WRITTEN_AT_ONCE) await Promise.race(this.#writing);
    if (this.#failure) await this.#written();
    const writing: Promise<void> = write()
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  /** Resolves when all is written that was begun. */
  async #written(): Promise<void> {
    await Promise.all(this.#writing);
    if (this.#failure) throw this.#failure.error;
  }

  /** Gives a stored blob its path in the tree. */
  async #file(key: string, path: string, size: number): Promise<void> {
    if (key === path || (await this.#files.stat(path))?.size === size) return;
    if (!this.#options.isDryRun) await this.#files.link(key, path, size);
    this.#countFile(size);
  }

  async #bytes(digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = treeBlobKey(digest);
    const isThere = (await this.#files.stat(path))?.size === bytes.length;
    if (isThere) return;
    if (!this.#options.isDryRun) await this.#files.write(path, bytes);
    this.#countFile(bytes.length);
  }

  async #link(path: string, digest: Digest): Promise<void> {
    this.#step();
    const content = Buffer.from(digest);
    const isWritten = this.#options.isDryRun
      ? !isEqual(await this.#files.read(path, content.length), content)
      : await this.#files.write(path, content);
    if (isWritten) this.report = { ...this.report, links: this.report.links + 1 };
  }

  #countFile(bytes: number): void {
    this.report = { ...this.report, files: this.report.files + 1, bytes: this.report.bytes + bytes };
  }

  #step(): void {
    this.#options.onStep?.(++this.#done);
  }
}

/** The subject of a manifest, if it has one of an algorithm that is computed here. */
function subjectOf({ payload, mediaType }: Manifest): Digest | undefined {
  if (!(mediaType in MANIFEST_SHAPES)) return undefined;
  const { subject } = readManifest(payload, mediaType, ignoreDeviations);
  return subject && parseDigest(subject.digest);
}

function isEqual(found: TreeFile | "too large" | undefined, content: Uint8Array): boolean {
  return typeof found === "object" && Buffer.compare(found.bytes, content) === 0;
}

function folderOf(linkPath: string): string {
  return linkPath.slice(0, linkPath.lastIndexOf("/"));
}
