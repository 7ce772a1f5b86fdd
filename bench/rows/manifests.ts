/** Manifests: by tag and by digest, where there are few tags and many. */
import { tagName } from "../contents.ts";
import type { Collection } from "../contents.ts";
import { Connection } from "../loads/connection.ts";
import { head } from "../loads/head.ts";
import { ACCEPT } from "../loads/load.ts";
import { besidePushes } from "../loads/paced-pushes.ts";
import { get } from "../loads/wrk.ts";
import type { GetTarget } from "../loads/wrk.ts";
import { CONNECTIONS, NOT_BY_STATIC_FILES, repositoryOf } from "./row.ts";
import type { Contents, LoadRow } from "./row.ts";

const PLACES: readonly { readonly collection: Collection; readonly name: string; readonly words: string }[] = [
  { collection: "one", name: "bench/one", words: "1 tag" },
  { collection: "thousand", name: "bench/thousand", words: "1,000 tags" },
  { collection: "many", name: "bench/many", words: "100,000 tags" },
];

/** The last tag by name, and the digest that it points at. */
function referencesOf(contents: Contents, name: string): { readonly tag: string; readonly digest: string } {
  const { manifests } = repositoryOf(contents, name);
  const { digest, tags } = manifests.at(-1)!;
  return { tag: tags.at(-1)!, digest };
}

const byPlace = PLACES.flatMap(({ collection, name, words }): LoadRow[] =>
  (["tag", "digest"] as const).flatMap((by): LoadRow[] => {
    const pathOf = (contents: Contents): string => `/v2/${name}/manifests/${referencesOf(contents, name)[by]}`;
    const common = { kind: "load", needs: [collection] } as const;
    return [
      {
        ...common,
        name: `manifest GET by ${by}, ${words}`,
        load: ({ port }, contents, seconds) =>
          get({ port, targets: [{ path: pathOf(contents) }], connections: CONNECTIONS, seconds }),
      },
      {
        ...common,
        name: `manifest HEAD by ${by}, ${words}`,
        load: ({ port }, contents, seconds) =>
          head({ port, path: pathOf(contents), connections: CONNECTIONS, seconds }),
      },
    ];
  }),
);

const OF_MANY = "manifest GET by tag, 1,000 repositories";

/** Small images, as many as a busy registry of a company takes. */
const PUSHES_PER_SECOND = 25;

/** Every tenth repository, asked for in turn. */
function targetsOfMany(contents: Contents): readonly GetTarget[] {
  return [...contents.values()]
    .filter((_repository, at) => at % 10 === 0)
    .map(({ name, manifests: [manifest] }) => ({ path: `/v2/${name}/manifests/${manifest!.tags[0]!}` }));
}

/** A step without a common factor goes through all of them, in an order that no cache expects. */
function pathsOfAllTags(): readonly string[] {
  return Array.from({ length: 100_000 }, (_, at) => `/v2/bench/many/manifests/${tagName((at * 61_803) % 100_000)}`);
}

export const manifests: readonly LoadRow[] = [
  ...byPlace,
  {
    kind: "load",
    name: "manifest GET by any of 100,000 tags",
    needs: ["many"],
    async warmUp({ port }) {
      const paths = pathsOfAllTags().values();
      const once = async (): Promise<void> => {
        using connection = await Connection.open(port);
        for (const path of paths) await connection.request(200, "GET", path, [], `Accept: ${ACCEPT}\r\n`);
      };
      await Promise.all(Array.from({ length: CONNECTIONS }, once));
    },
    load: ({ port }, _contents, seconds) =>
      get({ port, targets: pathsOfAllTags().map((path) => ({ path })), connections: CONNECTIONS, seconds }),
  },
  {
    kind: "load",
    name: OF_MANY,
    needs: ["repositories"],
    load: ({ port }, contents, seconds) =>
      get({ port, targets: targetsOfMany(contents), connections: CONNECTIONS, seconds }),
  },
  {
    kind: "load",
    name: `${OF_MANY}, beside ${PUSHES_PER_SECOND} pushes a second into others`,
    needs: ["repositories"],
    pushes: true,
    leftOut: NOT_BY_STATIC_FILES,
    load: ({ port }, contents, seconds) =>
      besidePushes({ port, perSecond: PUSHES_PER_SECOND, seconds }, () =>
        get({ port, targets: targetsOfMany(contents), connections: CONNECTIONS, seconds }),
      ),
  },
];
