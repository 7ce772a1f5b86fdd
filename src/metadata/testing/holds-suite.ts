/** What tags that stay hold in the metadata: their manifests, and all that these need. */
import { expect, test } from "bun:test";
import { tag } from "../../oci/tag.ts";
import { MOST_LOOKED_AT } from "../holds.ts";
import { seedTags } from "./jobs-suite.ts";
import { APP, OTHER, Subject, needs } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const FIXED = tag("v1");
const LATEST = tag("latest");

const IMMUTABLE = [FIXED];

export function testHolds(open: OpenMetadata): void {
  test("a tag that stays holds the blobs of its manifest, until it is gone", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest, size } = await subject.push("layer");
    await subject.image("another", { blobs: [needs({ digest, size })], tags: [LATEST] });
    await subject.image("image", { blobs: [needs({ digest, size })], tags: [FIXED] });
    expect(await store.blobs.unlink(APP, digest, IMMUTABLE)).toEqual({ immutable: FIXED });
    expect((await store.blobs.find(APP, digest))?.digest).toBe(digest);
    await store.tags.delete(APP, FIXED);
    expect(await store.blobs.unlink(APP, digest, IMMUTABLE)).toBe("done");
    expect(await store.blobs.unlink(APP, digest, IMMUTABLE)).toBe("absent");
  });

  test("through indexes it holds what lies below them, at any depth", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("layer");
    const chain = [await subject.image("image", { blobs: [needs(layer)], tags: [LATEST] })];
    for (let depth = 1; depth <= 4; depth++) {
      const children = [{ ...needs({ digest: chain.at(-1)!, size: 0 }), size: undefined }];
      chain.push(await subject.image(`index ${depth}`, { children, tags: depth === 4 ? [FIXED] : [] }));
    }
    expect(await store.blobs.unlink(APP, layer.digest, IMMUTABLE)).toEqual({ immutable: FIXED });
    for (const digest of chain)
      expect(await store.manifests.delete(APP, digest, IMMUTABLE)).toEqual({ immutable: FIXED });
    expect(await store.manifests.list(APP, { limit: 10 })).toHaveLength(5);
    expect(await store.manifests.delete(APP, chain.at(-1)!)).toBe("done");
    expect(await store.manifests.delete(APP, chain[0]!, IMMUTABLE)).toBe("done");
    expect(await store.blobs.unlink(APP, layer.digest, IMMUTABLE)).toBe("done");
  });

  test("it holds a layer that is a child of an index, as in a cache of builds", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("layer");
    await subject.image("cache", { children: [needs(layer)], tags: [FIXED] });
    expect(await subject.store.blobs.unlink(APP, layer.digest, IMMUTABLE)).toEqual({ immutable: FIXED });
  });

  test("it holds a damaged blob too, which may turn out to be good", async () => {
    await using subject = await Subject.open(open);
    const layer = await subject.push("layer");
    await subject.image("image", { blobs: [needs(layer)], tags: [FIXED] });
    await subject.store.blobs.markCorrupt(layer.digest, layer.key);
    expect(await subject.store.blobs.unlink(APP, layer.digest, IMMUTABLE)).toEqual({ immutable: FIXED });
  });

  test("what it needs and is not here is absent, and not held", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("layer");
    const image = await subject.image("image");
    const children = [needs({ digest: image, size: 5 })];
    await subject.image("index", { blobs: [needs(layer)], children, tags: [FIXED] });
    expect(await store.blobs.unlink(APP, layer.digest)).toBe("done");
    expect(await store.manifests.delete(APP, image)).toBe("done");
    expect(await store.blobs.unlink(APP, layer.digest, IMMUTABLE)).toBe("absent");
    expect(await store.manifests.delete(APP, image, IMMUTABLE)).toBe("absent");
  });

  test("it holds nothing in another repository, nothing above its manifest, and nothing that is beside it", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const layer = await subject.push("layer");
    await store.blobs.mount(OTHER, APP, layer.digest);
    const image = await subject.image("image", { blobs: [needs(layer)], tags: [FIXED] });
    const there = await subject.image("image", { to: OTHER, blobs: [needs(layer)], tags: [LATEST] });
    const index = await subject.image("index", { children: [needs({ digest: image, size: 5 })] });
    const beside = await subject.image("beside", { subject: image });
    const unneeded = await subject.push("unneeded");
    expect(await store.blobs.unlink(OTHER, layer.digest, IMMUTABLE)).toBe("done");
    expect(await store.manifests.delete(OTHER, there, IMMUTABLE)).toBe("done");
    for (const digest of [index, beside]) expect(await store.manifests.delete(APP, digest, IMMUTABLE)).toBe("done");
    expect(await store.blobs.unlink(APP, unneeded.digest, IMMUTABLE)).toBe("done");
  });

  test("indexes that lead to each other are walked up once", async () => {
    await using subject = await Subject.open(open);
    const below = await subject.image("below");
    const above = await subject.image("above", { children: [needs({ digest: below, size: 5 })] });
    // No client can make such digests.
    await subject.change(
      `
      insert into manifest_child (repo, parent, child)
      select m.repo, m.id, p.digest from manifest m, manifest p where m.digest = $1 and p.digest = $2`,
      below,
      above,
    );
    expect(await subject.store.manifests.delete(APP, below, IMMUTABLE)).toBe("done");
    await subject.store.tags.put(APP, FIXED, above);
    expect(await subject.store.manifests.delete(APP, above, IMMUTABLE)).toEqual({ immutable: FIXED });
  });

  test("it is found behind a thousand others, and not among those of a manifest that was deleted since", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const image = await subject.image("image", { tags: [FIXED] });
    await seedTags(subject, image, 1100);
    expect(await store.manifests.delete(APP, image, IMMUTABLE)).toEqual({ immutable: FIXED });
    expect(await store.manifests.delete(APP, image)).toBe("done");
    await subject.image("image", { tags: [LATEST] });
    expect(await store.manifests.delete(APP, image, IMMUTABLE)).toBe("done");
  });

  test("what more lead to than can be looked at stays", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const child = await subject.image("child");
    await subject.change(
      `with recursive n (i) as (select 1 union all select i + 1 from n where i < $1)
       insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload)
       select repo, unhex(value), media_type, size, pushed_at, touched_at, payload
       from manifest, (select '01' || (10000000 + i) || '00000000000000000000000000000000000000000000000000000000' as value from n) numbered`,
      MOST_LOOKED_AT,
    );
    await subject.change(
      "insert into manifest_child (repo, parent, child) select repo, id, $1 from manifest where digest <> $1",
      child,
    );
    expect(await store.manifests.delete(APP, child, IMMUTABLE)).toBe("unclear");
    expect((await store.manifests.find(APP, child))?.digest).toBe(child);
    await subject.change("delete from manifest where id = (select max(id) from manifest)");
    expect(await store.manifests.delete(APP, child, IMMUTABLE)).toBe("done");
  });
}
