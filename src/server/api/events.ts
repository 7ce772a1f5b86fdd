/** The events of the registry, for programs that read them instead of being told. */
import { z } from "zod";
import { OciError } from "../../oci/error.ts";
import { operation } from "./operation.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;
/** Of the events of a page; one of any size is always in it. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

const number = z
  .string()
  .regex(/^\d{1,16}$/, "it must be a whole number")
  .transform(Number)
  .pipe(z.int());

const Events = z
  .object({
    events: z.array(z.object({ cursor: z.string(), event: z.record(z.string(), z.unknown()) })),
    next: z.string().meta({ description: "`after` of the next request; the same one when there are no more." }),
    missed: z.boolean().meta({ description: "Whether events behind the cursor were removed before they were read." }),
  })
  .meta({ id: "Events" });

export const eventOperations = [
  operation({
    id: "listEvents",
    resource: "events",
    method: "GET",
    summary: "Events behind a cursor, the oldest first",
    description: "Where the setting `events.keep` keeps them. The events are those of notifications.",
    query: z.strictObject({
      after: number.optional().meta({ description: "`next` of an earlier response; the oldest events when absent." }),
      limit: number
        .optional()
        .meta({ description: `Events of a page, up to ${MAX_PAGE}; ${DEFAULT_PAGE} when absent.` }),
    }),
    answer: Events,
    refusals: [404],
    run: async ({ context: { options }, query }) => {
      if (!options.events) throw new OciError("UNSUPPORTED", { status: 404, message: "unknown path" });
      const limit = Math.min(Math.max(query.limit ?? DEFAULT_PAGE, 1), MAX_PAGE);
      const { first, last } = await options.events.range();
      const after = query.after ?? Math.max(first - 1, 0);
      const events = await options.events.after(after, { limit, maxBytes: MAX_PAGE_BYTES });
      return {
        body: {
          events: events.map(({ seq, payload }) => ({
            cursor: `${seq}`,
            event: JSON.parse(payload) as Record<string, unknown>,
          })),
          next: `${events.at(-1)?.seq ?? Math.min(after, last)}`,
          missed: after + 1 < first || after > last,
        },
      };
    },
  }),
];
