/** Tags that go with a push by digest (distribution-spec, "Pushing Manifests", end-7b), and the older form of it. */
import { describe, expect, test } from "bun:test";
import { pushImage, putManifest } from "../support/client.ts";
import { digestOf, imageIndex, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectManifestCreated, expectManifestServed } from "./manifest-replies.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const index = (seed: string): string => imageIndex([], { annotations: { seed } });
const put = (target: RepositoryClient, reference: string, body: string): Promise<Response> =>
  putManifest(registry().url, target.name, reference, body, OCI_INDEX);
const query = (tags: readonly string[]): string => tags.map((tag) => `tag=${tag}`).join("&");

/** The tags that a reply names: one header for each or a list, it is the same. */
function tagsIn(reply: Response): readonly string[] {
  return (reply.headers.get("oci-tag") ?? "")
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
}

for (const algorithm of ["sha256", "sha512"] as const) {
  describe(`PUT by ${algorithm} digest with ?tag=`, () => {
    for (const count of [1, 2, 4, 10]) {
      test(`${count} of them: all are made and named in OCI-Tag`, async () => {
        // "SHOULD support pushing at least 10 tags per request."
        const target = repository(`tags-on-push/${algorithm}/${count}`);
        const body = index("several tags");
        const digest = digestOf(body, algorithm);
        const tags = Array.from({ length: count }, (_, at) => `1.${at}`);
        const reply = await put(target, `${digest}?${query(tags)}`, body);
        // "MUST include an OCI-Tag response header … for each accepted tag."
        expect(tagsIn(reply).toSorted()).toEqual(tags.toSorted());
        await expectManifestCreated(reply, target, digest, body, OCI_INDEX);
        // A tag has the digest that it was given, in its algorithm.
        for (const tag of tags) await expectManifestServed(target, tag, digest, body, OCI_INDEX);
        expect(await target.tags()).toEqual(tags.toSorted());
      });
    }

    test("moves tags that exist", async () => {
      const target = repository(`tags-on-push/${algorithm}/moves`);
      await put(target, "latest", index("before"));
      const body = index("after");
      const digest = digestOf(body, algorithm);
      await expectManifestCreated(
        await put(target, `${digest}?tag=latest&tag=new`, body),
        target,
        digest,
        body,
        OCI_INDEX,
      );
      for (const tag of ["latest", "new"]) await expectManifestServed(target, tag, digest, body, OCI_INDEX);
      const before = index("before");
      await expectManifestServed(target, digestOf(before), digestOf(before), before, OCI_INDEX);
    });

    test("tags a manifest that is there already", async () => {
      const target = repository(`tags-on-push/${algorithm}/retag`);
      const image = await pushImage(registry().url, target.name, undefined);
      const digest = digestOf(image.body, algorithm);
      for (const tag of ["one", "two"]) {
        const reply = await putManifest(registry().url, target.name, `${digest}?tag=${tag}`, image.body);
        expect(tagsIn(reply)).toEqual([tag]);
        await expectManifestServed(target, tag, digest, image.body, OCI_MANIFEST);
      }
    });

    test("takes encoded and repeated tags, and unknown parameters", async () => {
      const target = repository(`tags-on-push/${algorithm}/spelled`);
      const body = index("spelled");
      const digest = digestOf(body, algorithm);
      const reply = await put(target, `${digest}?tag=a&x=1&tag=a&tag=b%2D1&tag=%5F`, body);
      expect(new Set(tagsIn(reply))).toEqual(new Set(["a", "b-1", "_"]));
      expect(await target.tags()).toEqual(["_", "a", "b-1"]);
    });

    test("with one tag that cannot be: nothing is stored", async () => {
      const target = repository(`tags-on-push/${algorithm}/invalid`);
      await put(target, "before", index("before"));
      const body = index("invalid");
      const digest = digestOf(body, algorithm);
      for (const bad of ["", "-x", "a:b", "a%20b", "x".repeat(129), digest]) {
        await expectRefused(await put(target, `${digest}?tag=good&tag=${bad}&tag=fine`, body), 400, "TAG_INVALID");
      }
      expect(await target.tags()).toEqual(["before"]);
      expect((await target.head(`manifests/${digest}`)).status).toBe(404);
    });

    test("with bytes that have another digest: nothing is stored", async () => {
      const target = repository(`tags-on-push/${algorithm}/bad-digest`);
      await put(target, "before", index("before"));
      const digest = digestOf("something else", algorithm);
      await expectRefused(await put(target, `${digest}?tag=new`, index("bad digest")), 400, "DIGEST_INVALID");
      expect(await target.tags()).toEqual(["before"]);
    });

    test("with more tags than the registry takes: 414, and nothing is stored", async () => {
      const target = repository(`tags-on-push/${algorithm}/too-many`);
      await put(target, "before", index("before"));
      const body = index("too many");
      const tags = Array.from({ length: 1000 }, (_, at) => `t${at}`);
      const reply = await put(target, `${digestOf(body, algorithm)}?${query(tags)}`, body);
      expect(reply.status).toBe(414);
      expect(reply.headers.get("content-type")).toBe("application/json");
      expect(await target.tags()).toEqual(["before"]);
    });
  });

  describe(`PUT by tag with ?digest= (${algorithm})`, () => {
    // A draft of end-7b that regclient still sends.
    test("the tag has that digest", async () => {
      const target = repository(`digest-on-push/${algorithm}/good`);
      const body = index("digest on push");
      const digest = digestOf(body, algorithm);
      const reply = await put(target, `v1?digest=${digest}`, body);
      await expectManifestCreated(reply, target, digest, body, OCI_INDEX);
      await expectManifestServed(target, "v1", digest, body, OCI_INDEX);
    });

    test("bytes that have another are refused", async () => {
      const target = repository(`digest-on-push/${algorithm}/bad`);
      await put(target, "before", index("before"));
      for (const digest of [digestOf("something else", algorithm), `${algorithm}:zz`, `md5:${"a".repeat(32)}`]) {
        await expectRefused(await put(target, `v1?digest=${digest}`, index("bad")), 400, "DIGEST_INVALID");
      }
      expect(await target.tags()).toEqual(["before"]);
    });
  });
}

test("a push without ?tag= has no OCI-Tag", async () => {
  const target = repository("tags-on-push/none");
  for (const reference of [digestOf(index("none")), "v1"]) {
    const reply = await put(target, reference, index("none"));
    expect(reply.status).toBe(201);
    expect(reply.headers.get("oci-tag")).toBeNull();
  }
});

test("?tag= with a push by tag is refused, and nothing is stored", async () => {
  const target = repository("tags-on-push/by-tag");
  await put(target, "before", index("before"));
  for (const tags of ["tag=v2", "tag=v1", "tag=v2&tag=v3"]) {
    const reply = await put(target, `v1?${tags}`, index("by tag"));
    expect(reply.status).toBe(400);
    expect(reply.headers.get("content-type")).toBe("application/json");
  }
  expect(await target.tags()).toEqual(["before"]);
});

test("a tag may move between digests of two algorithms for the same bytes", async () => {
  const target = repository("tags-on-push/between-algorithms");
  const body = index("between algorithms");
  for (const algorithm of ["sha256", "sha512", "sha256"] as const) {
    const digest = digestOf(body, algorithm);
    expect((await put(target, `${digest}?tag=v1`, body)).status).toBe(201);
    await expectManifestServed(target, "v1", digest, body, OCI_INDEX);
  }
});
