/**
 * Tags that are gone for clients because their manifest was deleted, while a job removes their rows: the id of a deleted manifest
 * is never used again, so they point at nothing.
 */

/** Whether the tag `t` is there for clients. Whether there is any job is found out once for all tags of a statement. */
export const TAG_IS_LIVE = `(not exists (select 1 from job) or exists (select 1 from manifest x where x.id = t.manifest))`;
