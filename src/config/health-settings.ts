/** Settings of health checks besides those of database and storage, which are always made. */
import { z } from "./zod.ts";
import { parseUrl } from "../lib/parse-url.ts";
import { distributionDuration } from "./values.ts";

const FILE = "expected the path of a file";
const URI = "expected an http:// or https:// address";
const ADDRESS = 'expected host:port such as "127.0.0.1:6379"';
const THRESHOLD = "expected a number of failures from 1 on";
const STATUS = "expected a status of HTTP such as 200";

/** More than that are made for other purposes. */
const MAX_CHECKS = 32;

const interval = distributionDuration
  .pipe(z.number().min(1000, "expected at least 1s").max(86_400_000, "expected at most 24h"))
  .prefault("10s");

const timeout = distributionDuration
  .pipe(z.number().min(1, "expected more than 0").max(60_000, "expected at most 60s"))
  .prefault("5s");

/** distribution takes 0 for one failure. */
const threshold = z
  .int(THRESHOLD)
  .min(0, THRESHOLD)
  .default(1)
  .transform((failures) => Math.max(1, failures));

const fileCheck = z.strictObject({ file: z.string({ error: FILE }).min(1, FILE), interval, threshold });

const headers = z.record(
  z.string(),
  z.union([z.string(), z.array(z.string())]).transform((values) => [values].flat()),
);

const httpCheck = z.strictObject({
  uri: z.string({ error: URI }).refine((text) => /^https?:$/.test(parseUrl(text)?.protocol ?? ""), URI),
  headers: headers.default({}),
  statuscode: z.int(STATUS).min(100, STATUS).max(599, STATUS).default(200),
  timeout,
  interval,
  threshold,
});

const tcpCheck = z.strictObject({
  addr: z.string({ error: ADDRESS }).regex(/^(?:\[[0-9a-fA-F:.]+\]|[^[\]:\s]+):\d{1,5}$/, ADDRESS),
  timeout,
  interval,
  threshold,
});

export const healthSettings = z
  .strictObject({
    file: z.array(fileCheck).max(MAX_CHECKS).default([]),
    http: z.array(httpCheck).max(MAX_CHECKS).default([]),
    tcp: z.array(tcpCheck).max(MAX_CHECKS).default([]),
  })
  .prefault({});

export type HealthSettings = z.output<typeof healthSettings>;
