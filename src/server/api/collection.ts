/** Garbage collection and jobs in the API. */
import { z } from "zod";
import type { CollectionRun } from "../../registry/gc/collection-runs.ts";
import { Bytes, Count, DigestText, Time, operation, optionalTime, timeText } from "./operation.ts";

const Run = z
  .object({
    state: z.enum(["running", "done", "failed"]),
    startedAt: Time,
    endedAt: Time.nullable(),
    done: Count.nullable().meta({ description: "Entries that were looked at, or files that were unlinked, so far." }),
    report: z
      .object({ manifests: Count, links: Count, blobs: Count, bytes: Bytes, uploads: Count, files: Count })
      .nullable()
      .meta({ description: "What was removed; null until it is done." }),
  })
  .meta({ id: "CollectionRun" });

const Collection = z
  .object({
    waiting: z.object({
      entries: Count.meta({ description: "Manifests and blobs that may be unreferenced, counted up to 100,000." }),
      nextReviewAt: Time.nullable(),
      files: Count.meta({ description: "Files that wait for deletion, counted up to 100,000." }),
      nextUnlinkAt: Time.nullable(),
      isHeldByBackup: z.boolean(),
    }),
    run: Run.nullable().meta({
      description:
        "The last collection that the API started in the process that answers: each of several workers or servers knows its own.",
    }),
  })
  .meta({ id: "Collection" });

const Preview = z
  .object({
    items: z.array(
      z.object({
        kind: z.enum(["manifest", "link", "blob"]),
        repository: z.string().nullable(),
        digest: DigestText,
        bytes: Bytes,
      }),
    ),
    bytes: Bytes.meta({ description: "Of the blobs and manifests among them." }),
    isComplete: z.boolean(),
  })
  .meta({ id: "CollectionPreview" });

const Job = z
  .object({
    id: z.int(),
    kind: z.string(),
    subject: z.string(),
    rowsDone: Count,
    startedAt: Time,
  })
  .meta({ id: "Job" });

function shown({ state, startedAt, endedAt, progress, report }: CollectionRun): z.infer<typeof Run> {
  return {
    state,
    startedAt: timeText(startedAt),
    endedAt: optionalTime(endedAt),
    done: progress?.done ?? null,
    report: report ? { ...report } : null,
  };
}

/** Items of a preview. */
const MOST = 1000;

/** Jobs of a list. */
const MOST_JOBS = 1000;

export const collectionOperations = [
  operation({
    id: "getCollection",
    resource: "collection",
    method: "GET",
    summary: "What waits for garbage collection, and until when",
    answer: Collection,
    run: async ({ services }) => {
      const { entries, nextReviewAt, files, nextUnlinkAt, isHeldByBackup } = await services.maintenance.backlog();
      const { last } = services.collections;
      return {
        body: {
          waiting: {
            entries,
            nextReviewAt: optionalTime(nextReviewAt),
            files,
            nextUnlinkAt: optionalTime(nextUnlinkAt),
            isHeldByBackup,
          },
          run: last ? shown(last) : null,
        },
      };
    },
  }),
  operation({
    id: "previewCollection",
    resource: "collectionPreview",
    method: "GET",
    summary: `What a garbage collection would take now, the first ${MOST}`,
    description: "What a manifest that goes has held is not in it: that goes later.",
    answer: Preview,
    run: async ({ services }) => {
      const items: z.infer<typeof Preview>["items"] = [];
      let bytes = 0;
      for await (const { kind, repository = null, digest, size } of services.maintenance.collectable()) {
        if (items.length === MOST) return { body: { items, bytes, isComplete: false } };
        items.push({ kind, repository, digest, bytes: size });
        if (kind !== "link") bytes += size;
      }
      return { body: { items, bytes, isComplete: true } };
    },
  }),
  operation({
    id: "runCollection",
    resource: "collection",
    method: "POST",
    summary: "Start a garbage collection, unless one that was started so is running",
    description: "It goes on when the request is over: `GET` says how far it is.",
    answer: Run,
    run: ({ services }) => {
      const { run, isNew } = services.collections.start();
      return { body: shown(run), ...(isNew && { operation: "gc" }) };
    },
  }),
  operation({
    id: "listJobs",
    resource: "jobs",
    method: "GET",
    summary: "Jobs that are not done, the oldest first",
    answer: z.object({ items: z.array(Job) }),
    run: async ({ services }) => {
      const items: z.infer<typeof Job>[] = [];
      for await (const { id, kind, subject, done, begunAt } of services.maintenance.jobs()) {
        items.push({ id, kind, subject, rowsDone: done, startedAt: timeText(begunAt) });
        if (items.length === MOST_JOBS) break;
      }
      return { body: { items } };
    },
  }),
];
