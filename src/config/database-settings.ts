/** Settings of a database on a server. */
import { z } from "./zod.ts";
import { interval } from "./values.ts";

/** PostgreSQL's own limit is 100 by default, for all processes together. */
const MAX_CONNECTIONS = 1000;

const EXPECTED_URL = "expected an URL such as postgres://user@host:5432/database";
const EXPECTED_CONNECTIONS = `expected a number from 2 to ${MAX_CONNECTIONS}`;

export const databaseSettings = z
  .strictObject({
    /** The metadata is in the data folder, in SQLite, when absent. */
    url: z
      .string({ error: EXPECTED_URL })
      .regex(/^postgres(?:ql)?:\/\//, { error: EXPECTED_URL })
      .optional(),
    passwordfile: z.string().min(1).optional(),
    /** Of each process. */
    connections: z
      .int(EXPECTED_CONNECTIONS)
      .min(2, EXPECTED_CONNECTIONS)
      .max(MAX_CONNECTIONS, EXPECTED_CONNECTIONS)
      .default(10),
    /** How long a statement may take. */
    timeout: interval.prefault("20s"),
    /** False behind pgbouncer in transaction mode. */
    preparedstatements: z.boolean().default(true),
  })
  .prefault({});
