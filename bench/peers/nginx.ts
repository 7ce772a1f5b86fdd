/** nginx, which serves the same bytes as static files: about the limit of the machine. */
import { link, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OCI_MANIFEST } from "../../test/support/content.ts";
import type { Peer } from "./peer.ts";
import { systemProgram } from "./programs.ts";

export const nginx: Peer = {
  name: "nginx",
  version: () => {
    const { stderr } = Bun.spawnSync([systemProgram("nginx"), "-v"]);
    return /nginx\/(\S+)/.exec(stderr.toString())?.[1] ?? "unknown";
  },
  settings: "Debian's nginx.conf (sendfile, a worker per core), connections kept alive for ever; access log in a file",
  durability: "takes no pushes",

  async plant(folder, repositories) {
    const root = join(folder, "files/v2");
    await mkdir(root, { recursive: true });
    await writeFile(join(root, "index.json"), "{}");
    for (const { name, blobs, manifests, referrers } of repositories) {
      const repository = join(root, name);
      await mkdir(join(repository, "blobs"), { recursive: true });
      await mkdir(join(repository, "manifests"));
      for (const { digest, path } of blobs) await link(path, join(repository, "blobs", digest));
      for (const { digest, text, tags } of [...manifests, ...referrers]) {
        const file = join(repository, "manifests", digest);
        await writeFile(file, text);
        await Promise.all(tags.map((tag) => link(file, join(repository, "manifests", tag))));
      }
    }
  },

  async command(folder, port) {
    const file = join(folder, "nginx.conf");
    await writeFile(file, settings(folder, port));
    return { words: [systemProgram("nginx"), "-p", folder, "-e", join(folder, "error.log"), "-c", file] };
  },
};

/** Its workers would otherwise be a user who may not read temporary folders. */
const USER_ROOT = "user root;";

const settings = (folder: string, port: number): string => `
daemon off;
${process.getuid?.() === 0 ? USER_ROOT : ""}
worker_processes auto;
pid ${folder}/nginx.pid;
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  types { application/json json; }
  default_type application/octet-stream;
  access_log ${folder}/access.log;
  gzip on;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port};
    root ${folder}/files;
    index index.json;
    location ~ /manifests/ { default_type ${OCI_MANIFEST}; }
  }
}
`;
