/** Bun's own server with the same bytes: what the runtime takes when a registry adds nothing. */
import { join } from "node:path";
import { OCI_MANIFEST } from "../../test/support/content.ts";
import type { Served } from "./bun-server.ts";
import type { Peer } from "./peer.ts";

export const bun: Peer = {
  name: "bun",
  version: () => Bun.version,
  settings: "a server of one function: manifests from memory, blobs from files, no look-up in a database, no log",
  durability: "takes no pushes",

  async plant(folder, repositories) {
    const served: Served = Object.fromEntries(
      repositories.flatMap(({ name, blobs, manifests, referrers }) => [
        ...blobs.map(({ digest, path, size }) => [`/v2/${name}/blobs/${digest}`, { path, size }] as const),
        ...[...manifests, ...referrers].flatMap(({ digest, text, tags }) =>
          [digest, ...tags].map((reference) => {
            return [`/v2/${name}/manifests/${reference}`, { text, type: OCI_MANIFEST }] as const;
          }),
        ),
      ]),
    );
    await Bun.write(join(folder, "served.json"), JSON.stringify({ ...served, "/v2/": { text: "{}", type: "json" } }));
  },

  command: (folder, port) =>
    Promise.resolve({
      words: [process.execPath, join(import.meta.dir, "bun-server.ts"), join(folder, "served.json"), String(port)],
    }),
};
