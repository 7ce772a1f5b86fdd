/** Settings of events: the endpoints that receive them, how long they are kept, and the audit table. */
import { z } from "./zod.ts";
import { parseUrl } from "../lib/parse-url.ts";
import { bytes, distributionDuration, duration } from "./values.ts";

const EXPECTED_NAME = 'expected a name of its own, such as "ci"';
const EXPECTED_URL = "expected the http:// or https:// address that events are sent to";
const EXPECTED_HEADERS = "expected names of headers with their values, such as {Authorization: [Bearer SECRET]}";

/** These frame a request. */
const OWN_HEADERS: ReadonlySet<string> = new Set(["connection", "content-length", "host", "transfer-encoding"]);

const headers = z
  .preprocess(
    (value) => value ?? {},
    z.record(
      z
        .string()
        .regex(/^[\w!#$%&'*+.^`|~-]+$/, EXPECTED_HEADERS)
        .refine((name) => !OWN_HEADERS.has(name.toLowerCase()), {
          error: `expected no header that frames a request: ${[...OWN_HEADERS].join(", ")}`,
        }),
      z
        .union([z.string(), z.array(z.string())], { error: EXPECTED_HEADERS })
        .transform((values) => [values].flat())
        .refine((values) => values.every((value) => /^[\t\x20-\x7e]*$/.test(value)), {
          error: "expected values of printable ASCII",
        }),
      { error: EXPECTED_HEADERS },
    ),
  )
  .prefault({});

/** distribution takes its default for 0, too. */
const orDefault =
  (value: number) =>
  (given: number): number =>
    given === 0 ? value : given;

const words = z.preprocess((value) => value ?? [], z.array(z.string().min(1))).default([]);

const action = z.enum(["pull", "push", "mount", "delete"], { error: "expected pull, push, mount or delete" });
const actions = z.preprocess((value) => value ?? [], z.array(action)).default([]);

const count = z.int("expected a whole number").min(0, "expected a number from 0 on");

const endpoint = z.strictObject({
  name: z.string({ error: EXPECTED_NAME }).regex(/^\P{Cc}{1,128}$/u, EXPECTED_NAME),
  disabled: z.boolean().default(false),
  url: z
    .string({ error: EXPECTED_URL })
    .refine((text) => /^https?:$/.test(parseUrl(text)?.protocol ?? ""), { error: EXPECTED_URL }),
  headers,
  timeout: distributionDuration.prefault("1s").transform(orDefault(1000)),
  threshold: count.default(10).transform(orDefault(10)),
  backoff: distributionDuration.prefault("1s").transform(orDefault(1000)),
  ignoredmediatypes: words,
  ignore: z.strictObject({ mediatypes: words, actions }).prefault({}),
  /** The rest is not in distribution. Tries after which an event becomes a dead letter; 0 for any number. */
  attempts: count.default(0),
  /** `tagged`: one event for each image that is pushed. */
  pushes: z.enum(["all", "tagged"], { error: "expected all, or tagged for one event per image" }).default("all"),
  heads: z.boolean().default(true),
  envelope: z
    .enum(["distribution", "cloudevents"], { error: "expected distribution or cloudevents" })
    .default("distribution"),
  /** The key of X-Registry-Signature. */
  secret: z.string().min(1, "expected a secret that the receiver knows").optional(),
});

export const notificationsSettings = z
  .strictObject({
    events: z.strictObject({ includereferences: z.boolean().default(false) }).prefault({}),
    endpoints: z
      .preprocess((value) => value ?? [], z.array(endpoint))
      .default([])
      .refine((endpoints) => new Set(endpoints.map(({ name }) => name)).size === endpoints.length, {
        error: "expected another name for each endpoint: it says how far the endpoint is",
      }),
  })
  .prefault({});

export type EndpointSettings = z.output<typeof endpoint>;

const atLeastOne = z.int("expected a whole number").min(1, "expected a number from 1 on");

export const eventsSettings = z
  .strictObject({
    /** For how long readers find them; 0: there are no readers. */
    keep: duration.prefault(0),
    /** Those that wait at the most, and their bytes. */
    rows: atLeastOne.default(1_000_000),
    bytes: bytes.pipe(z.number().min(1, "expected a number from 1 on")).prefault("512MiB"),
    /** Of each endpoint. */
    deadletters: atLeastOne.default(10_000),
  })
  .prefault({});

export const auditSettings = z
  .strictObject({
    /** Whether changes are kept in the database, besides the log. */
    enabled: z.boolean().default(false),
    age: duration.prefault("90d"),
    rows: atLeastOne.default(1_000_000),
  })
  .prefault({});
