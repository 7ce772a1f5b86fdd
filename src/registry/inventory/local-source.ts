/** A repository of this registry as the source of a copy (`import/importer.ts`), which mounts blobs and transfers none. */
import { collect } from "../../lib/collect.ts";
import { parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { parseTag } from "../../oci/tag.ts";
import { SourceError } from "../import/image-source.ts";
import type { ImageSource } from "../import/image-source.ts";
import type { Manifest } from "../manifests.ts";
import type { Namespace } from "../namespace.ts";

export function localSource(namespace: Namespace, { withReferrers }: { readonly withReferrers: boolean }): ImageSource {
  const find = async (repository: string, reference: string): Promise<Manifest | undefined> => {
    const { manifests, tags } = namespace.repository(repositoryName(repository));
    const [digest, tag] = [parseDigest(reference), parseTag(reference)];
    if (digest !== undefined) return await manifests.find(digest);
    return tag === undefined ? undefined : await tags.find(tag);
  };
  return {
    async *tags(repository) {
      for await (const { name } of namespace.repository(repositoryName(repository)).tags.list()) yield name;
    },
    manifest: find,
    digestOf: async (repository, reference) => (await find(repository, reference))?.digest,
    async *blob(repository, digest): AsyncGenerator<Uint8Array> {
      const blob = await namespace.repository(repositoryName(repository)).blobs.find(digest);
      if (!blob) throw new SourceError(`${digest} is not there`);
      yield* blob.read();
    },
    async referrers(repository, subject): Promise<readonly Digest[]> {
      if (!withReferrers) return [];
      const { referrers } = namespace.repository(repositoryName(repository));
      return (await collect(referrers.list(subject))).map(({ digest }) => digest);
    },
  };
}
