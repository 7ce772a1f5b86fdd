/** A small registry in Go that keeps OCI layouts. */
import { link, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, OCI_INDEX, OCI_MANIFEST } from "../../test/support/content.ts";
import type { StoredReferrer, StoredRepository } from "../contents.ts";
import type { Peer } from "./peer.ts";
import { goPeer, versionOf } from "./programs.ts";

export const olareg: Peer = {
  name: "olareg",
  version: () => versionOf("olareg"),
  settings: "as it comes, in a folder; it writes no access log",
  durability: "nothing: it never syncs a file or a folder",

  async plant(folder, repositories) {
    for (const repository of repositories) await plantLayout(join(folder, repository.name), repository);
  },

  async command(folder, port) {
    return { words: [await goPeer("olareg"), "serve", "--addr", "127.0.0.1", "--port", String(port), "--dir", folder] };
  },
};

async function plantLayout(layout: string, { blobs, manifests, referrers }: StoredRepository): Promise<void> {
  const pathOf = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  await writeFile(join(layout, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`);
  for (const { digest, path } of blobs) await link(path, pathOf(digest));
  for (const { digest, text } of [...manifests, ...referrers]) await writeFile(pathOf(digest), text);

  const entries: object[] = manifests.flatMap(({ digest, text, tags }) =>
    tags.map((tag) => ({
      mediaType: OCI_MANIFEST,
      digest,
      size: text.length,
      annotations: { "org.opencontainers.image.ref.name": tag },
    })),
  );
  for (const [subject, about] of Map.groupBy(referrers, (referrer) => referrer.subject)) {
    const response = referrersIndex(about);
    const digest = digestOf(response);
    await writeFile(pathOf(digest), response);
    entries.push({
      mediaType: OCI_INDEX,
      digest,
      size: response.length,
      annotations: { "org.olareg.referrer.subject": subject },
    });
  }
  const index = {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: entries,
    annotations: { "org.olareg.referrer.convert": "true" },
  };
  await writeFile(join(layout, "index.json"), JSON.stringify(index));
}

function referrersIndex(referrers: readonly StoredReferrer[]): string {
  const manifests = referrers.map(({ digest, text, artifactType }) => ({
    mediaType: OCI_MANIFEST,
    digest,
    size: text.length,
    artifactType,
    annotations: (JSON.parse(text) as { readonly annotations: object }).annotations,
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
}
