/** Tags that stay where they are: what their images need is not deleted either. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { repositoryName } from "../../oci/repository-name.ts";
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
  immutableTagsOf: (name) => (name === OTHER ? [] : [FIXED]),
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

  test("a DELETE beside the first push of such a tag never removes it", async () => {
    await using subject = await open(LIMITS);
    const { payload } = imageOf(1);
    // The push comes after each count of turns of the microtask queue: some of them fall into the midst of the deletion.
    for (let turns = 0; turns < 8; turns++) {
      const repository = subject.namespace.repository(repositoryName(`team/race-${turns}`));
      await pushImage(repository, 1);
      const pushed = (async () => {
        for (let turn = 0; turn < turns; turn++) await undefined;
        await repository.manifests.put(payload, { tags: [FIXED] });
      })();
      const refused = await refusalOf(repository.tags.delete(FIXED));
      await pushed;
      expect(["MANIFEST_UNKNOWN 404", "DENIED 403"]).toContain(refused);
      expect(await repository.tags.exists(FIXED)).toBe(true);
    }
  });

  test("concurrent pushes of such a tag set it once", async () => {
    await using subject = await open(LIMITS);
    const repository = subject.namespace.repository(APP);
    const digests = [await pushImage(repository, 1), await pushImage(repository, 2), await pushImage(repository, 3)];
    const refusals = await Promise.all(digests.map((digest) => refusalOf(repository.tags.put(FIXED, digest))));
    expect(refusals.toSorted()).toEqual(["DENIED 403", "DENIED 403", "none"]);
    expect((await repository.tags.stat(FIXED))?.digest).toBe(digests[refusals.indexOf("none")]);
  });

  test("the refusal names the tag", async () => {
    await using subject = await open(LIMITS);
    const repository = subject.namespace.repository(APP);
    const { image } = await pushIndex(repository);
    const layer = digestOf(contentOf(1, 300));
    for (const attempt of [() => repository.manifests.delete(image), () => repository.blobs.delete(layer)]) {
      const refusal: unknown = await attempt().catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: "DENIED", message: expect.stringContaining("the tag v1 is immutable") });
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
