/** Blobs: asked about, whole and in ranges; and the ping, which is less than any of them. */
import { BLOB_BYTES } from "../contents.ts";
import { head } from "../loads/head.ts";
import { get } from "../loads/wrk.ts";
import { Random } from "../../test/support/random.ts";
import { CONNECTIONS, repositoryOf } from "./row.ts";
import type { Contents, LoadRow } from "./row.ts";

const RANGE_BYTES = 64 * 1024;

function pathOf(contents: Contents, name: string, bytes: number): string {
  const blob = repositoryOf(contents, name).blobs.find(({ size }) => size === bytes);
  return `/v2/${name}/blobs/${blob!.digest}`;
}

export const blobs: readonly LoadRow[] = [
  {
    kind: "load",
    name: "ping",
    needs: [],
    load: ({ port }, _contents, seconds) =>
      get({ port, targets: [{ path: "/v2/" }], connections: CONNECTIONS, seconds }),
  },
  {
    kind: "load",
    name: "blob HEAD, 64 MiB",
    needs: ["blobs"],
    load: ({ port }, contents, seconds) =>
      head({ port, path: pathOf(contents, "bench/bytes", BLOB_BYTES.large), connections: CONNECTIONS, seconds }),
  },
  {
    kind: "load",
    name: "blob GET, 4 KiB",
    needs: ["blobs"],
    load: ({ port }, contents, seconds) => {
      const targets = [{ path: pathOf(contents, "bench/bytes", BLOB_BYTES.small) }];
      return get({ port, targets, connections: CONNECTIONS, seconds });
    },
  },
  {
    kind: "load",
    name: "blob GET, 1,000 ranges of 64 KiB",
    needs: ["blobs"],
    load: ({ port }, contents, seconds) => {
      const path = pathOf(contents, "bench/bytes", BLOB_BYTES.large);
      const random = new Random(1);
      const targets = Array.from({ length: 1000 }, () => {
        const first = random.between(0, BLOB_BYTES.large - RANGE_BYTES);
        return { path, range: `bytes=${first}-${first + RANGE_BYTES - 1}` };
      });
      return get({ port, targets, connections: CONNECTIONS, seconds });
    },
  },
  {
    kind: "load",
    name: "blob GET, 64 MiB, 4 at once",
    needs: ["blobs"],
    inBytes: true,
    load: ({ port }, contents, seconds) =>
      get({ port, targets: [{ path: pathOf(contents, "bench/bytes", BLOB_BYTES.large) }], connections: 4, seconds }),
  },
  {
    kind: "load",
    name: "blob GET, 1 GiB, 2 at once",
    needs: ["huge"],
    inBytes: true,
    load: ({ port }, contents, seconds) =>
      get({ port, targets: [{ path: pathOf(contents, "bench/huge", BLOB_BYTES.huge) }], connections: 2, seconds }),
  },
];
