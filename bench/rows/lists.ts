/** Lists: tags, repositories, referrers. */
import { tagName } from "../contents.ts";
import type { Collection } from "../contents.ts";
import { get } from "../loads/wrk.ts";
import { CONNECTIONS, NOT_BY_STATIC_FILES, repositoryOf } from "./row.ts";
import type { Contents, LeftOut, LoadRow } from "./row.ts";

/** Distribution leaves out of the list of a page what comes before `last`, so that a page in the middle is asked for. */
const LISTS: readonly {
  readonly name: string;
  readonly needs: Collection;
  readonly leftOut?: LeftOut;
  readonly path: (contents: Contents) => string;
}[] = [
  { name: "tags, 100 of 1,000", needs: "thousand", path: () => "/v2/bench/thousand/tags/list?n=100" },
  { name: "tags, 100 of 100,000", needs: "many", path: () => "/v2/bench/many/tags/list?n=100" },
  {
    name: "tags, 100 from the middle of 100,000",
    needs: "many",
    path: () => `/v2/bench/many/tags/list?n=100&last=${tagName(50_000)}`,
  },
  { name: "tags, all of 1,000", needs: "thousand", path: () => "/v2/bench/thousand/tags/list" },
  {
    name: "catalog, 100 of 10,000",
    needs: "repositories",
    leftOut: { olareg: "has no catalog" },
    path: () => "/v2/_catalog?n=100",
  },
  ...[1, 5000].map((count) => ({
    name: `referrers, ${count.toLocaleString("en")}`,
    needs: "referrers" as const,
    leftOut: { distribution: "has no referrers" },
    path: (contents: Contents) => {
      const name = `bench/referred-${count}`;
      return `/v2/${name}/referrers/${repositoryOf(contents, name).manifests[0]!.digest}`;
    },
  })),
];

export const lists: readonly LoadRow[] = LISTS.map(({ name, needs, leftOut, path }) => ({
  kind: "load",
  name,
  needs: [needs],
  leftOut: { ...NOT_BY_STATIC_FILES, ...leftOut },
  load: ({ port }, contents, seconds) =>
    get({ port, targets: [{ path: path(contents) }], connections: CONNECTIONS, seconds }),
}));
