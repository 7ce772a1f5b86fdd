/** Unfinished uploads in the API. */
import { z } from "zod";
import { uploadUnknown } from "../../oci/unknown.ts";
import { Bytes, PAGE, Time, cursorOf, operation, pageOf, positionIn, timeText } from "./operation.ts";

const Upload = z
  .object({
    id: z.string(),
    bytes: Bytes.meta({ description: "Bytes that were received." }),
    startedAt: Time,
    expiresAt: Time,
    client: z
      .string()
      .nullable()
      .meta({ description: "The user, robot or address that began it, where that is counted." }),
  })
  .meta({ id: "Upload" });

const Position = z.object({ id: z.string() });

export const uploadOperations = [
  operation({
    id: "listUploads",
    resource: "uploads",
    method: "GET",
    summary: "Unfinished uploads of a repository",
    query: z.strictObject(PAGE),
    answer: pageOf(Upload),
    run: async ({ services, name, query: { limit, cursor } }) => {
      const after = positionIn(cursor, Position)?.id ?? "";
      const { items, more } = await (await services.inventory()).uploads(name, after, limit);
      const last = items.at(-1);
      return {
        body: {
          items: items.map(({ id, received, startedAt, expiresAt, begunBy = null }) => ({
            id,
            bytes: received,
            startedAt: timeText(startedAt),
            expiresAt: timeText(expiresAt),
            client: begunBy,
          })),
          next: more && last ? cursorOf({ id: last.id }) : null,
        },
      };
    },
  }),
  operation({
    id: "cancelUpload",
    resource: "upload",
    method: "DELETE",
    summary: "Cancel an upload",
    answer: z.object({ id: z.string() }),
    refusals: [404, 409],
    run: async ({ context: { namespace }, name, parts }) => {
      const id = parts["id"] ?? "";
      const upload = /^[\w-]{1,128}$/.test(id) ? await namespace.repository(name).blobs.resume(id) : undefined;
      if (!upload) throw uploadUnknown(id.slice(0, 128));
      await upload.cancel();
      return { body: { id } };
    },
  }),
];
