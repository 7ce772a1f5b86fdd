/** Tags that stay where they are: what their images need is not deleted either. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { tag } from "../../oci/tag.ts";
import type { RegistryLimits } from "../backend.ts";
import type { Repository } from "../repository.ts";
import {
  APP,
  OCI_MANIFEST,
  OTHER,
  contentOf,
  descriptorOf,
  imageOf,
  indexOf,
  pull,
  pushImage,
  refusalOf,
} from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

const FIXED = tag("v1");

const LIMITS: Partial<RegistryLimits> = {
  fixedTagsOf: (name) => (name === APP ? (each) => each === FIXED : undefined),
};

/** An image, and an index over it that has the tag; gives both digests. */
async function pushIndex(repository: Repository): Promise<{ readonly image: Digest; readonly index: Digest }> {
  const image = await pushImage(repository, 1);
  const payload = indexOf([descriptorOf(imageOf(1).payload, OCI_MANIFEST)]);
  const { digest: index } = await repository.manifests.put(payload, { tags: [FIXED] });
  return { image, index };
}

export function testFixedTags(open: OpenContract): void {
  test("nothing that the image of such a tag needs is deleted: blobs, images below an index, and itself", async () => {
    await using subject = await open(LIMITS);
    const repository = subject.namespace.repository(APP);
    const { image, index } = await pushIndex(repository);
    const blobs = imageOf(1).blobs.map((content) => digestOf(content));
    for (const digest of blobs) expect(await refusalOf(repository.blobs.delete(digest))).toBe("DENIED 403");
    for (const digest of [image, index])
      expect(await refusalOf(repository.manifests.delete(digest))).toBe("DENIED 403");
    await subject.collectAll();
    expect(await pull(repository, digestOf(contentOf(1, 300)))).toEqual(contentOf(1, 300));
    expect((await repository.tags.stat(FIXED))?.digest).toBe(index);
    expect(await repository.manifests.exists(image)).toBe(true);
  });

  test("the refusal names the tag", async () => {
    await using subject = await open(LIMITS);
    const repository = subject.namespace.repository(APP);
    const { image } = await pushIndex(repository);
    const layer = digestOf(contentOf(1, 300));
    for (const attempt of [() => repository.manifests.delete(image), () => repository.blobs.delete(layer)]) {
      const refusal: unknown = await attempt().catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: "DENIED", message: expect.stringContaining("the tag v1 is protected") });
    }
  });

  test("in a repository without such tags all of it is deleted as ever", async () => {
    await using subject = await open(LIMITS);
    const repository = subject.namespace.repository(OTHER);
    const { image, index } = await pushIndex(repository);
    await repository.blobs.delete(digestOf(contentOf(1, 300)));
    for (const digest of [image, index]) await repository.manifests.delete(digest);
    expect(await repository.tags.exists(FIXED)).toBe(false);
  });
}
