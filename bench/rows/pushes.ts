/** Pushes: small images by many writers, big blobs, and mounts. */
import { BLOB_BYTES } from "../contents.ts";
import { BigBodies, smallImages } from "../loads/bodies.ts";
import { closedLoop } from "../loads/closed-loop.ts";
import { Connection } from "../loads/connection.ts";
import type { Load } from "../loads/load.ts";
import { pushBlob, pushImage } from "../loads/pusher.ts";
import type { PushWay } from "../loads/pusher.ts";
import { NOT_BY_STATIC_FILES, repositoryOf } from "./row.ts";
import type { LoadRow } from "./row.ts";

/** More than any registry takes in a second. */
const MOST_IMAGES_PER_SECOND = 4000;

const small = [16, 64].flatMap((writers) =>
  ["own repositories", "one repository"].map((where): LoadRow => ({
    kind: "load",
    name: `push of small images, ${writers} writers, ${where}`,
    needs: [],
    pushes: true,
    leftOut: NOT_BY_STATIC_FILES,
    load({ port }, _contents, seconds) {
      const images = smallImages(Math.ceil(MOST_IMAGES_PER_SECOND * seconds)).values();
      const run = crypto.randomUUID();
      let number = 0;
      return withConnections(port, writers, seconds, async (connection, writer) => {
        const { value: image } = images.next();
        if (!image) return undefined;
        const repository = where === "one repository" ? "push/all" : `push/writer-${writer}`;
        await pushImage(connection, repository, `${run}-${number++}`, image);
        return image.layer.size + image.config.size + image.manifest.length;
      });
    },
  })),
);

const BIG: readonly { readonly words: string; readonly size: number; readonly writers: number }[] = [
  { words: "64 MiB, 2 at once", size: BLOB_BYTES.large, writers: 2 },
  { words: "1 GiB", size: BLOB_BYTES.huge, writers: 1 },
];

const WAYS: Readonly<Record<PushWay, string>> = { PUT: "by PUT", PATCH: "by one PATCH", chunks: "by chunks of 16 MiB" };

const big = BIG.flatMap(({ words, size, writers }) =>
  (["PUT", "PATCH", "chunks"] as const).map((way): LoadRow => ({
    kind: "load",
    name: `push of ${words}, ${WAYS[way]}`,
    needs: [],
    pushes: true,
    inBytes: true,
    leftOut: NOT_BY_STATIC_FILES,
    load({ port }, _contents, seconds) {
      const bodies = new BigBodies(size);
      return withConnections(port, writers, seconds, async (connection, writer) => {
        await pushBlob(connection, `push/writer-${writer}`, bodies.next(), way);
        return size;
      });
    },
  })),
);

const mount: LoadRow = {
  kind: "load",
  name: "mount",
  needs: ["one"],
  pushes: true,
  leftOut: NOT_BY_STATIC_FILES,
  load({ port }, contents, seconds) {
    const { name, blobs } = repositoryOf(contents, "bench/one");
    const query = `mount=${blobs[0]!.digest}&from=${name}`;
    const run = crypto.randomUUID();
    let number = 0;
    return withConnections(port, 16, seconds, async (connection) => {
      await connection.request(201, "POST", `/v2/mounted/${run}/${number++}/blobs/uploads/?${query}`);
      return 0;
    });
  },
};

export const pushes: readonly LoadRow[] = [...small, ...big, mount];

async function withConnections(
  port: number,
  count: number,
  seconds: number,
  operation: (connection: Connection, writer: number) => Promise<number | undefined>,
): Promise<Load> {
  const connections = await Promise.all(Array.from({ length: count }, () => Connection.open(port)));
  try {
    return await closedLoop(connections, seconds, operation);
  } finally {
    for (const connection of connections) connection[Symbol.dispose]();
  }
}
