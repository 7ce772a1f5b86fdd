/** Jobs in the metadata: what clients see is there at once, and the rows go in small steps. */
import { expect, test } from "bun:test";
import { tag } from "../../oci/tag.ts";
import { STEP_ROWS } from "../jobs.ts";
import { Metadata } from "../metadata.ts";
import { APP, OTHER, Subject, needs, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

/** Makes the steps of all jobs to their end, and returns the rows of each. */
export async function finishJobs({ store }: Subject): Promise<readonly number[]> {
  const steps: number[] = [];
  for (;;) {
    const [job] = await store.jobs.list({ limit: 1 });
    if (!job) return steps;
    const step = await store.jobs.step(job.id);
    if (step) steps.push(step.rows);
  }
}

/** Adds so many tags to a manifest of a repository, without what else a push does. */
export async function seedTags(subject: Subject, digest: string, count: number, prefix = "seeded-"): Promise<void> {
  const numbers = `with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < ${count})`;
  const [repo] = await subject.query("select id from repo where name = $1", APP);
  const id = Number(repo?.["id"]);
  await subject.change(
    `insert into tag (repo, name, digest, updated_at) ${numbers} select $1, $2 || i, $3, $4 from n`,
    id,
    prefix,
    digest,
    subject.clock.ms,
  );
  await subject.change(
    `insert into tag_history (repo, name, digest, since) ${numbers} select $1, $2 || i, $3, $4 from n`,
    id,
    prefix,
    digest,
    subject.clock.ms,
  );
}

function counted(bytes: number, tags: number, repositories: number) {
  return { bytes, tags, repositories, isCounted: true };
}

export function testJobs(open: OpenMetadata): void {
  test("a deleted repository is gone at once, and a push to its name begins another one, which the job leaves alone", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const layer = await subject.push("layer");
    const image = await subject.image("image", { blobs: [needs(layer)], tags: [tag("v1")] });
    const signature = await subject.image("signature", { subject: image });
    const upload = await subject.begin();
    const version = await subject.claim(upload);
    await seedTags(subject, image, 3 * STEP_ROWS);
    await subject.image("of another", { to: OTHER });

    expect(await store.repositories.delete(APP)).toBe(true);
    const expectGone = async (): Promise<void> => {
      expect(await store.repositories.list({ until: "~~", limit: 10 })).toEqual([{ name: OTHER, hasManifests: true }]);
      expect(await store.repositories.exists(APP)).toBe(false);
      expect(await store.manifests.find(APP, image)).toBeUndefined();
      expect(await store.manifests.findByTag(APP, tag("v1"))).toBeUndefined();
      expect(await store.tags.list(APP, { limit: 10 })).toEqual([]);
      expect(await store.manifests.referrers(APP, [signature])).toEqual([]);
      expect(await store.blobs.find(APP, layer.digest)).toBeUndefined();
      expect(await store.blobs.repositoriesWith(layer.digest, 10)).toEqual([]);
      expect(await store.uploads.find(APP, upload)).toBeUndefined();
      expect(await store.overview.read()).toMatchObject({ repositories: 1, tags: 0, manifests: 1 });
      expect((await store.repositories.usage({ limit: 10 })).map(({ name }) => name)).toEqual([OTHER]);
    };
    await expectGone();
    expect(await store.repositories.delete(APP)).toBe(false);
    // A writer that had claimed the upload has lost it: its blob would be in no repository.
    const finished = { id: upload, version, digest: textDigest("new"), size: 3 } as const;
    const location = { kind: "stored", storageKey: "blobs/new", mtimeMs: 1 } as const;
    expect(await store.uploads.finish({ ...finished, location })).toBe(false);
    expect(await store.jobs.list({ limit: 10 })).toMatchObject([{ kind: "delete repository", subject: APP, done: 0 }]);

    const [job] = await store.jobs.list({ limit: 1 });
    await store.jobs.step(job!.id);
    await expectGone();
    await subject.push("layer");
    expect(await subject.image("image", { blobs: [needs(layer)], tags: [tag("v1"), tag("seeded-7")] })).toBe(image);
    const steps = await finishJobs(subject);
    expect(Math.max(...steps)).toBeLessThanOrEqual(STEP_ROWS);
    expect(steps.length).toBeGreaterThan(6);
    expect((await store.tags.list(APP, { limit: 10 })).map(({ name }) => String(name))).toEqual(["seeded-7", "v1"]);
    expect(await store.manifests.find(APP, image)).toBeDefined();
    expect(await store.blobs.find(APP, layer.digest)).toMatchObject({ referenced: true });

    // Nothing is left of the first one.
    expect(await store.repositories.delete(APP)).toBe(true);
    await finishJobs(subject);
    await store.repositories.delete(OTHER);
    await finishJobs(subject);
    const rules = { leaseMs: 0, graceMs: 0, undoMs: 0, freshMs: 0, untagged: false };
    clock.ms += 1;
    await store.collection.collect(rules, undefined, { due: false, limit: 1000 });
    for (const table of ["repo", "tag", "tag_history", "manifest", "repo_blob", "blob", "upload", "gc_queue", "job"]) {
      expect({ table, rows: await subject.query(`select * from ${table}`) }).toEqual({ table, rows: [] });
    }
    expect(await subject.trash()).toEqual(expect.arrayContaining([layer.key, `uploads/${upload}`]));
  });

  test("quotas know at once that a repository was deleted, and stay exact while its rows go", async () => {
    await using subject = await Subject.open(open);
    const { engine, clock } = subject;
    const prefixes = ["*", "team", APP];
    const bounded = new Metadata(engine, clock, { quotas: prefixes.map((prefix) => ({ prefix, tags: 1000 })) });
    await bounded.quotas.count();
    const layer = await subject.push("layer");
    const image = await subject.image("image", { blobs: [needs(layer)], tags: [tag("v1")] });
    await seedTags(subject, image, 2 * STEP_ROWS);
    await subject.image("other", { to: OTHER, tags: [tag("v1")] });
    const usage = () => Promise.all(prefixes.map((prefix) => bounded.quotas.usage(prefix)));
    const other = counted(5, 1, 1);
    const none = counted(0, 0, 0);
    expect((await usage())[0]).toEqual(counted(15, 2 + 2 * STEP_ROWS, 2));
    await subject.store.repositories.delete(APP);
    expect(await usage()).toEqual([other, other, none]);
    for (
      let [job] = await subject.store.jobs.list({ limit: 1 });
      job;
      [job] = await subject.store.jobs.list({ limit: 1 })
    ) {
      await subject.store.jobs.step(job.id);
      expect(await usage()).toEqual([other, other, none]);
    }
    await subject.image("image", { tags: [tag("v1")] });
    expect(await usage()).toEqual([counted(10, 2, 2), counted(10, 2, 2), counted(5, 1, 1)]);
  });

  test("a long history of tags goes in steps when its repository is empty", async () => {
    await using subject = await Subject.open(open);
    const image = await subject.image("image", { tags: [tag("v1")] });
    await seedTags(subject, image, 3 * STEP_ROWS);
    await subject.change("delete from tag where name like 'seeded-%'");
    await subject.store.manifests.delete(APP, image);
    const rules = { leaseMs: 0, graceMs: 0, undoMs: 0, freshMs: 0, untagged: false };
    await subject.store.collection.collect(rules, undefined, { due: false, limit: 1000 });
    expect(await subject.query("select * from tag_history limit 1")).toHaveLength(1);
    expect((await finishJobs(subject)).length).toBeGreaterThan(3);
    for (const table of ["repo", "tag_history", "job"]) {
      expect({ table, rows: await subject.query(`select * from ${table}`) }).toEqual({ table, rows: [] });
    }
  });
}
