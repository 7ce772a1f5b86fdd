/** Jobs in the metadata: what clients see is there at once, and the rows go in small steps. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { tag } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";
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
  await subject.change(
    `insert into tag (repo, name, manifest, since, updated_at)
     ${numbers} select m.repo, $2 || i, m.id, $4, $4 from n, manifest m join repo r on r.id = m.repo
     where r.name = $1 and m.digest = $3`,
    APP,
    prefix,
    digest,
    subject.clock.ms,
  );
}

function counted(bytes: number, tags: number, repositories: number) {
  return { bytes, tags, repositories, isCounted: true };
}

const CONTENT = [
  "repo",
  "tag",
  "tag_count",
  "tag_history",
  "manifest",
  "former_subject",
  "repo_blob",
  "blob",
  "upload",
];

async function expectNoRows(subject: Subject): Promise<void> {
  for (const table of [...CONTENT, "job"]) {
    expect({ table, rows: await subject.query(`select * from ${table}`) }).toEqual({ table, rows: [] });
  }
}

interface Action {
  readonly act: "push" | "push all" | "untag" | "delete" | "step";
  readonly payload: string;
  readonly name: Tag;
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
    const location = { kind: "stored", storageKey: "blobs/new", fingerprint: "1" } as const;
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
    await expectNoRows(subject);
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

  test("the tags of a deleted manifest are gone at once, and their rows go in steps; what is pushed meanwhile stays", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const image = await subject.image("image", { tags: [tag("v1")] });
    const other = await subject.image("other", { tags: [tag("other")] });
    await seedTags(subject, image, 5 * STEP_ROWS);
    const began = clock.ms;
    const deleted = (clock.ms += 10);
    expect(await store.manifests.delete(APP, image)).toBe("done");
    const live = async (): Promise<readonly string[]> => {
      const page = await store.tags.list(APP, { limit: 10_000 });
      return page.filter(({ isLive }) => isLive).map(({ name }) => String(name));
    };
    const tags = async (): Promise<number | undefined> => (await store.repositories.usageOf(APP))?.tags;
    expect([await live(), await tags()]).toEqual([["other"], 1]);
    expect(await store.manifests.findByTag(APP, tag("seeded-3"))).toBeUndefined();
    expect(await store.tags.delete(APP, tag("seeded-3"))).toBe("absent");
    expect(await store.tags.put(APP, tag("seeded-4"), other, { condition: { kind: "exists" } })).toBe("condition");
    const period = { digest: image, since: began, until: deleted };
    expect(await store.tags.history(APP, tag("seeded-3"), 10)).toEqual([period]);

    clock.ms += 10;
    // The same manifest again, with a tag behind which the job has not come, and one of another manifest.
    expect(await subject.image("image", { tags: [tag("seeded-3")] })).toBe(image);
    expect(await store.tags.put(APP, tag("seeded-4"), other)).toBe("done");
    expect([await live(), await tags()]).toEqual([["other", "seeded-3", "seeded-4"], 3]);
    expect(await store.manifests.findByTag(APP, tag("seeded-5"))).toBeUndefined();
    const steps = await finishJobs(subject);
    expect(Math.max(...steps)).toBeLessThanOrEqual(STEP_ROWS);
    expect(steps.length).toBeGreaterThanOrEqual(5);
    expect([await live(), await tags()]).toEqual([["other", "seeded-3", "seeded-4"], 3]);
    const again = { since: clock.ms, until: undefined };
    expect(await store.tags.history(APP, tag("seeded-3"), 10)).toEqual([{ ...again, digest: image }, period]);
    expect(await store.tags.history(APP, tag("seeded-4"), 10)).toEqual([{ ...again, digest: other }, period]);
    expect(await store.tags.history(APP, tag("seeded-5"), 10)).toEqual([period]);
    expect(await subject.query("select count(*) as rows from tag")).toEqual([{ rows: 3 }]);
  });

  test("a repository may be deleted, and begun again, while tags of a manifest of it are removed", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const image = await subject.image("image", { tags: [tag("v1")] });
    await seedTags(subject, image, 3 * STEP_ROWS);
    await subject.image("referrer", { subject: image, tags: [tag("other")] });
    await store.manifests.delete(APP, image);
    const [removal] = await store.jobs.list({ limit: 1 });
    await store.jobs.step(removal!.id);
    expect(await store.repositories.delete(APP)).toBe(true);
    // As if the first job failed for as long as the second one takes: the id of the repository may be used again then.
    const [, deletion] = await store.jobs.list({ limit: 2 });
    for (let isLast = false; !isLast;) ({ isLast } = (await store.jobs.step(deletion!.id))!);
    const names = [tag("seeded-7"), tag("v1")];
    await subject.image("image", { tags: names });
    const listed = async (): Promise<readonly Tag[]> => {
      const page = await store.tags.list(APP, { limit: 10 });
      return page.filter(({ isLive }) => isLive).map(({ name }) => name);
    };
    expect(await listed()).toEqual(names);
    await finishJobs(subject);
    expect(await listed()).toEqual(names);
    expect((await store.repositories.usageOf(APP))?.tags).toBe(2);

    await store.repositories.delete(APP);
    await finishJobs(subject);
    const rules = { leaseMs: 0, graceMs: 0, undoMs: 0, freshMs: 0, untagged: false };
    clock.ms += 1;
    await store.collection.collect(rules, undefined, { due: false, limit: 1000 });
    await expectNoRows(subject);
  });

  test("any sequence of pushes, deletes and steps of jobs leaves what the same pushes and deletes leave in a map", async () => {
    const names = Array.from({ length: STEP_ROWS + 20 }, (_, at) => tag(`t${at}`));
    const payloads = ["one", "two"];
    const payload = fc.constantFrom(...payloads);
    const name = fc.constantFrom(...names.slice(0, 3), ...names.slice(-3));
    const acts = fc.constantFrom<Action["act"]>(
      "push",
      "push all",
      "untag",
      "delete",
      "delete",
      "step",
      "step",
      "step",
    );
    const action: fc.Arbitrary<Action> = fc.record({ act: acts, payload, name });
    const run = async (actions: readonly Action[]): Promise<void> => {
      await using subject = await Subject.open(open);
      const { store, clock } = subject;
      const model = new Map<string, string>();
      const past = new Map<string, { digest: string; since: number; until: number | undefined }[]>();
      const point = (at: string, digest: string | undefined): void => {
        if (model.get(at) === digest) return;
        const periods = past.get(at) ?? [];
        if (periods[0]?.until === undefined && periods[0]) periods[0].until = clock.ms;
        if (digest !== undefined) periods.unshift({ digest, since: clock.ms, until: undefined });
        past.set(at, periods);
        if (digest === undefined) model.delete(at);
        else model.set(at, digest);
      };
      const expectAlike = async (): Promise<void> => {
        const page = await store.tags.list(APP, { limit: 1000 });
        const listed = page.filter((each) => each.isLive).map((each): [string, string] => [each.name, each.digest]);
        expect(listed).toEqual([...model].toSorted(([a], [b]) => (a < b ? -1 : 1)));
        expect((await store.repositories.usageOf(APP))?.tags ?? 0).toBe(model.size);
        for (const each of [names[0]!, names.at(-1)!]) {
          expect<string | undefined>((await store.manifests.findByTag(APP, each))?.digest).toBe(model.get(each));
          expect<object>(await store.tags.history(APP, each, 100)).toEqual(past.get(each) ?? []);
        }
      };
      for (const { act, payload: content, name: at } of actions) {
        clock.ms += 10;
        const digest = textDigest(content);
        if (act === "push" || act === "push all") {
          const tags = act === "push" ? [at] : names;
          await subject.image(content, { tags });
          for (const each of tags) point(each, digest);
        } else if (act === "untag") {
          expect(await store.tags.delete(APP, at)).toBe(model.has(at) ? "done" : "absent");
          point(at, undefined);
        } else if (act === "delete") {
          await store.manifests.delete(APP, digest);
          for (const [each, target] of model) if (target === digest) point(each, undefined);
        } else {
          const jobs = await store.jobs.list({ limit: 10 });
          const job = jobs[clock.ms % Math.max(1, jobs.length)];
          if (job) await store.jobs.step(job.id);
        }
        await expectAlike();
      }
      await finishJobs(subject);
      await expectAlike();
      expect(await subject.query("select count(*) as rows from tag")).toEqual([{ rows: model.size }]);
      const counts = await subject.query(
        "select m.digest, c.tags from tag_count c join manifest m on m.id = c.manifest order by m.digest",
      );
      const byDigest = Map.groupBy(model.values(), (digest) => digest);
      expect(counts).toEqual(
        [...byDigest]
          .map(([digest, { length: tags }]) => ({ digest, tags }))
          .toSorted((a, b) => (a.digest < b.digest ? -1 : 1)),
      );
    };
    await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 12 }), run), { numRuns: 5 });
  }, 60_000);

  test("the referrers of a deleted subject are orphans at once, and enqueued in steps", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const image = await subject.image("image");
    const before = await subject.image("before", { subject: image });
    await subject.change(
      `with recursive n (i) as (select 1 union all select i + 1 from n where i < $1)
       insert into manifest (repo, digest, media_type, subject, size, pushed_at, touched_at, payload)
       select repo, unhex(value), media_type, subject, size, pushed_at, touched_at, payload
       from manifest, (select '01' || (10000000 + i) || '00000000000000000000000000000000000000000000000000000000' as value from n) numbered where digest = $2`,
      2 * STEP_ROWS,
      before,
    );
    const rules = { leaseMs: 0, graceMs: 0, undoMs: 1000, freshMs: 0, untagged: false };
    clock.ms += 1;
    await store.manifests.delete(APP, image);
    const after = await subject.image("after", { subject: image });
    expect((await finishJobs(subject)).length).toBeGreaterThan(1);
    const collect = async (): Promise<number> => {
      let taken = 0;
      for (;;) {
        const step = await store.collection.collect(rules, undefined, { due: false, limit: 1000 });
        if (step.taken.length === 0) return taken;
        taken += step.taken.length;
      }
    };
    clock.ms += 999;
    expect(await collect()).toBe(0); // they wait for the subject
    await subject.image("image");
    clock.ms += 10;
    expect(await collect()).toBe(0); // it came back
    await store.manifests.delete(APP, image);
    await finishJobs(subject);
    clock.ms += 1001;
    expect(await collect()).toBe(2 * STEP_ROWS + 2); // `after` too: its subject was there since
    for (const each of [before, after]) expect(await store.manifests.find(APP, each)).toBeUndefined();
    expect(await subject.query("select * from former_subject")).toEqual([]);
  });

  test("a referrer that is pushed after its subject was deleted stands for itself", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const image = await subject.image("image");
    await subject.image("before", { subject: image });
    clock.ms += 1;
    await store.manifests.delete(APP, image);
    const after = await subject.image("after", { subject: image });
    clock.ms += 10_000;
    const rules = { leaseMs: 0, graceMs: 0, undoMs: 1000, freshMs: 0, untagged: false };
    const { taken } = await store.collection.collect(rules, undefined, { due: false, limit: 1000 });
    expect(taken.map(({ digest }) => digest)).toEqual([textDigest("before")]);
    expect(await store.manifests.find(APP, after)).toBeDefined();
  });

  test("a long history of tags goes in steps when its repository is empty", async () => {
    await using subject = await Subject.open(open);
    const image = await subject.image("image", { tags: [tag("v1")] });
    await subject.change(
      `insert into tag_history (repo, name, digest, since, until)
       with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < $1)
       select m.repo, 'gone-' || i, m.digest, 1, 2 from n, manifest m`,
      3 * STEP_ROWS,
    );
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
