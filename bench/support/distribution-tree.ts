/** Writes large trees as distribution (`registry:2`, `registry:3`) lays them out, for benchmarks. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digestOf } from "../../test/support/content.ts";
import { parseRepositoryName } from "../../src/oci/repository-name.ts";
import type { RepositoryName } from "../../src/oci/repository-name.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { tag } from "../../src/oci/tag.ts";
import {
  layerLinkPath,
  revisionLinkPath,
  tagIndexPath,
  tagLinkPath,
  treeBlobKey,
} from "../../src/storage/distribution-tree.ts";

/** Images of one repository. */
const IMAGES = 100;
/** Layers that the images of a repository share, besides one of their own. */
const SHARED = 4;

/** Each image has a config and five layers, of which its repository shares four, and a tag. */
export function writeDistributionTree(root: string, manifests: number): void {
  const write = (path: string, content: string): void => {
    mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    writeFileSync(`${root}/${path}`, content);
  };
  const blob = (repository: RepositoryName, mediaType: string, content: string) => {
    const digest = digestOf(content) as Digest;
    write(treeBlobKey(digest), content);
    write(layerLinkPath(repository, digest), digest);
    return { mediaType, digest, size: content.length };
  };
  for (let at = 0; at < manifests; at += IMAGES) {
    const repository = repositoryAt(at / IMAGES);
    const shared = Array.from({ length: SHARED }, (_, each) => blob(repository, OCI_LAYER, `layer ${each} of ${at}`));
    for (let image = at; image < Math.min(at + IMAGES, manifests); image++) {
      const config = blob(repository, OCI_CONFIG, JSON.stringify({ architecture: "amd64", os: "linux", image }));
      const layers = [...shared, blob(repository, OCI_LAYER, `layer of ${image}`)];
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }, undefined, 2);
      const digest = digestOf(manifest) as Digest;
      write(treeBlobKey(digest), manifest);
      write(revisionLinkPath(repository, digest), digest);
      write(tagIndexPath(repository, tag(`v${image - at}`), digest), digest);
      write(tagLinkPath(repository, tag(`v${image - at}`)), digest);
    }
  }
}

/** The name of a repository of such a tree. */
export function repositoryAt(at: number): RepositoryName {
  const name = parseRepositoryName(`team-${at % 20}/app-${at}`);
  if (!name) throw new Error("no name of a repository");
  return name;
}
