/** Deletes tags and manifests of a repository, and says before what goes, what stays, and how many bytes that frees. */
import { matchesAny } from "../../lib/glob.ts";
import type { DeletionPreview, GoingManifest } from "../../metadata/deletion-preview.ts";
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Tag } from "../../oci/tag.ts";
import type { Backend } from "../backend.ts";

/** A tag that goes if it still points at the digest; wherever it points when that is absent. */
export interface TagToDelete {
  readonly name: Tag;
  readonly digest?: Digest | undefined;
}

export interface DeletionRequest {
  readonly tags: readonly TagToDelete[];
  /** Manifests that go with all their tags. */
  readonly digests: readonly Digest[];
  /**
   * Whether manifests go too that lose their last tag by this, and those of indexes that go. What an index lists that stays, and
   * what is pinned, stays.
   */
  readonly withManifests: boolean;
}

/** Why something stays. */
export type Stay = "absent" | "moved" | "immutable" | "tagged" | "needed";

/** What a deletion does, or did. */
export interface Deletion {
  readonly tags: readonly { readonly name: Tag; readonly digest: Digest }[];
  /** Manifests that go at once; none of them can be brought back. */
  readonly manifests: readonly Digest[];
  readonly stays: readonly { readonly what: string; readonly why: Stay }[];
  /** Manifests without a tag that refer to those that go, and that collection takes later. */
  readonly referrers: readonly Digest[];
  readonly freedBytes: number;
  /** Bytes of blobs that others need too. */
  readonly keptBytes: number;
  /** When collection may take what becomes free, in milliseconds since 1970; undefined when nothing becomes free. */
  readonly freedAt: number | undefined;
  /** Until when the tags can be put back; undefined when that is without a limit, or there is nothing to put back. */
  readonly undoUntil: number | undefined;
  readonly isComplete: boolean;
}

/** Tags that are deleted side by side: they share commits. */
const AT_ONCE = 50;

/** Tags of a manifest that goes, which are named. */
const MAX_TAGS = 1000;

type Plan = Deletion & { readonly order: readonly GoingManifest[] };

export class Deletions {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  /** What the deletion would do. Only reads. */
  async preview(request: DeletionRequest): Promise<Deletion> {
    return await this.#plan(request);
  }

  /** Deletes, and returns what went. What another client changed meanwhile stays as that client left it. */
  async run(request: DeletionRequest): Promise<Deletion> {
    const plan = await this.#plan(request);
    const [stays, tags] = [[...plan.stays], [...plan.tags]];
    const kept = new Set<string>();
    const stay = (what: string, why: Stay): void => {
      stays.push({ what, why });
      kept.add(what);
    };
    const direct = new Set<string>(request.digests);
    const own = tags.filter(({ digest }) => !direct.has(digest));
    for (let at = 0; at < own.length; at += AT_ONCE) {
      await Promise.all(
        own.slice(at, at + AT_ONCE).map(async ({ name, digest }) => {
          const result = await this.#deleteTag(name, digest);
          if (result !== "done") stay(name, result === "condition" ? "moved" : result);
        }),
      );
    }
    const gone = new Set<Digest>();
    // An index goes before the manifests that it lists: those that are needed are tried again while others go.
    for (let left = plan.order.map(({ digest }) => digest); left.length > 0;) {
      const needed: Digest[] = [];
      for (const digest of left) {
        const result = await this.#deleteManifest(digest, !direct.has(digest));
        if (result === "done") gone.add(digest);
        else if (result === "needed") needed.push(digest);
        else stay(digest, result === "tagged" || result === "absent" ? result : "immutable");
      }
      if (needed.length === left.length) {
        for (const digest of needed) stay(digest, "needed");
        break;
      }
      left = needed;
    }
    const manifests = plan.manifests.filter((digest) => gone.has(digest));
    return { ...plan, tags: tags.filter(({ name }) => !kept.has(name)), manifests, stays };
  }

  #deleteTag(name: Tag, digest: Digest): Promise<"done" | "absent" | "condition" | "immutable"> {
    const { metadata, cause } = this.#backend;
    const rules = { condition: { kind: "is", digests: [digest] } as const, immutable: this.#isImmutable(name) };
    return metadata.tags.delete(this.#name, name, rules, cause);
  }

  #deleteManifest(digest: Digest, unlessHeld: boolean): ReturnType<Backend["metadata"]["manifests"]["delete"]> {
    const { metadata, limits, cause } = this.#backend;
    return metadata.manifests.delete(this.#name, digest, limits.immutableTagsOf(this.#name), cause, { unlessHeld });
  }

  async #plan({ tags: asked, digests, withManifests }: DeletionRequest): Promise<Plan> {
    const { metadata, limits, rules, clock } = this.#backend;
    const patterns = limits.immutableTagsOf(this.#name);
    const stays: { what: string; why: Stay }[] = [];
    const found = new Map(
      (
        await metadata.inventory.tags(
          this.#name,
          asked.map(({ name }) => name),
        )
      ).map((each) => [each.name, each]),
    );
    const tags: { name: Tag; digest: Digest; sameDigest: number }[] = [];
    for (const { name, digest } of new Map(asked.map((each) => [each.name, each])).values()) {
      const tag = found.get(name);
      if (!tag) stays.push({ what: name, why: "absent" });
      else if (digest !== undefined && tag.digest !== digest) stays.push({ what: name, why: "moved" });
      else if (this.#isImmutable(name)) stays.push({ what: name, why: "immutable" });
      else tags.push(tag);
    }
    const named = await this.#deletable([...new Set(digests)], patterns, stays);
    const untagged = withoutTags(tags).filter((digest) => !named.includes(digest));
    // Where manifests without a tag are not collected, deleting tags alone frees nothing.
    const isFreed = withManifests || rules.untagged;
    const going = isFreed ? untagged : [];
    const preview: DeletionPreview | undefined =
      named.length + going.length > 0 ? await metadata.deletionPreviews.manifests(this.#name, named, going) : undefined;
    const order = (preview?.manifests ?? []).filter(({ digest }) => withManifests || named.includes(digest));
    const children = withManifests ? (preview?.children ?? []) : [];
    if (withManifests) {
      const gone = new Set(order.map(({ digest }) => digest));
      for (const digest of untagged) if (!gone.has(digest)) stays.push({ what: digest, why: "needed" });
    }
    const aliases = await metadata.inventory.aliases(this.#name, named, MAX_TAGS);
    const already = new Set(tags.map(({ name }) => name));
    const withDigests = named.flatMap((digest, at) =>
      (aliases[at] ?? []).filter((name) => !already.has(name)).map((name) => ({ name, digest })),
    );
    const now = clock.now();
    const isUndoable = tags.length > 0 && order.length + children.length === 0;
    return {
      tags: [...tags.map(({ name, digest }) => ({ name, digest })), ...withDigests],
      manifests: [...order, ...children].map(({ digest }) => digest),
      order: [...order, ...children],
      stays,
      referrers: (preview?.referrers ?? []).map(({ digest }) => digest),
      freedBytes: preview?.freedBytes ?? 0,
      keptBytes: preview?.keptBytes ?? 0,
      freedAt:
        preview && preview.manifests.length > 0 ? now + (order.length > 0 ? rules.graceMs : rules.undoMs) : undefined,
      undoUntil: isUndoable && rules.untagged ? now + rules.undoMs : undefined,
      isComplete: preview?.isComplete ?? true,
    };
  }

  /** Those of the manifests that are there and that no immutable tag needs. */
  async #deletable(
    digests: readonly Digest[],
    patterns: readonly string[],
    stays: { what: string; why: Stay }[],
  ): Promise<readonly Digest[]> {
    const { metadata } = this.#backend;
    const deletable: Digest[] = [];
    for (const digest of digests) {
      if (!(await metadata.manifests.find(this.#name, digest))) stays.push({ what: digest, why: "absent" });
      else if ((await metadata.deletionPreviews.hold(this.#name, digest, patterns)) !== undefined) {
        stays.push({ what: digest, why: "immutable" });
      } else deletable.push(digest);
    }
    return deletable;
  }

  #isImmutable(tag: Tag): boolean {
    return matchesAny(this.#backend.limits.immutableTagsOf(this.#name), tag);
  }
}

/** Digests all of whose tags are among these. */
function withoutTags(tags: readonly { readonly digest: Digest; readonly sameDigest: number }[]): readonly Digest[] {
  const left = new Map<Digest, number>();
  for (const { digest, sameDigest } of tags) left.set(digest, (left.get(digest) ?? sameDigest) - 1);
  return [...left].filter(([, count]) => count === 0).map(([digest]) => digest);
}
