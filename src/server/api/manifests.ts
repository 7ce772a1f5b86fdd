/** Manifests, images and what refers to them in the API. */
import { z } from "zod";
import type { Descriptor } from "../../oci/descriptor.ts";
import { manifestUnknown } from "../../oci/unknown.ts";
import { MAX_ALIASES, MAX_USERS } from "../../registry/inventory/inventory.ts";
import type { ListedManifest } from "../../registry/inventory/inventory.ts";
import { platformText } from "../../registry/inventory/image-summary.ts";
import type { Child } from "../../registry/inventory/image-tree.ts";
import type { Referrer as ReferrerNode } from "../../registry/inventory/referrer-tree.ts";
import {
  Bytes,
  Count,
  DigestText,
  PAGE,
  Time,
  cursorOf,
  digestIn,
  operation,
  pageOf,
  positionIn,
  timeText,
} from "./operation.ts";

const Annotations = z.record(z.string(), z.string());

const Manifest = z
  .object({
    digest: DigestText,
    mediaType: z.string(),
    artifactType: z.string().nullable(),
    kind: z.enum(["image", "index", "artifact"]),
    platforms: z.array(z.string()),
    manifestBytes: Bytes.meta({ description: "Bytes of the manifest itself." }),
    bytes: Bytes.nullable().meta({ description: "What a pull of all of it takes; null when that is not known." }),
    subject: z.string().nullable().meta({ description: "The digest of the manifest that it refers to." }),
    pushedAt: Time,
    tagCount: Count,
  })
  .meta({ id: "Manifest" });

const Descriptor_ = z
  .object({
    digest: DigestText,
    mediaType: z.string(),
    size: Bytes,
    artifactType: z.string().nullable(),
    annotations: Annotations,
  })
  .meta({ id: "Descriptor" });

const Child_ = Descriptor_.extend({
  platform: z.string().nullable(),
  isHere: z.boolean().meta({ description: "Whether the repository has it: an index may be sparse." }),
  bytes: Bytes.nullable().meta({ description: "What a pull of it takes; null when that is not known." }),
}).meta({ id: "IndexEntry" });

const OneManifest = Manifest.extend({
  tags: z.array(z.string()).meta({ description: `The first ${MAX_ALIASES} tags that point at it.` }),
  annotations: Annotations,
  config: Descriptor_.nullable(),
  layers: z.array(Descriptor_).meta({ description: "Layers of an image, or files of an artifact." }),
  images: z
    .array(Child_.extend({ attestations: z.array(Child_) }))
    .meta({ description: "The entries of an index, attestations with their image." }),
  attestations: z.array(Child_).meta({ description: "Attestations of an index that are about none of its entries." }),
}).meta({ id: "ManifestDetails" });
export type ManifestDetails = z.infer<typeof OneManifest>;

const Image = z
  .object({
    configDigest: z.string().nullable(),
    config: z
      .object({
        architecture: z.string().optional(),
        os: z.string().optional(),
        variant: z.string().optional(),
        created: z.string().optional(),
        author: z.string().optional(),
        user: z.string().optional(),
        workingDir: z.string().optional(),
        entrypoint: z.array(z.string()).optional(),
        cmd: z.array(z.string()).optional(),
        env: z.array(z.string()).optional(),
        exposedPorts: z.array(z.string()).optional(),
        volumes: z.array(z.string()).optional(),
        labels: z.record(z.string(), z.string()).optional(),
        stopSignal: z.string().optional(),
      })
      .nullable()
      .meta({ description: "Null when it is not here, or cannot be read. What it does not say is absent." }),
    lines: z
      .array(
        z.object({
          command: z.string().nullable(),
          comment: z.string().nullable(),
          created: z.string().nullable(),
          layer: Descriptor_.extend({
            manifests: Count.nullable().meta({
              description: `Manifests of the registry that reference it, counted up to ${MAX_USERS}; null where the client may not pull from all repositories.`,
            }),
          }).nullable(),
        }),
      )
      .meta({ description: "The history with the layers that it made, the base first." }),
  })
  .meta({ id: "Image" });
export type Image = z.infer<typeof Image>;

const Referrer = Descriptor_.extend({
  get referrers() {
    return z.array(Referrer);
  },
}).meta({ id: "Referrer" });
export type Referrer = z.infer<typeof Referrer>;

const Referrers = z
  .object({
    referrers: z.array(Referrer),
    isComplete: z.boolean().meta({ description: "False when there are more, or deeper ones, than are shown." }),
  })
  .meta({ id: "ReferrerTree" });
export type ReferrerTree = z.infer<typeof Referrers>;

const Position = z.object({ pushedAt: z.int(), id: z.int() });

function shown(manifest: ListedManifest): z.infer<typeof Manifest> {
  const {
    digest,
    mediaType,
    artifactType = null,
    kind,
    platforms,
    size,
    bytes = null,
    subject = null,
    tags,
  } = manifest;
  return {
    digest,
    mediaType,
    artifactType,
    kind,
    platforms: [...platforms],
    manifestBytes: size,
    bytes,
    subject,
    pushedAt: timeText(manifest.pushedAt),
    tagCount: tags,
  };
}

function described({ digest, mediaType, size, artifactType, annotations }: Descriptor): z.infer<typeof Descriptor_> {
  return { digest, mediaType, size, artifactType: artifactType ?? null, annotations: { ...annotations } };
}

function childOf({ descriptor, isHere, bytes }: Child): z.infer<typeof Child_> {
  return {
    ...described(descriptor),
    platform: platformText(descriptor.platform) ?? null,
    isHere,
    bytes: bytes ?? null,
  };
}

function referrerOf({ descriptor, referrers }: ReferrerNode): z.infer<typeof Referrer> {
  return { ...described(descriptor), referrers: referrers.map(referrerOf) };
}

export const manifestOperations = [
  operation({
    id: "listManifests",
    resource: "manifests",
    method: "GET",
    summary: "Manifests of a repository, tagged or not, the last push first",
    query: z.strictObject({
      ...PAGE,
      show: z
        .enum(["all", "untagged", "artifacts"])
        .default("all")
        .meta({ description: "A page may have fewer items than `limit`, or none, while `next` leads to more." }),
    }),
    answer: pageOf(Manifest),
    run: async ({ services, name, query: { limit, cursor, show } }) => {
      const { items, more } = await (
        await services.inventory()
      ).manifests(name, { after: positionIn(cursor, Position), limit });
      const last = items.at(-1);
      const chosen = items.filter(({ tags, kind }) => {
        if (show === "untagged") return tags === 0;
        return show === "all" || kind === "artifact";
      });
      const next = more && last ? cursorOf({ pushedAt: last.pushedAt, id: last.id }) : null;
      return { body: { items: chosen.map(shown), next } };
    },
  }),
  operation({
    id: "getManifest",
    resource: "manifest",
    method: "GET",
    summary: "One manifest, with what it names",
    answer: OneManifest,
    refusals: [404],
    run: async (request) => {
      const { services, name } = request;
      const digest = digestIn(request);
      const tree = await (await services.inventory()).tree(name, digest);
      if (!tree) throw manifestUnknown(name, { digest });
      const { content } = tree;
      return {
        body: {
          ...shown(tree),
          tags: [...tree.tagNames],
          annotations: { ...content?.annotations },
          config: content?.config ? described(content.config) : null,
          layers: (content?.layers ?? []).map(described),
          images: tree.children.map((child) => ({
            ...childOf(child),
            attestations: child.attestations.map(childOf),
          })),
          attestations: tree.attestations.map(childOf),
        },
      };
    },
  }),
  operation({
    id: "getImage",
    resource: "image",
    method: "GET",
    summary: "The config of an image, and its layers with the commands that made them",
    answer: Image,
    refusals: [404],
    run: async (request) => {
      const { services, name, context } = request;
      const { listFilter, mayListSome } = context.authorization;
      const seesAll = mayListSome && listFilter === undefined;
      const digest = digestIn(request);
      const image = await (await services.inventory()).image(name, digest);
      if (!image) throw manifestUnknown(name, { digest });
      const { history: _, ...config } = image.config ?? { history: [] };
      return {
        body: {
          configDigest: image.configDigest ?? null,
          config: image.config ? copied(config) : null,
          lines: image.lines.map(({ command = null, comment = null, created = null, layer }) => ({
            command,
            comment,
            created,
            layer: layer ? { ...described(layer), manifests: seesAll ? (layer.users ?? null) : null } : null,
          })),
        },
      };
    },
  }),
  operation({
    id: "listReferrers",
    resource: "referrers",
    method: "GET",
    summary: "What refers to a manifest, and to that in turn: signatures, attestations, SBOMs",
    answer: Referrers,
    refusals: [404],
    run: async (request) => {
      const { services, name } = request;
      const digest = digestIn(request);
      const tree = await (await services.inventory()).referrers(name, digest);
      if (!tree) throw manifestUnknown(name, { digest });
      return { body: { referrers: tree.referrers.map(referrerOf), isComplete: tree.isComplete } };
    },
  }),
];

/** The same with lists that are not shared. */
function copied(config: object): NonNullable<z.infer<typeof Image>["config"]> {
  return structuredClone(config);
}
