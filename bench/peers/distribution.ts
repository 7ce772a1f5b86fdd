/** The CNCF's registry, known as `registry:3`. */
import { link, mkdir, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { StoredManifest } from "../contents.ts";
import type { Peer } from "./peer.ts";
import { goPeer, versionOf } from "./programs.ts";

export const distribution: Peer = {
  name: "distribution",
  version: () => versionOf("distribution"),
  settings: "its example of a configuration (descriptor cache in memory) without passwords; access log in a file",
  durability: "the folder that a blob's file is moved into, and folders it makes, are not synced; files are",

  async plant(folder, repositories) {
    const root = join(folder, "docker/registry/v2");
    const dataOf = (digest: string): string => {
      const hex = digest.slice("sha256:".length);
      return join(root, "blobs/sha256", hex.slice(0, 2), hex, "data");
    };
    for (const { name, blobs, manifests, referrers } of repositories) {
      const repository = join(root, "repositories", name);
      for (const { digest, path } of blobs) {
        if (!existsSync(dataOf(digest))) {
          await mkdir(dirname(dataOf(digest)), { recursive: true });
          await link(path, dataOf(digest));
        }
        await point(join(repository, "_layers", digest.replace(":", "/")), digest);
      }
      for (const { digest, text, tags } of [...manifests, ...referrers] satisfies readonly StoredManifest[]) {
        await mkdir(dirname(dataOf(digest)), { recursive: true });
        await writeFile(dataOf(digest), text);
        await point(join(repository, "_manifests/revisions", digest.replace(":", "/")), digest);
        await Promise.all(tags.map((tag) => point(join(repository, "_manifests/tags", tag, "current"), digest)));
      }
    }
  },

  async command(folder, port) {
    const file = join(folder, "distribution.json");
    const settings = {
      version: 0.1,
      log: { fields: { service: "registry" } },
      storage: {
        cache: { blobdescriptor: "inmemory" },
        filesystem: { rootdirectory: folder },
        tag: { concurrencylimit: 8 },
      },
      http: { addr: `127.0.0.1:${port}`, headers: { "X-Content-Type-Options": ["nosniff"] } },
      health: { storagedriver: { enabled: true, interval: "10s", threshold: 3 } },
    };
    await writeFile(file, JSON.stringify(settings)); // which is YAML too
    return {
      words: [await goPeer("distribution"), "serve", file],
      // Nothing listens where it would send its traces.
      env: { OTEL_TRACES_EXPORTER: "none" },
    };
  },
};

/** A link, in its way: a file that holds a digest. */
async function point(folder: string, digest: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "link"), digest);
}
