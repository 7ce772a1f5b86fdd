/** Tags in the API. */
import { z } from "zod";
import { digest as digestOfText } from "../../oci/digest.ts";
import { manifestUnknown, repositoryUnknown } from "../../oci/unknown.ts";
import { MAX_ALIASES, TAG_ORDERS } from "../../registry/inventory/inventory.ts";
import type { ListedTag } from "../../registry/inventory/inventory.ts";
import { tagCondition } from "../http/conditions.ts";
import {
  Bytes,
  Count,
  DigestText,
  PAGE,
  Time,
  cursorOf,
  operation,
  optionalTime,
  pageOf,
  positionIn,
  tagOf,
  timeText,
} from "./operation.ts";

const Tag = z
  .object({
    name: z.string(),
    digest: DigestText,
    mediaType: z.string(),
    artifactType: z.string().nullable(),
    kind: z.enum(["image", "index", "artifact"]),
    platforms: z.array(z.string()).meta({ description: "Such as `linux/arm64/v8`." }),
    bytes: Bytes.nullable().meta({
      description:
        "What a pull of all of it takes; null when that is not known: something it names is not here, or it is very large.",
    }),
    since: Time.meta({ description: "Since when the tag points at this digest." }),
    updatedAt: Time.meta({ description: "When the tag was last put." }),
    pushedAt: Time.meta({ description: "When the manifest was last pushed." }),
    aliases: z.array(z.string()).meta({ description: `Other tags of the same digest, the first ${MAX_ALIASES}.` }),
    aliasCount: Count.meta({ description: "How many other tags of the repository have the same digest." }),
    referrerTypes: z
      .array(z.string())
      .meta({ description: "Types of artifacts that refer to the manifest, such as signatures and SBOMs." }),
    isSigned: z.boolean().meta({ description: "Whether a signature refers to the manifest. It is not verified." }),
  })
  .meta({ id: "Tag" });
export type Tag = z.infer<typeof Tag>;

const TagPeriod = z
  .object({
    digest: DigestText,
    since: Time,
    until: Time.nullable().meta({ description: "Null while the tag still points there." }),
    canRestore: z
      .boolean()
      .meta({ description: "Whether the manifest is here, so that PUT of the tag undoes the change." }),
    restorableUntil: Time.nullable().meta({
      description: "Until when garbage collection keeps the manifest at the least; null when there is no limit.",
    }),
  })
  .meta({ id: "TagPeriod" });

const TagHistory = z.object({ items: z.array(TagPeriod) });
export type TagHistory = z.infer<typeof TagHistory>;

const TagPage = pageOf(Tag).extend({ total: Count.meta({ description: "How many tags there are on all pages." }) });
export type TagPage = z.infer<typeof TagPage>;

const Position = z.object({ tag: z.string() });

/** Types of artifacts that are signatures (cosign, sigstore bundles, notation). */
const SIGNATURES: readonly RegExp[] = [
  /^application\/vnd\.dev\.cosign\.artifact\.sig/,
  /^application\/vnd\.dev\.sigstore\.bundle/,
  /^application\/vnd\.cncf\.notary\.signature/,
];

function shown(tag: ListedTag): Tag {
  const { name, digest, mediaType, artifactType = null, kind, platforms, bytes = null } = tag;
  return {
    name,
    digest,
    mediaType,
    artifactType,
    kind,
    platforms: [...platforms],
    bytes,
    since: timeText(tag.since),
    updatedAt: timeText(tag.updatedAt),
    pushedAt: timeText(tag.pushedAt),
    aliases: [...tag.aliases],
    aliasCount: tag.sameDigest - 1,
    referrerTypes: tag.referrerTypes.filter((type) => type !== ""),
    isSigned: tag.referrerTypes.some((type) => SIGNATURES.some((each) => each.test(type))),
  };
}

export const tagOperations = [
  operation({
    id: "listTags",
    resource: "tags",
    method: "GET",
    summary: "Tags of a repository, the newest version first",
    query: z.strictObject({
      ...PAGE,
      q: z.string().max(128).default("").meta({ description: "Letters of the tags, or a pattern such as `1.*`." }),
      sort: z.enum(TAG_ORDERS).default("-version"),
    }),
    answer: TagPage,
    refusals: [404],
    run: async ({ services, context: { namespace }, name, query: { limit, cursor, q, sort } }) => {
      if (!(await namespace.repository(name).exists())) throw repositoryUnknown(name);
      const after = positionIn(cursor, Position)?.tag;
      const page = await (await services.inventory()).tags(name, { letters: q, order: sort, after, limit });
      const next = page.last === undefined ? null : cursorOf({ tag: page.last });
      return { body: { items: page.items.map(shown), next, total: page.total } };
    },
  }),
  operation({
    id: "getTag",
    resource: "tag",
    method: "GET",
    summary: "One tag",
    answer: Tag,
    refusals: [404],
    run: async (request) => {
      const { services, name } = request;
      const tag = tagOf(request);
      const found = await (await services.inventory()).tag(name, tag);
      if (!found) throw manifestUnknown(name, { tag });
      return { body: shown(found) };
    },
  }),
  operation({
    id: "getTagHistory",
    resource: "tagHistory",
    method: "GET",
    summary: "What a tag pointed at, the newest first",
    description: "Also of a tag that was deleted. Entries are kept as the setting `gc.history` says.",
    query: z.strictObject({ limit: PAGE.limit }),
    answer: TagHistory,
    run: async (request) => {
      const { services, name, query } = request;
      const history = await (await services.inventory()).history(name, tagOf(request), query.limit);
      const items = history.map(({ digest, since, until, isHere, keptUntil }) => ({
        digest,
        since: timeText(since),
        until: optionalTime(until),
        canRestore: isHere,
        restorableUntil: optionalTime(isHere ? keptUntil : undefined),
      }));
      return { body: { items } };
    },
  }),
  operation({
    id: "putTag",
    resource: "tag",
    method: "PUT",
    summary: "Point a tag at a manifest of the repository: tag it anew, or undo a change",
    description: "`If-Match` and `If-None-Match` hold for the digest that the tag points at, as in a push.",
    body: z.strictObject({ digest: z.string() }).meta({ id: "TagRequest" }),
    answer: Tag,
    conditions: ["If-Match", "If-None-Match"],
    refusals: [404, 412],
    run: async (request) => {
      const { context, services, name, body } = request;
      const [tag, to] = [tagOf(request), digestOfText(body.digest)];
      await context.namespace.repository(name).tags.put(tag, to, tagCondition(context.request.headers));
      const found = await (await services.inventory()).tag(name, tag);
      if (!found) throw manifestUnknown(name, { tag });
      const change = { action: "push", object: "manifest", repository: name, digest: to, tags: [tag] } as const;
      return { body: shown(found), changes: [change] };
    },
  }),
];
