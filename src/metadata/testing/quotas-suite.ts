/** Quotas of a MetadataStore: what fits, what does not, and that every change is counted. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import * as fc from "fast-check";
import { repositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { DEFAULT_RULES } from "../metadata-store.ts";
import type { MetadataStore, NewUpload } from "../metadata-store.ts";
import { usageBelow } from "../quotas.ts";
import type { Quota } from "../quotas.ts";
import { SqlMetadataStore } from "../sql-metadata-store.ts";
import { APP, HOLDER, OTHER, Subject, inline, newManifest, textDigest } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const ELSEWHERE = repositoryName("elsewhere/app");
const NEIGHBOUR = repositoryName("team-b/app"); // not below `team`

const PREFIXES = ["*", "team", "team/app", "none"];

export function testQuotas(open: OpenMetadata): void {
  test("an upload that cannot fit is refused when it begins, and one elsewhere is not", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    await begin(store, APP, 10);
    await expect(begin(store, APP, 11)).rejects.toMatchObject({ code: "DENIED", status: 403 });
    await begin(store, NEIGHBOUR, 11);
    await subject.push("0123456789", { to: OTHER });
    await expect(begin(store, APP)).rejects.toThrow("quota of team does not allow more (quotas): 10 B of 10 B");
    await begin(store, ELSEWHERE);
  });

  test("an upload that has begun is recorded and finished only with the bytes that fit", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    const [one, two] = [await begin(store, APP), await begin(store, APP)];
    const received = (id: string, version: number, bytes: number): Promise<number | undefined> =>
      store.saveUpload({
        id,
        version,
        received: bytes,
        digestSoFar: undefined,
        staged: new Uint8Array(bytes),
        expiresAt: 1,
      });
    const version = (await received(one, 1, 6))!;
    await expect(received(two, 1, 5)).rejects.toMatchObject({ code: "DENIED", status: 403 });
    expect(await store.findUpload(APP, two)).toMatchObject({ received: 0, version: 1 });
    const end = { at: inline("12345"), size: 5, digest: textDigest("12345") };
    await expect(store.finishUpload({ id: two, version: 1, ...end })).rejects.toMatchObject({ code: "DENIED" });
    expect(await store.findUpload(APP, two)).toMatchObject({ received: 0, version: 1 });
    // Its bytes are counted already.
    expect(
      await store.finishUpload({ id: one, version, at: inline("123456"), size: 6, digest: textDigest("123456") }),
    ).toBe(true);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 6 });
    // What is here already adds nothing.
    expect(
      await store.finishUpload({ id: two, version: 1, at: inline("123456"), size: 6, digest: textDigest("123456") }),
    ).toBe(true);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 6 });
  });

  test("bytes are reserved for an upload as far as they fit, and are free again when it is recorded or released", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 100 }, { prefix: "*", bytes: 1000 });
    const [one, two] = [await begin(store, APP), await begin(store, OTHER)];
    const [versionOne, versionTwo] = [await subject.claim(one), await subject.claim(two)];
    expect(await store.reserveUpload(one, versionOne, 10, 80)).toBe(80);
    expect(await store.reserveUpload(two, versionTwo, 10, 80)).toBe(20);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 100 });
    await expect(store.reserveUpload(two, versionTwo, 21, 80)).rejects.toMatchObject({ code: "DENIED" });
    expect(await store.reserveUpload(one, versionOne - 1, 1, 1)).toBeUndefined();
    expect(await store.reserveUpload("nobody's", 1, 1, 1)).toBeUndefined();
    const progress = { received: 30, digestSoFar: undefined, staged: undefined, expiresAt: subject.clock.ms + 1000 };
    await store.saveUpload({ id: one, version: versionOne, ...progress });
    expect(await usage(subject, "team")).toMatchObject({ bytes: 50 });
    expect(await store.reserveUpload(two, versionTwo, 21, 80)).toBe(70);
    await store.releaseUpload(two, HOLDER);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 30 });
    await store.cancelUpload(APP, one);
    expect(await usage(subject, "team")).toMatchObject({ bytes: 0 });
    const elsewhere = await begin(store, ELSEWHERE);
    expect(await store.reserveUpload(elsewhere, 1, 10, 2000)).toBe(1000);
    expect(await subject.store.reserveUpload(elsewhere, 1, 10, 2000)).toBe(Infinity);
  });

  test("what a writer that died had reserved is free when the next one claims the upload", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 100 });
    const id = await begin(store, APP);
    const version = await subject.claim(id);
    await store.reserveUpload(id, version, 10, 80);
    await subject.claim(id, { version, holder: "another", ended: HOLDER });
    expect(await usage(subject, "team")).toMatchObject({ bytes: 0 });
  });

  test("a request is refused before it brings more bytes than fit", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    const id = await begin(store, APP);
    expect(await store.checkUpload(id, 10)).toBeUndefined();
    await expect(store.checkUpload(id, 11)).rejects.toMatchObject({ code: "DENIED" });
    expect(await store.checkUpload(await begin(store, ELSEWHERE), 11)).toBeUndefined();
    expect(await store.checkUpload("nobody's", 11)).toBeUndefined();
    expect(await subject.store.checkUpload(id, 11)).toBeUndefined();
  });

  test("a signature is put only where its bytes fit, and again where it is already", async () => {
    await using subject = await Subject.open(open);
    const manifest = await subject.image("image");
    const { bytes } = await usage(subject, "*");
    const store = withQuotas(subject, { prefix: "*", bytes: bytes + 5 });
    const put = (name: string): Promise<string> =>
      store.putSignatures(APP, manifest, [{ name, content: new Uint8Array(5) }], { maxBytes: 100, taken: "skip" });
    expect(await put("one")).toBe("done");
    await expect(put("two")).rejects.toMatchObject({ code: "DENIED" });
    expect(await put("one")).toBe("done");
  });

  test("one client has so many unfinished uploads at most, whatever others have", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const by = (client: string, repository = APP): Promise<string> =>
      begin(store, repository, undefined, { client, atMost: 2 });
    const [first] = [await by("alice"), await by("alice", OTHER)];
    await expect(by("alice", ELSEWHERE)).rejects.toMatchObject({ code: "TOOMANYREQUESTS", status: 429 });
    expect(await store.repositoryExists(ELSEWHERE)).toBe(false);
    await by("10.0.0.1", ELSEWHERE);
    await begin(store, ELSEWHERE);
    await store.cancelUpload(APP, first);
    await by("alice", ELSEWHERE);
    await expect(by("alice")).rejects.toMatchObject({ code: "TOOMANYREQUESTS" });
  });

  test("a blob is mounted only where its bytes fit, and again where it is already", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team/app", bytes: 15 });
    const { digest: small } = await subject.push("0123456789", { to: ELSEWHERE });
    const { digest: large } = await subject.push("0123456789abcdef", { to: ELSEWHERE });
    expect(await store.mountBlob(APP, ELSEWHERE, small)).toBeTrue();
    expect(await store.mountBlob(APP, ELSEWHERE, small)).toBeTrue();
    await expect(store.mountBlob(APP, ELSEWHERE, large)).rejects.toMatchObject({ code: "DENIED" });
    expect(await store.mountBlob(OTHER, ELSEWHERE, large)).toBeTrue();
  });

  test("a manifest is put only where its bytes fit, and again where it is already", async () => {
    await using subject = await Subject.open(open);
    const digest = await subject.image("image");
    const { bytes } = await usage(subject, "*");
    const store = withQuotas(subject, { prefix: "*", bytes });
    expect(await store.putManifest(APP, newManifest("image"))).toMatchObject({ kind: "stored" });
    await expect(store.putManifest(APP, newManifest("another"))).rejects.toThrow("quota of this registry");
    await store.deleteManifest(APP, digest);
    expect(await store.putManifest(APP, newManifest("other"))).toMatchObject({ kind: "stored" });
  });

  test("tags are bounded, and may still be moved", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", tags: 2 });
    const [one, two] = [await subject.image("one", { tags: [tag("a")] }), await subject.image("two")];
    expect(await store.putTag(APP, tag("b"), one)).toBe("done");
    expect(await store.putTag(APP, tag("a"), two)).toBe("done");
    await expect(store.putTag(APP, tag("c"), two)).rejects.toThrow("2 of 2 tags");
    await expect(store.putManifest(APP, newManifest("three", { tags: [tag("a"), tag("c")] }))).rejects.toThrow(
      "2 of 2 tags",
    );
    expect(await store.deleteTag(APP, tag("b"))).toBe("done");
    expect(await store.putTag(APP, tag("c"), two)).toBe("done");
  });

  test("repositories are bounded, and what is in those that are here may grow", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", repositories: 1 });
    await begin(store, APP);
    await begin(store, APP);
    await expect(begin(store, OTHER)).rejects.toThrow("1 of 1 repositories");
    await expect(store.putManifest(OTHER, newManifest("x"))).rejects.toThrow("1 of 1 repositories");
    const { digest: blob } = await subject.push("blob", { to: ELSEWHERE });
    await expect(store.mountBlob(OTHER, ELSEWHERE, blob)).rejects.toThrow("1 of 1 repositories");
    expect(await store.mountBlob(APP, ELSEWHERE, blob)).toBeTrue();
  });

  test("the smallest of several quotas counts", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "*", bytes: 100 }, { prefix: "team/app", bytes: 5 });
    await expect(begin(store, APP, 6)).rejects.toThrow("quota of team/app");
    await begin(store, OTHER, 6);
    await expect(begin(store, OTHER, 101)).rejects.toThrow("quota of this registry");
  });

  test("a prefix whose quota is new is counted in steps while pushes go on, and nothing exceeds it meanwhile", async () => {
    await using subject = await Subject.open(open);
    const { engine } = subject;
    // Three steps' worth, with neighbours that are not below the prefix on both sides.
    const names = ["tea", "team", "team-a/x", "team.a", "team0"].concat(
      Array.from({ length: 2500 }, (_, number) => `team/${number}`),
    );
    for (const name of names) await subject.change("insert into repo (name, created_at) values ($1, 1)", name);
    await subject.change("update repo set bytes = 10, tags = 1");
    const store = withQuotas(subject, { prefix: "team", bytes: 25_020 });
    const steps: boolean[] = [];
    while (steps.at(-1) !== true) {
      steps.push((await engine.write(() => usageBelow("team"))) !== undefined);
      await subject.change(
        "update repo set bytes = bytes + 1 where name = 'team' or name = 'team/0' or name = 'team/999'",
      );
      await subject.change("update repo set bytes = bytes + 1 where name = 'team-a/x'");
    }
    expect(steps).toEqual([false, false, true]);
    expect(await usage(subject, "team")).toEqual({ bytes: 25_010 + 9, tags: 2501, repositories: 2501 });
    await subject.change("update repo set bytes = bytes - 1 where name = 'team/0'");
    await begin(store, repositoryName("team/1"), 2);
    await expect(begin(store, repositoryName("team/1"), 3)).rejects.toMatchObject({ code: "DENIED" });
  });

  test("a write below a prefix that is being counted waits until it is, also when many come at once", async () => {
    await using subject = await Subject.open(open);
    for (let number = 0; number < 2500; number++) {
      await subject.change("insert into repo (name, created_at, bytes) values ($1, 1, 10)", `team/${number}`);
    }
    const store = withQuotas(subject, { prefix: "team", bytes: 25_005 });
    const asked = Array.from({ length: 20 }, (_, number) =>
      begin(store, repositoryName(`team/${number}`), 5 + (number % 2)),
    );
    const outcomes = (await Promise.allSettled(asked)).map(({ status }) => status);
    expect(outcomes).toEqual(Array.from({ length: 20 }, (_, number) => (number % 2 ? "rejected" : "fulfilled")));
  });

  test("what was counted for a quota that is no more is forgotten, and counted again when it comes back", async () => {
    await using subject = await Subject.open(open);
    await subject.push("0123456789");
    await withQuotas(subject, { prefix: "team", bytes: 10 }, { prefix: "*", bytes: 20 }).keepQuotas();
    expect(await subject.query("select prefix, bytes from quota order by prefix")).toEqual([
      { prefix: "*", bytes: 10 },
      { prefix: "team", bytes: 10 },
    ]);
    await withQuotas(subject, { prefix: "*", bytes: 20 }).keepQuotas();
    expect(await subject.query("select prefix from quota")).toEqual([{ prefix: "*" }]);
    await subject.push("abcde");
    const store = withQuotas(subject, { prefix: "team", bytes: 16 });
    await store.keepQuotas();
    await begin(store, APP, 1);
    await expect(begin(store, APP, 2)).rejects.toMatchObject({ code: "DENIED" });
    await withQuotas(subject).keepQuotas();
    expect(await subject.query("select prefix from quota")).toEqual([]);
  });

  test("a refusal says when what was deleted is collected next", async () => {
    await using subject = await Subject.open(open);
    const store = withQuotas(subject, { prefix: "team", bytes: 10 });
    const { digest } = await subject.push("0123456789");
    await subject.push("elsewhere", { to: ELSEWHERE });
    await store.unlinkBlob(APP, digest);
    await subject.push("0123456789");
    const next = new Date(subject.clock.ms + 2 * 3_600_000).toISOString();
    await expect(begin(store, APP)).rejects.toMatchObject({
      message: expect.stringContaining(`until it is collected, next from ${next} on`),
      details: [{ prefix: "team", what: "bytes", used: 10, limit: 10, nextCollection: next }],
    });
    await subject.change("delete from gc_queue");
    await expect(begin(store, APP)).rejects.toMatchObject({ details: [{ prefix: "team", used: 10, limit: 10 }] });
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
function withQuotas({ engine, clock }: Subject, ...quotas: readonly Quota[]): MetadataStore {
  return new SqlMetadataStore(engine, clock, DEFAULT_RULES, quotas);
}

/** Begins an upload and gives its id. */
async function begin(
  store: MetadataStore,
  repository: RepositoryName,
  announced?: number,
  begunBy?: NewUpload["begunBy"],
): Promise<string> {
  const id = randomUUID();
  await store.createUpload(repository, { id, partKey: id, algorithm: "sha256", expiresAt: 0, announced, begunBy });
  return id;
}

interface Usage {
  readonly bytes: number;
  readonly tags: number;
  readonly repositories: number;
}

async function usage({ engine }: Subject, prefix: string): Promise<Usage> {
  for (;;) {
    const found = await engine.write(() => usageBelow(prefix));
    if (found) return { bytes: found.bytes, tags: found.tags, repositories: found.repositories };
  }
}

/** The same, by looking at everything that lies there. */
async function countedUsage(subject: Subject, prefix: string): Promise<Usage> {
  const below = `($1 = '*' or r.name = $1 or substr(r.name, 1, length($1) + 1) = $1 || '/')`;
  const [found] = await subject.query(
    `select count(*) as repositories,
       coalesce(sum((select count(*) from tag where repo = r.id)), 0) as tags,
       coalesce(sum(
         coalesce((select sum(b.size) from repo_blob l join blob b on b.digest = l.digest where l.repo = r.id), 0)
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
      await store.mountBlob(where, from, textDigest(name));
      return;
    case "unlink":
      await store.unlinkBlob(where, textDigest(name));
      return;
    case "untag":
      await store.deleteTag(where, tag(name));
      return;
    case "delete":
      await store.deleteManifest(where, textDigest(`image ${name}`));
      return;
    case "sign": {
      const signatures = [{ name: `${clock.ms}`, content: new Uint8Array(7) }];
      await store.putSignatures(where, textDigest(`image ${name}`), signatures, { maxBytes: 100, taken: "skip" });
      return;
    }
    case "receive": {
      const id = await subject.begin(where, clock.ms + 40 * 86_400_000);
      const progress = { id, digestSoFar: undefined, staged: new Uint8Array(), expiresAt: clock.ms + 40 * 86_400_000 };
      for (const received of [5, 11]) {
        await store.saveUpload({ ...progress, received, version: received === 5 ? 1 : 2 });
      }
      return;
    }
    case "reserve":
    case "release": {
      const id = await subject.begin(where, clock.ms + 40 * 86_400_000);
      const version = await subject.claim(id, { expiresAt: clock.ms + 40 * 86_400_000 });
      await withQuotas(subject, { prefix: "*", bytes: 1000 }).reserveUpload(id, version, 7, 13);
      if (what === "release") await store.releaseUpload(id, HOLDER);
      return;
    }
    case "collect":
      for (let round = 0; round < 4; round++) {
        clock.ms += 30 * 86_400_000;
        await store.expireUploads(100);
        await store.collect({ ...DEFAULT_RULES, untagged: true }, undefined, { due: true, limit: 100 });
      }
  }
}
