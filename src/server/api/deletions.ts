/** Deleting in the API: with a preview, and by one form of answer. */
import { z } from "zod";
import { digest } from "../../oci/digest.ts";
import { OciError } from "../../oci/error.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { manifestUnknown, repositoryUnknown } from "../../oci/unknown.ts";
import type { Deletion as DeletionReport, DeletionRequest } from "../../registry/inventory/deletions.ts";
import type { Change } from "../audit.ts";
import type { ApiRequest } from "./operation.ts";
import { Bytes, Count, DigestText, Time, digestIn, operation, optionalTime, tagOf } from "./operation.ts";

/** Tags and manifests of one request. */
const MOST = 1000;

const Deletion = z
  .object({
    dryRun: z.boolean(),
    tags: z.array(z.object({ name: z.string(), digest: DigestText })).meta({ description: "Tags that go." }),
    manifests: z
      .array(DigestText)
      .meta({ description: "Manifests that go at once. None of them can be brought back." }),
    stays: z
      .array(z.object({ what: z.string(), why: z.enum(["absent", "moved", "immutable", "tagged", "needed"]) }))
      .meta({ description: "What was named and stays, and why." }),
    referrers: z
      .array(DigestText)
      .meta({ description: "Signatures and other referrers without a tag, which garbage collection takes later." }),
    freedBytes: Bytes.meta({
      description: "What garbage collection frees by that; 0 where it keeps untagged manifests.",
    }),
    keptBytes: Bytes.meta({ description: "Bytes of blobs that stay, because other images need them." }),
    freedAt: Time.nullable().meta({ description: "When it may be freed at the earliest; null when nothing is." }),
    undo: z.object({
      isPossible: z.boolean().meta({ description: "Whether all that goes can be put back (PUT of the tags)." }),
      until: Time.nullable().meta({ description: "Null when there is no limit." }),
    }),
    isComplete: z.boolean().meta({ description: "False when the sums are of the first manifests and blobs alone." }),
    more: z.boolean().meta({
      description: `Whether more tags match: send the request again. It takes ${MOST} of them; false too when all of these stay.`,
    }),
  })
  .meta({ id: "Deletion" });
export type Deletion = z.infer<typeof Deletion>;

const DRY_RUN = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true")
  .meta({ description: "Only says what would go." });

const RepositoryDeletion = z
  .object({
    dryRun: z.boolean(),
    tags: Count,
    manifests: Count.meta({ description: "Counted up to 10,000." }),
    freedBytes: Bytes.meta({ description: "Bytes of blobs that no other repository shows." }),
    keptBytes: Bytes.meta({ description: "Bytes of blobs that other repositories show too." }),
    isComplete: z.boolean(),
  })
  .meta({ id: "RepositoryDeletion" });

async function answerDeletion(
  { context, services, name }: ApiRequest<unknown, unknown>,
  request: DeletionRequest,
  { dryRun, more = false }: { readonly dryRun: boolean; readonly more?: boolean },
): Promise<{
  readonly body: z.infer<typeof Deletion>;
  readonly changes: readonly Change[];
  readonly report: DeletionReport;
}> {
  const deletions = await services.deletions(name, context.cause);
  const report = await (dryRun ? deletions.preview(request) : deletions.run(request));
  const { tags, manifests, stays, referrers, freedBytes, keptBytes, freedAt, undoUntil, isComplete } = report;
  return {
    report,
    changes: dryRun ? [] : changesOf(name, report),
    body: {
      dryRun,
      tags: tags.map((each) => ({ ...each })),
      manifests: [...manifests],
      stays: stays.map((each) => ({ ...each })),
      referrers: [...referrers],
      freedBytes,
      keptBytes,
      freedAt: optionalTime(freedAt),
      undo: { isPossible: tags.length > 0 && manifests.length === 0, until: optionalTime(undoUntil) },
      isComplete,
      more: more && (dryRun || tags.length > 0),
    },
  };
}

function changesOf(repository: RepositoryName, { tags, manifests }: DeletionReport): readonly Change[] {
  return [
    ...tags.map(({ name }) => ({ action: "delete", object: "tag", repository, tags: [name] }) as const),
    ...manifests.map((each) => ({ action: "delete", object: "manifest", repository, digest: each }) as const),
  ];
}

const DeletionBody = z
  .strictObject({
    tags: z
      .array(z.strictObject({ name: z.string(), digest: z.string().optional() }))
      .max(MOST)
      .default([])
      .meta({ description: "Tags; one with a digest goes only while it still points there." }),
    matching: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .meta({ description: "Letters, or a pattern such as `1.*`, of tags that go, as `q` of the list of tags." }),
    digests: z.array(z.string()).max(100).default([]).meta({ description: "Manifests, which go with all their tags." }),
    manifests: z.boolean().default(false).meta({
      description:
        "Also deletes manifests that lose their last tag, and images of indexes that go; not what an index lists that stays, or what is pinned.",
    }),
    dryRun: z.boolean().default(false).meta({ description: "Only says what would go." }),
  })
  .meta({ id: "DeletionRequest" });

export const deletionOperations = [
  operation({
    id: "deleteContent",
    resource: "deletions",
    method: "POST",
    summary: "Delete tags and manifests of a repository, or say what would go",
    description:
      "Tags that are deleted without their manifests can be put back as long as their manifest is here: by PUT of the tag. A manifest that was deleted cannot.",
    body: DeletionBody,
    answer: Deletion,
    refusals: [404],
    run: async (request) => {
      const { context, services, name, body } = request;
      if (!(await context.namespace.repository(name).exists())) throw repositoryUnknown(name);
      const tags = body.tags.map((each) => ({
        name: tag(each.name),
        ...(each.digest !== undefined && { digest: digest(each.digest) }),
      }));
      const digests = body.digests.map((each) => digest(each));
      let more = false;
      if (body.matching !== undefined) {
        const query = {
          letters: body.matching,
          order: "version",
          limit: MOST - Math.min(tags.length, MOST - 1),
        } as const;
        const page = await (await services.inventory()).tags(name, query);
        more = page.last !== undefined;
        tags.push(...page.items.map((each) => ({ name: each.name, digest: each.digest })));
      }
      return await answerDeletion(
        request,
        { tags, digests, withManifests: body.manifests },
        { dryRun: body.dryRun, more },
      );
    },
  }),
  operation({
    id: "deleteTag",
    resource: "tag",
    method: "DELETE",
    summary: "Delete a tag, or say what would go; its manifest stays",
    query: z.strictObject({ dryRun: DRY_RUN }),
    answer: Deletion,
    refusals: [404],
    run: async (request) => {
      const name = tagOf(request);
      return await answerDeletionOf(name, { tags: [{ name }], digests: [] }, request);
    },
  }),
  operation({
    id: "deleteManifest",
    resource: "manifest",
    method: "DELETE",
    summary: "Delete a manifest with all its tags, or say what would go",
    query: z.strictObject({ dryRun: DRY_RUN }),
    answer: Deletion,
    refusals: [404],
    run: async (request) => {
      const named = digestIn(request);
      return await answerDeletionOf(named, { tags: [], digests: [named] }, request);
    },
  }),
  operation({
    id: "deleteRepository",
    resource: "repository",
    method: "DELETE",
    summary: "Delete a repository with all that is in it, or say what would go",
    description: "Unless one of its tags is immutable. It cannot be undone. A job removes the rows.",
    query: z.strictObject({ dryRun: DRY_RUN }),
    answer: RepositoryDeletion,
    refusals: [404],
    run: async ({ context, services, name, query: { dryRun } }) => {
      const inventory = await services.inventory();
      const found = await inventory.repository(name);
      if (!found || found.manifests + found.blobs + found.uploads === 0) throw repositoryUnknown(name);
      const { ownBytes, sharedBytes, isComplete } = await inventory.shares(name);
      const result = await services.deleteRepository(name, context.cause, { dryRun });
      if (result === false) throw repositoryUnknown(name);
      if (result !== true) {
        const message = `${name} cannot be deleted: its tag ${result.immutable} is immutable (protectedtags)`;
        throw new OciError("DENIED", { message });
      }
      const { tags, manifests } = found;
      return {
        body: { dryRun, tags, manifests, freedBytes: ownBytes, keptBytes: sharedBytes, isComplete },
        ...(!dryRun && { operation: `repo delete ${name}` }),
      };
    },
  }),
];

/** Deletes the one thing that a path names, or refuses because it stays. */
async function answerDeletionOf(
  what: string,
  named: Pick<DeletionRequest, "tags" | "digests">,
  request: ApiRequest<{ readonly dryRun: boolean }, unknown>,
): ReturnType<typeof answerDeletion> {
  const answer = await answerDeletion(request, { ...named, withManifests: false }, request.query);
  refuseStaying(request.name, answer.report, what);
  return answer;
}

/** Refuses a deletion of one thing that stays. */
function refuseStaying(name: RepositoryName, { stays, tags, manifests }: DeletionReport, what: string): void {
  const [stay] = stays;
  if (!stay || tags.length + manifests.length > 0) return;
  if (stay.why === "immutable") {
    const message = `${what.slice(0, 128)} cannot be deleted: an immutable tag (protectedtags) is, or needs it`;
    throw new OciError("DENIED", { message });
  }
  throw manifestUnknown(name, { reference: what });
}
