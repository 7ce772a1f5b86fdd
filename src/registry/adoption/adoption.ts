/**
 * Adoption of a tree that distribution (`registry:2`, `registry:3`) has written. Until all of it is in the database, what a client asks
 * for and is not there is looked up in the tree and added. Deletions, and lists of what is in a repository, wait until all of that
 * repository is added: so nothing that was deleted comes back, and no list is cut short.
 */
import { SingleFlight } from "../../lib/single-flight.ts";
import type { AdoptedPart, AdoptionFinding, Adoptions } from "../../metadata/adoption.ts";
import type { ListedRepository, Repositories } from "../../metadata/repositories.ts";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Tag } from "../../oci/tag.ts";
import type { DistributionTree } from "../../storage/distribution-tree.ts";
import type { Backend } from "../backend.ts";
import { RepositoryReader, emptyPart, readEach } from "./tree-reader.ts";
import type { ReadPart } from "./tree-reader.ts";

/** Things of one repository that are read at the same time. */
const READ_AT_ONCE = 16;

/** Manifests, tags or blobs that are added in one transaction by default. */
export const PART_SIZE = 100;

/** Bytes of manifests in one transaction, when it has several. */
const PART_BYTES = 1024 * 1024;

/** Names of repositories that are recorded in one transaction. */
const NAMES_AT_ONCE = 500;

const NO_NAME = "it is no name of a repository, so no client can reach what is in it";

export class Adoption {
  readonly tree: DistributionTree;
  readonly #backend: Pick<Backend, "store" | "metadata" | "clock" | "limits">;
  readonly #adoptions: Adoptions;
  readonly #lookups = new SingleFlight<string, void>();
  readonly #repositories = new SingleFlight<RepositoryName, void>();
  readonly #naming = new SingleFlight<"names", void>();
  #isOpen = true;

  constructor(backend: Pick<Backend, "store" | "metadata" | "clock" | "limits">, tree: DistributionTree) {
    this.#backend = backend;
    this.#adoptions = backend.metadata.adoptions;
    this.tree = tree;
  }

  /** Whether something of the tree may not be in the database yet, as far as this process knows. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Lists repositories that are here and those that are still to be added, once the names of all are known. */
  get repositories(): Pick<Repositories, "list"> {
    const { repositories } = this.#backend.metadata;
    return {
      list: async (range) => {
        await this.nameRepositories();
        const [here, open] = await Promise.all([repositories.list(range), this.#adoptions.openIn(range)]);
        const byName = new Map(here.map((each) => [each.name, each]));
        for (const each of open) if (each.hasManifests) byName.set(each.name, each);
        return [...byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)).slice(0, range.limit);
      },
    };
  }

  /** Records the names of all repositories, unless that is done. */
  async nameRepositories(): Promise<void> {
    if ((await this.#adoptions.phase())?.phase !== "names") return;
    await this.#naming.run("names", async () => {
      let [found, findings]: [ListedRepository[], AdoptionFinding[]] = [[], []];
      const record = async (): Promise<void> => {
        await this.#adoptions.nameRepositories(found, findings);
        [found, findings] = [[], []];
      };
      for await (const each of this.tree.repositories()) {
        if ("item" in each) found.push({ name: each.item, hasManifests: await this.tree.hasManifests(each.item) });
        else findings.push({ repository: "", kind: "bad name", subject: each.strange, detail: NO_NAME });
        if (found.length + findings.length >= NAMES_AT_ONCE) await record();
      }
      await record();
      await this.#adoptions.endNames();
    });
  }

  /** Looks whether another process has ended the adoption; returns whether it goes on. */
  async refresh(): Promise<boolean> {
    if (this.#isOpen) this.#isOpen = (await this.#adoptions.phase())?.phase !== "done";
    return this.#isOpen;
  }

  /** Adds a tag of the tree, with its manifest, unless it is here. */
  async addTag(name: RepositoryName, tag: Tag): Promise<void> {
    await this.#lookUp(name, `${name}:${tag}`, async (reader, part) => {
      const found = await reader.tag(tag, part);
      if (found && (await reader.manifest(found.digest, part))) part.tags.push(found);
    });
  }

  /** Adds a manifest of the tree, with the blobs that it needs, unless it is here. */
  async addManifest(name: RepositoryName, digest: Digest): Promise<void> {
    await this.#lookUp(name, `${name}@${digest}`, async (reader, part) => void (await reader.manifest(digest, part)));
  }

  /** Adds blobs of the tree, unless they are here. */
  async addBlobs(name: RepositoryName, digests: readonly Digest[]): Promise<void> {
    for (let at = 0; at < digests.length; at += PART_SIZE) {
      const some = digests.slice(at, at + PART_SIZE);
      await this.#lookUp(name, `${name}@@${some.join()}`, (reader, part) =>
        readEach(some, (digest) => reader.blob(digest, part), READ_AT_ONCE),
      );
    }
  }

  /** Adds all of a repository; a call shares the work with others of this process. */
  async addRepository(name: RepositoryName): Promise<void> {
    if (!this.#isOpen) return;
    await this.#repositories.run(name, async () => {
      for await (const part of this.parts(name)) if (!(await this.#adoptions.adopt(name, part))) return;
    });
  }

  /** Reads what of a repository is not here yet, in parts to be added one after the other. None when it is done. */
  async *parts(name: RepositoryName, sizeOf: () => number = () => PART_SIZE): AsyncGenerator<AdoptedPart, void> {
    if (await this.#adoptions.isDone(name)) return;
    const { revisions, tags, layers, links } = await this.tree.content(name);
    const reader = new RepositoryReader(this.#backend, this.tree, name, links);
    let part = emptyPart();
    const strange = (kind: "bad name" | "unsupported digest", subject: string): void => {
      part.findings.push({ repository: name, kind, subject, detail: "it is not taken for what lies there" });
    };
    const known = new Set(revisions.flatMap((each) => ("item" in each ? [each.item] : [])));
    const failed = new Set<Digest>();
    const steps = [
      inSteps(revisions, async (some) => {
        const digests = some.flatMap((each) => ("item" in each ? [each.item] : []));
        for (const each of some) if ("strange" in each) strange("unsupported digest", each.strange);
        const present = await this.#adoptions.presentManifests(name, digests);
        await readEach(
          digests.filter((digest) => !present.has(digest)),
          async (digest) => {
            if (!(await reader.manifest(digest, part))) failed.add(digest);
          },
          READ_AT_ONCE,
        );
      }),
      inSteps(tags, (some) =>
        readEach(
          some,
          async (each) => {
            if ("strange" in each) return strange("bad name", each.strange);
            const found = await reader.tag(each.item, part);
            if (!found) return;
            if (known.has(found.digest) && !failed.has(found.digest)) return void part.tags.push(found);
            const isKnown = known.has(found.digest);
            const detail = `it points at ${found.digest}, which is ${isKnown ? "damaged" : "not in the repository"}`;
            part.findings.push({ repository: name, kind: "missing revision", subject: each.item, detail });
          },
          READ_AT_ONCE,
        ),
      ),
      inSteps(layers, (some) =>
        readEach(
          some,
          async (each) => {
            if ("strange" in each) strange("unsupported digest", each.strange);
            else await reader.blob(each.item, part);
          },
          READ_AT_ONCE,
        ),
      ),
    ];
    for (const step of steps) {
      for await (const _ of step) {
        if (!isFull(part, sizeOf())) continue;
        yield { ...part, isLast: false };
        part = emptyPart();
      }
    }
    await this.#discardUploads(name);
    yield { ...part, isLast: true };
  }

  /** Has the files of uploads that distribution did not finish unlinked when they would have expired there. */
  async #discardUploads(name: RepositoryName): Promise<void> {
    for (const { files, startedAt } of await this.tree.uploads(name)) {
      await this.#adoptions.discard(files, startedAt + this.#backend.limits.uploadExpiryMs);
    }
  }

  async #lookUp(
    name: RepositoryName,
    key: string,
    read: (reader: RepositoryReader, part: ReadPart) => Promise<void>,
  ): Promise<void> {
    if (!this.#isOpen) return;
    await this.#lookups.run(key, async () => {
      if (await this.#adoptions.isDone(name)) return void (await this.refresh());
      const part = emptyPart();
      await read(new RepositoryReader(this.#backend, this.tree, name), part);
      if (part.blobs.length + part.manifests.length === 0) return;
      // What is damaged is said when all of the repository is read.
      await this.#adoptions.adopt(name, { ...part, findings: [], isLast: false });
    });
  }
}

function isFull({ manifests, tags, blobs }: ReadPart, size: number): boolean {
  if (manifests.length + tags.length + blobs.length / 2 >= size) return true;
  return manifests.reduce((bytes, { payload }) => bytes + payload.length, 0) >= PART_BYTES;
}

/** Reads items, some at a time; yields after each step. */
async function* inSteps<Item>(
  items: readonly Item[],
  read: (some: readonly Item[]) => Promise<void>,
): AsyncGenerator<void> {
  for (let at = 0; at < items.length; at += READ_AT_ONCE) {
    await read(items.slice(at, at + READ_AT_ONCE));
    yield;
  }
}
