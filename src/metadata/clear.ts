/** Removes everything that was pushed. */
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** In an order in which no row is removed that another one still refers to. */
const STATEMENTS = [
  `insert into trash (storage_key, after) select storage_key, 0 from blob where storage_key is not null`,
  `insert into trash (storage_key, after) select storage_key, 0 from upload where true on conflict (storage_key) do nothing`,
  `insert into trash (storage_key, after) select final_key, 0 from upload where final_key is not null
   on conflict (storage_key) do nothing`,
  `update trash set after = 0 where true`,
  `delete from tag where true`,
  `delete from tag_history where true`,
  `delete from manifest where true`,
  `delete from repo_blob where true`,
  `delete from blob where true`,
  `delete from upload where true`,
  `delete from gc_queue where true`,
  `delete from repo where true`,
] as const;

/**
 * Removes every repository, with its manifests, tags, blobs and unfinished uploads, and makes their bytes trash that is
 * due. Accounts, tokens and keys stay.
 */
export function* clear(): Transaction<void> {
  for (const statement of STATEMENTS) yield* rows(statement);
}
