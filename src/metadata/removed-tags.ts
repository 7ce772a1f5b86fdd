/**
 * Tags that are gone for clients because their manifest was deleted, while a job removes their rows. A tag that is put again
 * afterwards, also at the same manifest, remembers the newest of those jobs, and is none of them.
 */

/** Jobs that remove the tag `t`, because its manifest was deleted since it was put: it is gone for clients. */
export const REMOVING = `from job j where j.repo = t.repo and j.subject = t.digest and j.kind = 'remove tags' and j.id > t.last_job`;

/** Whether the tag `t` is there for clients. Whether there is any job is found out once for all tags of a statement. */
export const TAG_IS_LIVE = `(not exists (select 1 from job) or not exists (select 1 ${REMOVING}))`;

/** Jobs that remove the tag of the period `h`, which lasts until they do: it ended when they began. */
export const REMOVING_OF_PERIOD = `
  from tag t join job j on j.repo = t.repo and j.subject = t.digest and j.kind = 'remove tags' and j.id > t.last_job
  where t.repo = h.repo and t.name = h.name`;
