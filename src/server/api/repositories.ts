/** Repositories in the API. */
import { z } from "zod";
import { repositoryUnknown } from "../../oci/unknown.ts";
import { REPOSITORY_ORDERS, valueIn } from "../../registry/inventory/inventory.ts";
import type { RepositorySummary } from "../../registry/inventory/inventory.ts";
import {
  Action,
  Bytes,
  Count,
  PAGE,
  Time,
  cursorOf,
  operation,
  optionalTime,
  pageOf,
  positionIn,
  timeText,
} from "./operation.ts";

const Repository = z
  .object({
    name: z.string(),
    tags: Count,
    bytes: Bytes.meta({
      description: "Bytes of its manifests and of the blobs that it shows; what two repositories show counts in both.",
    }),
    createdAt: Time,
    pushedAt: Time.nullable().meta({ description: "When a manifest was last pushed." }),
  })
  .meta({ id: "Repository" });
export type Repository = z.infer<typeof Repository>;

const OneRepository = Repository.extend({
  manifests: Count.meta({ description: "Counted up to 10,000." }),
  blobs: Count.meta({ description: "Counted up to 10,000." }),
  uploads: Count.meta({ description: "Unfinished uploads, counted up to 10,000." }),
  permissions: z.array(Action).meta({ description: "What the client may do with it." }),
}).meta({ id: "RepositoryDetails" });
export type RepositoryDetails = z.infer<typeof OneRepository>;

const Shares = z
  .object({
    bytes: Bytes.meta({ description: "Of all blobs that the repository shows." }),
    ownBytes: Bytes.meta({ description: "Of blobs that no other repository shows." }),
    sharedBytes: Bytes,
    blobs: Count,
    isComplete: z.boolean().meta({ description: "False when there are more blobs than were looked at (200,000)." }),
  })
  .meta({ id: "RepositoryShares" });

const Position = z.object({ value: z.number(), name: z.string() });

function shown({ name, tags, bytes, createdAt, lastPush }: RepositorySummary): Repository {
  return { name, tags, bytes, createdAt: timeText(createdAt), pushedAt: optionalTime(lastPush) };
}

export const repositoryOperations = [
  operation({
    id: "listRepositories",
    resource: "repositories",
    method: "GET",
    summary: "Repositories that the client may pull from",
    description:
      "Those that have a manifest. A search, and every order but `name`, looks at the names of all repositories.",
    query: z.strictObject({
      ...PAGE,
      q: z.string().max(255).default("").meta({ description: "Letters that the names contain." }),
      sort: z.enum(REPOSITORY_ORDERS).default("name"),
    }),
    answer: pageOf(Repository),
    run: async ({ services, context: { authorization }, query: { limit, cursor, q, sort } }) => {
      const filter = authorization.listFilter;
      const { items, more } = await (
        await services.inventory()
      ).repositories({
        letters: q.toLowerCase(),
        order: sort,
        after: positionIn(cursor, Position),
        limit,
        ...(filter && { allows: (name) => filter.allows(name) }),
      });
      const last = items.at(-1);
      const next = more && last ? cursorOf({ value: valueIn(sort, last), name: last.name }) : null;
      return { body: { items: items.map(shown), next } };
    },
  }),
  operation({
    id: "getRepository",
    resource: "repository",
    method: "GET",
    summary: "One repository, with what is in it",
    answer: OneRepository,
    refusals: [404],
    run: async ({ services, context: { authorization }, name }) => {
      const found = await (await services.inventory()).repository(name);
      if (!found || found.manifests + found.blobs + found.uploads === 0) throw repositoryUnknown(name);
      const { manifests, blobs, uploads } = found;
      const permissions = Action.options.filter((action) => authorization.may(action, name));
      return { body: { ...shown(found), manifests, blobs, uploads, permissions } };
    },
  }),
  operation({
    id: "getRepositoryShares",
    resource: "shares",
    method: "GET",
    summary: "How many bytes of a repository are its own, and how many others show too",
    description: "Looks at all blobs of the repository.",
    answer: Shares,
    refusals: [404],
    run: async ({ services, name }) => {
      if (!(await (await services.inventory()).repository(name))) throw repositoryUnknown(name);
      return { body: await (await services.inventory()).shares(name) };
    },
  }),
];
