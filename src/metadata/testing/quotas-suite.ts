/** Quotas of the metadata: what fits, what does not, and that every change is counted. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import * as fc from "fast-check";
import { repositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { DEFAULT_RULES } from "../database.ts";
import type { NewUpload } from "../uploads.ts";
import { countNext } from "../quota-counting.ts";
import { within } from "../quotas.ts";
import type { Addition, QuotaProblem } from "../quotas.ts";
import type { Transaction } from "../sql.ts";
import type { PutSignaturesResult } from "../signatures.ts";
import type { Quota } from "../database.ts";
import { Metadata } from "../metadata.ts";
import { APP, HOLDER, OTHER, Subject, inline, newManifest, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const ELSEWHERE = repositoryName("elsewhere/app");
const NEIGHBOUR = repositoryName("team-b/app"); // not below `team`

const PREFIXES = ["*", "team", "team/app", "none"];

export function testQuotas(open: OpenMetadata, { isSqlite }: { readonly isSqlite: boolean }): void {
  test("an upload that cannot fit is refused when it begins, and one elsewhere is not", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    await begin(store, APP, 10);
    expect(await create(store, APP, 11)).toMatchObject({
      kind: "quota",
      prefix: "team",
      what: "bytes",
      used: 0,
      limit: 10,
    });
    await begin(store, NEIGHBOUR, 11);
    await subject.push("0123456789", { to: OTHER });
    expect(await create(store, APP)).toMatchObject({
      kind: "quota",
      prefix: "team",
      what: "bytes",
      used: 10,
      limit: 10,
    });
    await begin(store, ELSEWHERE);
  });

  test("an upload that has begun is recorded and finished only with the bytes that fit", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    const [one, two] = [await begin(store, APP), await begin(store, APP)];
    const received = (id: string, version: number, bytes: number): Promise<number | undefined | QuotaProblem> =>
      store.uploads.save({
        id,
        version,
        received: bytes,
        digestSoFar: undefined,
        staged: new Uint8Array(bytes),
        expiresAt: 1,
      });
    const version = Number(await received(one, 1, 6));
    expect(await received(two, 1, 5)).toMatchObject({ kind: "quota", used: 6, limit: 10 });
    expect(await store.uploads.find(APP, two)).toMatchObject({ received: 0, version: 1 });
    const end = { location: inline("12345"), size: 5, digest: textDigest("12345") };
    expect(await store.uploads.finish({ id: two, version: 1, ...end })).toMatchObject({ kind: "quota" });
    expect(await store.uploads.find(APP, two)).toMatchObject({ received: 0, version: 1 });
    // Its bytes are counted already.
    expect(
      await store.uploads.finish({
        id: one,
        version,
        location: inline("123456"),
        size: 6,
        digest: textDigest("123456"),
      }),
    ).toBe(true);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 6 });
    // What is here already adds nothing.
    expect(
      await store.uploads.finish({
        id: two,
        version: 1,
        location: inline("123456"),
        size: 6,
        digest: textDigest("123456"),
      }),
    ).toBe(true);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 6 });
  });

  test("bytes are reserved for an upload as far as they fit, and are free again when it is recorded or released", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 100 }, { prefix: "*", bytes: 1000 });
    const [one, two] = [await begin(store, APP), await begin(store, OTHER)];
    const [versionOne, versionTwo] = [await subject.claim(one), await subject.claim(two)];
    expect(await store.uploads.reserve(one, versionOne, 10, 80)).toBe(80);
    expect(await store.uploads.reserve(two, versionTwo, 10, 80)).toBe(20);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 100 });
    expect(await store.uploads.reserve(two, versionTwo, 21, 80)).toMatchObject({ kind: "quota" });
    expect(await store.uploads.reserve(one, versionOne - 1, 1, 1)).toBeUndefined();
    expect(await store.uploads.reserve("nobody's", 1, 1, 1)).toBeUndefined();
    const progress = { received: 30, digestSoFar: undefined, staged: undefined, expiresAt: subject.clock.ms + 1000 };
    await store.uploads.save({ id: one, version: versionOne, ...progress });
    expect(await usage(subject, "team")).toMatchObject({ bytes: 50 });
    expect(await store.uploads.reserve(two, versionTwo, 21, 80)).toBe(70);
    await store.uploads.release(two, HOLDER);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 30 });
    await store.uploads.cancel(APP, one);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 0 });
    const elsewhere = await begin(store, ELSEWHERE);
    expect(await store.uploads.reserve(elsewhere, 1, 10, 2000)).toBe(1000);
    expect(await subject.store.uploads.reserve(elsewhere, 1, 10, 2000)).toBe(Infinity);
  });

  test("what a writer that died had reserved is free when the next one claims the upload", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 100 });
    const id = await begin(store, APP);
    const version = await subject.claim(id);
    await store.uploads.reserve(id, version, 10, 80);
    await subject.claim(id, { version, holder: "another", gone: HOLDER });
    expect(await usage(subject, "team")).toMatchObject({ bytes: 0 });
  });

  test("a request is refused before it brings more bytes than fit", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    const id = await begin(store, APP);
    expect(await store.uploads.findProblem(id, 10)).toBeUndefined();
    expect(await store.uploads.findProblem(id, 11)).toMatchObject({ kind: "quota" });
    expect(await store.uploads.findProblem(await begin(store, ELSEWHERE), 11)).toBeUndefined();
    expect(await store.uploads.findProblem("nobody's", 11)).toBeUndefined();
    expect(await subject.store.uploads.findProblem(id, 11)).toBeUndefined();
  });

  test("a signature is put only where its bytes fit, and again where it is already", async () => {
    await using subject = await Subject.open(open);
    const manifest = await subject.image("image");
    const { bytes } = await usage(subject, "*");
    const store = withQuotas(subject, { prefix: "*", bytes: bytes + 5 });
    const put = (name: string): Promise<PutSignaturesResult | QuotaProblem> =>
      store.signatures.put(APP, manifest, [{ name, content: new Uint8Array(5) }], { maxBytes: 100, taken: "skip" });
    expect(await put("one")).toBe("done");
    expect(await put("two")).toMatchObject({ kind: "quota" });
    expect(await put("one")).toBe("done");
  });

  test("one client has so many unfinished uploads at most, whatever others have", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const by = (client: string, repository = APP): Promise<string> =>
      begin(store, repository, undefined, { client, atMost: 2 });
    const [first] = [await by("alice"), await by("alice", OTHER)];
    const alice = { client: "alice", atMost: 2 };
    expect(await create(store, ELSEWHERE, undefined, alice)).toBe("too many");
    expect(await store.repositories.exists(ELSEWHERE)).toBe(false);
    await by("10.0.0.1", ELSEWHERE);
    await begin(store, ELSEWHERE);
    await store.uploads.cancel(APP, first);
    await by("alice", ELSEWHERE);
    expect(await create(store, APP, undefined, alice)).toBe("too many");
  });

  test("a blob is mounted only where its bytes fit, and again where it is already", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team/app", bytes: 15 });
    const { digest: small } = await subject.push("0123456789", { to: ELSEWHERE });
    const { digest: large } = await subject.push("0123456789abcdef", { to: ELSEWHERE });
    expect(await store.blobs.mount(APP, ELSEWHERE, small)).toBeTrue();
    expect(await store.blobs.mount(APP, ELSEWHERE, small)).toBeTrue();
    expect(await store.blobs.mount(APP, ELSEWHERE, large)).toMatchObject({ kind: "quota" });
    expect(await store.blobs.mount(OTHER, ELSEWHERE, large)).toBeTrue();
  });

  test("a manifest is put only where its bytes fit, and again where it is already", async () => {
    await using subject = await Subject.open(open);
    const digest = await subject.image("image");
    const { bytes } = await usage(subject, "*");
    const store = withQuotas(subject, { prefix: "*", bytes });
    expect(await store.manifests.put(APP, newManifest("image"))).toMatchObject({ kind: "stored" });
    expect(await store.manifests.put(APP, newManifest("another"))).toMatchObject({ kind: "quota", prefix: "*" });
    await store.manifests.delete(APP, digest);
    expect(await store.manifests.put(APP, newManifest("other"))).toMatchObject({ kind: "stored" });
  });

  test("tags are bounded, and may still be moved", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", tags: 2 });
    const [one, two] = [await subject.image("one", { tags: [tag("a")] }), await subject.image("two")];
    expect(await store.tags.put(APP, tag("b"), one)).toBe("done");
    expect(await store.tags.put(APP, tag("a"), two)).toBe("done");
    expect(await store.tags.put(APP, tag("c"), two)).toMatchObject({ kind: "quota", what: "tags", used: 2, limit: 2 });
    expect(await store.manifests.put(APP, newManifest("three", { tags: [tag("a"), tag("c")] }))).toMatchObject({
      kind: "quota",
      what: "tags",
      used: 2,
      limit: 2,
    });
    expect(await store.tags.delete(APP, tag("b"))).toBe("done");
    expect(await store.tags.put(APP, tag("c"), two)).toBe("done");
  });

  test("repositories are bounded, and what is in those that are here may grow", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", repositories: 1 });
    await begin(store, APP);
    await begin(store, APP);
    expect(await create(store, OTHER)).toMatchObject({ kind: "quota", what: "repositories", used: 1, limit: 1 });
    expect(await store.manifests.put(OTHER, newManifest("x"))).toMatchObject({
      kind: "quota",
      what: "repositories",
      used: 1,
      limit: 1,
    });
    const { digest: blob } = await subject.push("blob", { to: ELSEWHERE });
    expect(await store.blobs.mount(OTHER, ELSEWHERE, blob)).toMatchObject({
      kind: "quota",
      what: "repositories",
      used: 1,
      limit: 1,
    });
    expect(await store.blobs.mount(APP, ELSEWHERE, blob)).toBeTrue();
  });

  test("the smallest of several quotas counts", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "*", bytes: 100 }, { prefix: "team/app", bytes: 5 });
    expect(await create(store, APP, 6)).toMatchObject({ kind: "quota", prefix: "team/app" });
    await begin(store, OTHER, 6);
    expect(await create(store, OTHER, 101)).toMatchObject({ kind: "quota", prefix: "*" });
  });

  test.if(isSqlite)(
    "a new quota is counted in steps while pushes go on, and what comes meanwhile is bounded by 5 % of it",
    async () => {
      await using subject = await Subject.open(open);
      const { engine } = subject;
      // Four steps' worth, with neighbours that are not below the prefix on both sides.
      await subject.change(`
      insert into repo (name, created_at)
      with recursive n(i) as (select 0 union all select i + 1 from n where i < 1699)
      select 'team/' || i, 1 from n union all values ('tea', 1), ('team', 1), ('team-a/x', 1), ('team.a', 1), ('team0', 1)`);
      await subject.change("update repo set bytes = 10, tags = 1");
      const store = withQuotas(subject, { prefix: "team", bytes: 18_000 });
      await subject.change(
        "insert into quota (prefix, bytes, tags, repositories, counted_to) values ('team', 0, 0, 0, '')",
      );
      const steps: boolean[] = [];
      while (steps.at(-1) !== true) {
        steps.push(await engine.write(() => countNext("team")));
        await subject.change("update repo set bytes = bytes + 1 where name in ('team', 'team/0', 'team/999')");
        await subject.change("update repo set bytes = bytes + 1 where name = 'team-a/x'");
      }
      expect(steps).toEqual([false, false, false, true]);
      expect(await usage(subject, "team")).toEqual({ bytes: 17_010 + 12, tags: 1701, repositories: 1701 });
      await subject.change("update repo set bytes = bytes - 2 where name = 'team/0'");
      await begin(store, repositoryName("team/1"), 980);
      expect(await create(store, repositoryName("team/1"), 981)).toMatchObject({ kind: "quota" });
    },
  );

  test("while a quota is counted 5 % of it may be added, whatever is counted yet, and its use is a lower bound", async () => {
    await using subject = await Subject.open(open);
    await subject.push("x".repeat(900));
    // No process goes on with it, as when the one that did has died.
    await subject.change(
      "insert into quota (prefix, bytes, tags, repositories, counted_to) values ('team', 0, 0, 0, '')",
    );
    const quotas = [{ prefix: "team", bytes: 1000, tags: 40, repositories: 20 }];
    const add = (addition: Addition, to: RepositoryName = APP): Promise<unknown> =>
      subject.engine.write(() => within(quotas, to, addition, done));
    expect(await add({ bytes: 50 })).toBe("done");
    expect(await add({ bytes: 51 })).toEqual({ kind: "counting", prefix: "team" });
    expect(await add({ bytes: 1001 })).toMatchObject({ kind: "quota", used: 0, limit: 1000 });
    await subject.push("y".repeat(50));
    expect(await add({ bytes: 1 })).toEqual({ kind: "counting", prefix: "team" });
    expect(await add({})).toBe("done");
    expect(await add({ tags: [tag("a"), tag("b")] })).toBe("done");
    expect(await add({ tags: [tag("a"), tag("b"), tag("c")] })).toEqual({ kind: "counting", prefix: "team" });
    expect(await add({}, OTHER)).toBe("done");
    await subject.push("z", { to: OTHER });
    expect(await add({}, repositoryName("team/third"))).toEqual({ kind: "counting", prefix: "team" });
    // A process that has the quota goes on, and tells what was exceeded meanwhile.
    const store = withQuotas(subject, ...quotas);
    expect(await store.quotas.usage("team")).toMatchObject({ bytes: 0, isCounted: false });
    expect(await create(store, APP, 49)).toBe("done");
    expect(await usage(subject, "team")).toEqual({ bytes: 951, tags: 0, repositories: 2 });
    expect(await create(store, APP, 50)).toMatchObject({ kind: "quota", used: 951, limit: 1000 });
  });

  test("what was counted for a quota that is no more is forgotten, and counted again when it comes back", async () => {
    await using subject = await Subject.open(open);
    await subject.push("0123456789");
    await withQuotas(subject, { prefix: "team", bytes: 10 }, { prefix: "*", bytes: 20 }).quotas.count();
    expect(await subject.query("select prefix, bytes from quota order by prefix")).toEqual([
      { prefix: "*", bytes: 10 },
      { prefix: "team", bytes: 10 },
    ]);
    await withQuotas(subject, { prefix: "*", bytes: 20 }).quotas.count();
    expect(await subject.query("select prefix from quota")).toEqual([{ prefix: "*" }]);
    await subject.push("abcde");
    const store = withQuotas(subject, { prefix: "team", bytes: 16 });
    await store.quotas.count();
    await begin(store, APP, 1);
    expect(await create(store, APP, 2)).toMatchObject({ kind: "quota" });
    await withQuotas(subject).quotas.count();
    expect(await subject.query("select prefix from quota")).toEqual([]);
  });

  test("two servers with different quotas do not make each other count again and again", async () => {
    await using subject = await Subject.open(open);
    await subject.push("0123456789");
    const before = withQuotas(subject, { prefix: "*", bytes: 20 });
    await before.quotas.count();
    const after = withQuotas(subject, { prefix: "team", bytes: 20 });
    await after.quotas.count();
    expect(await create(before, APP, 11)).toMatchObject({ kind: "quota" });
    expect(await subject.query("select prefix, bytes from quota order by prefix")).toEqual([
      { prefix: "*", bytes: 10 },
      { prefix: "team", bytes: 10 },
    ]);
  });

  test("a refusal says when what was deleted is collected next", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    const { digest } = await subject.push("0123456789");
    await subject.push("elsewhere", { to: ELSEWHERE });
    await store.blobs.unlink(APP, digest);
    await subject.push("0123456789");
    const nextCollection = subject.clock.ms + 2 * 3_600_000;
    const problem = { kind: "quota", prefix: "team", what: "bytes", used: 10, limit: 10 };
    expect(await create(store, APP)).toEqual({ ...problem, nextCollection } as QuotaProblem);
    await subject.change("update repo_blob set review_after = null");
    expect(await create(store, APP)).toEqual({ ...problem, nextCollection: undefined } as QuotaProblem);
  });

  test("after any changes, what was kept is what is there when it is counted again", async () => {
    const repositories = [APP, NEIGHBOUR, repositoryName("team")];
    const step = fc.record({
      what: fc.constantFrom(...CHANGES),
      where: fc.constantFrom(...repositories),
      from: fc.constantFrom(...repositories),
      name: fc.constantFrom("one", "two"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(25), async (steps, countedFrom) => {
        await using subject = await Subject.open(open);
        for (const [index, { what, where, from, name }] of steps.entries()) {
          if (index === countedFrom) await usages(subject);
          subject.clock.ms += 3_600_000;
          await take(subject, what, where, from, name);
        }
        for (const prefix of PREFIXES)
          expect(await usage(subject, prefix)).toEqual(await countedUsage(subject, prefix));
      }),
      { numRuns: 40 },
    );
  }, 60_000);
}

/** The same database, with quotas. */
function withQuotas({ engine, clock }: Subject, ...quotas: readonly Quota[]): Metadata {
  return new Metadata(engine, clock, { quotas });
}

/** Begins an upload and returns its id. */
async function begin(...upload: Parameters<typeof create>): Promise<string> {
  const id = randomUUID();
  const [store, repository, announced, begunBy] = upload;
  expect(await create(store, repository, announced, begunBy, id)).toBe("done");
  return id;
}

/** Begins an upload, where that is allowed. */
function create(
  store: Metadata,
  repository: RepositoryName,
  announced?: number,
  begunBy?: NewUpload["begunBy"],
  id: string = randomUUID(),
): ReturnType<Metadata["uploads"]["create"]> {
  return store.uploads.create(repository, { id, partKey: id, algorithm: "sha256", expiresAt: 0, announced, begunBy });
}

interface Usage {
  readonly bytes: number;
  readonly tags: number;
  readonly repositories: number;
}

/** Work that writes nothing. */
// oxlint-disable-next-line require-yield
function* done(): Transaction<"done"> {
  return "done";
}

/** What is kept, once all is counted. */
async function usage(subject: Subject, prefix: string): Promise<Usage> {
  const { quotas } = withQuotas(subject, ...PREFIXES.map((each) => ({ prefix: each })));
  await quotas.count();
  const { isCounted, ...amounts } = (await quotas.usage(prefix))!;
  expect(isCounted).toBeTrue();
  return amounts;
}

/** The same, by looking at everything that lies there. */
async function countedUsage(subject: Subject, prefix: string): Promise<Usage> {
  const below = `($1 = '*' or r.name = $1 or substr(r.name, 1, length($1) + 1) = $1 || '/')`;
  const [found] = await subject.query(
    `select count(*) as repositories,
       coalesce(sum((select count(*) from tag where repo = r.id)), 0) as tags,
       coalesce(sum(
         coalesce((select sum(b.size) from repo_blob l join blob b on b.id = l.blob where l.repo = r.id), 0)
         + coalesce((select sum(size) from manifest where repo = r.id), 0)
         + coalesce((select sum(length(content)) from signature where repo = r.id), 0)
         + coalesce((select sum(counted) from upload where repo = r.id), 0)), 0) as bytes
     from repo r where ${below}`,
    prefix,
  );
  return found as unknown as Usage;
}

function usages(subject: Subject): Promise<readonly unknown[]> {
  return Promise.all(PREFIXES.map((prefix) => usage(subject, prefix)));
}

const CHANGES = [
  "push",
  "image",
  "mount",
  "unlink",
  "delete",
  "untag",
  "sign",
  "receive",
  "reserve",
  "release",
  "collect",
] as const;
type Change = (typeof CHANGES)[number];

async function take(
  subject: Subject,
  what: Change,
  where: RepositoryName,
  from: RepositoryName,
  name: string,
): Promise<void> {
  const { store, clock } = subject;
  switch (what) {
    case "push":
      await subject.push(name, { to: where });
      return;
    case "image":
      await subject.image(`image ${name}`, { to: where, tags: [tag(name)] });
      return;
    case "mount":
      await store.blobs.mount(where, from, textDigest(name));
      return;
    case "unlink":
      await store.blobs.unlink(where, textDigest(name));
      return;
    case "untag":
      await store.tags.delete(where, tag(name));
      return;
    case "delete":
      await store.manifests.delete(where, textDigest(`image ${name}`));
      return;
    case "sign": {
      const signatures = [{ name: `${clock.ms}`, content: new Uint8Array(7) }];
      await store.signatures.put(where, textDigest(`image ${name}`), signatures, { maxBytes: 100, taken: "skip" });
      return;
    }
    case "receive": {
      const id = await subject.begin(where, clock.ms + 40 * 86_400_000);
      const progress = { id, digestSoFar: undefined, staged: new Uint8Array(), expiresAt: clock.ms + 40 * 86_400_000 };
      for (const received of [5, 11]) {
        await store.uploads.save({ ...progress, received, version: received === 5 ? 1 : 2 });
      }
      return;
    }
    case "reserve":
    case "release": {
      const id = await subject.begin(where, clock.ms + 40 * 86_400_000);
      const version = await subject.claim(id, { expiresAt: clock.ms + 40 * 86_400_000 });
      await withQuotas(subject, { prefix: "*", bytes: 1000 }).uploads.reserve(id, version, 7, 13);
      if (what === "release") await store.uploads.release(id, HOLDER);
      return;
    }
    case "collect":
      for (let round = 0; round < 4; round++) {
        clock.ms += 30 * 86_400_000;
        await store.uploads.expire(100);
        await store.collection.collect({ ...DEFAULT_RULES, untagged: true }, undefined, { due: true, limit: 100 });
      }
  }
}
