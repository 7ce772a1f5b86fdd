/** Settings of how much is allowed: reads in a time, unfinished uploads, and what may lie below a prefix. */
import { z } from "./zod.ts";
import { parseRepositoryName } from "../oci/repository-name.ts";
import { bytes } from "./values.ts";

const count = z.int("expected a whole number").min(0, "expected a number from 0 on");

export const limitsSettings = z
  .strictObject({
    reads: z
      .strictObject({
        /** What one user may read in a minute; 0: no limit. */
        perminute: count.default(0),
        /** What one address may read in a minute without logging in; 0: no limit. */
        anonymousperminute: count.default(0),
      })
      .prefault({}),
    /** How many unfinished uploads one user, robot or anonymous address may have; 0: no limit. */
    uploads: count.default(10_000),
    /** How many layers, blobs or manifests a manifest may list. */
    descriptors: z.int("expected a whole number").min(1, "expected a number from 1 on").default(10_000),
  })
  .prefault({});

const EXPECTED_PREFIX =
  'expected the name of a repository or the beginning of names, such as "team", or "*" for everything';

export const quotasSetting = z
  .array(
    z.strictObject({
      prefix: z
        .string({ error: EXPECTED_PREFIX })
        .refine((text) => text === "*" || parseRepositoryName(text) !== undefined, { error: EXPECTED_PREFIX }),
      bytes: bytes.optional(),
      tags: count.optional(),
      repositories: count.optional(),
    }),
  )
  .default([]);
