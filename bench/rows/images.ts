/** The pull of a whole image, as a client does it. */
import { tagName } from "../contents.ts";
import { closedLoop } from "../loads/closed-loop.ts";
import { Connection } from "../loads/connection.ts";
import { ACCEPT } from "../loads/load.ts";
import { repositoryOf } from "./row.ts";
import type { LoadRow } from "./row.ts";

const IN_PARALLEL = 3;

const ACCEPT_LINE = `Accept: ${ACCEPT}\r\n`;

export const images: readonly LoadRow[] = [
  {
    kind: "load",
    name: "pull of an image with 8 layers, 3 in parallel",
    needs: ["layers"],
    inBytes: true,
    async load({ port }, contents, seconds) {
      const { name, blobs } = repositoryOf(contents, "bench/layers");
      const connections = await Promise.all(Array.from({ length: IN_PARALLEL }, () => Connection.open(port)));
      try {
        return await closedLoop([connections], seconds, async ([first]) => {
          const manifest = `/v2/${name}/manifests/${tagName(0)}`;
          await first!.request(200, "HEAD", manifest, [], ACCEPT_LINE);
          let { bodyBytes } = await first!.request(200, "GET", manifest, [], ACCEPT_LINE);
          const queue = blobs.values();
          await Promise.all(
            connections.map(async (connection) => {
              for (const { digest } of queue) {
                const reply = await connection.request(200, "GET", `/v2/${name}/blobs/${digest}`);
                bodyBytes += reply.bodyBytes;
              }
            }),
          );
          return bodyBytes;
        });
      } finally {
        for (const connection of connections) connection[Symbol.dispose]();
      }
    },
  },
];
