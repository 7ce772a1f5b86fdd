/** Stowage itself, as this checkout has it. */
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { VERSION } from "../../src/version.ts";
import { OCI_MANIFEST } from "../../test/support/content.ts";
import { PROGRAM } from "../../test/support/registry.ts";
import type { StoredBlob, StoredManifest, StoredRepository } from "../contents.ts";
import type { Peer } from "./peer.ts";

/** Pushes that share their commits. */
const WRITERS = 64;

/** So many tags come with one push of a manifest. */
const TAGS_PER_PUSH = 100;

export const stowage: Peer = {
  name: "stowage",
  version: () => VERSION,
  settings: "as it comes; one log entry per request, in a file",
  durability: "everything: bytes, names, folders and the database are synced before the answer",

  async plant(folder, repositories) {
    await using registry = await createRegistry({ storage: { folder: join(folder, "data") } });
    const first = new Map<string, string>();
    for (const { name, blobs } of repositories) {
      for (const blob of blobs) {
        if (first.has(blob.digest)) continue;
        first.set(blob.digest, name);
        await pushBlob(registry, name, blob);
      }
    }
    await inTurns(repositories, async (repository) => {
      for (const { digest } of repository.blobs) {
        const from = first.get(digest);
        if (from !== repository.name) await mount(registry, repository.name, digest, from ?? "");
      }
      if (repository.manifests.length === 1) await pushManifests(registry, repository);
    });
    for (const repository of repositories)
      if (repository.manifests.length > 1) await pushManifests(registry, repository);
    for (const { name, referrers } of repositories) {
      await inTurns(referrers, (referrer) => pushManifest(registry, name, referrer.digest, referrer, []));
    }
  },

  command: (folder, port) =>
    Promise.resolve({
      words: [PROGRAM, "serve", "--addr", `127.0.0.1:${port}`, "--data", join(folder, "data")],
    }),
};

async function pushBlob(registry: Registry, name: string, { digest, path }: StoredBlob): Promise<void> {
  const body = Bun.file(path).stream();
  await expect(registry, 201, `/v2/${name}/blobs/uploads/?digest=${digest}`, { method: "POST", body });
}

async function mount(registry: Registry, name: string, digest: string, from: string): Promise<void> {
  await expect(registry, 201, `/v2/${name}/blobs/uploads/?mount=${digest}&from=${from}`, { method: "POST" });
}

async function pushManifests(registry: Registry, { name, manifests }: StoredRepository): Promise<void> {
  await inTurns(manifests, async (manifest) => {
    for (let at = 0; at < manifest.tags.length; at += TAGS_PER_PUSH) {
      const tags = manifest.tags.slice(at, at + TAGS_PER_PUSH);
      await pushManifest(registry, name, manifest.digest, manifest, tags);
    }
  });
}

async function pushManifest(
  registry: Registry,
  name: string,
  digest: string,
  { text }: StoredManifest,
  tags: readonly string[],
): Promise<void> {
  const query = tags.length === 0 ? "" : `?${tags.map((tag) => `tag=${tag}`).join("&")}`;
  await expect(registry, 201, `/v2/${name}/manifests/${digest}${query}`, {
    method: "PUT",
    headers: { "content-type": OCI_MANIFEST },
    body: text,
  });
}

async function expect(registry: Registry, status: number, path: string, init: RequestInit): Promise<void> {
  const reply = await registry.fetch(new Request(`http://registry${path}`, init));
  if (reply.status !== status) throw new Error(`${init.method} ${path}: ${reply.status} ${await reply.text()}`);
}

/** Does the work for every item, a number of them at a time. */
async function inTurns<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
