/** More tags than a test has time to push. */
import { queryFolder } from "../../support/data-folder.ts";

/** Names of 128 characters, the longest that there are: lists of them are as large as they get. */
const NAME = `printf('v%0127d', i)`;

/** Points so many more tags at what `tag` points at, as pushes would have left them. */
export function addTags(dataDir: string, repository: string, tag: string, count: number): void {
  const from = `
    with recursive n(i) as (select 1 union all select i + 1 from n where i < $1)
    select t.repo, ${NAME}, t.manifest, t.since, t.updated_at
    from n, tag t join repo r on r.id = t.repo where r.name = $2 and t.name = $3`;
  queryFolder(dataDir, `insert into tag (repo, name, manifest, since, updated_at) ${from}`, count, repository, tag);
}
