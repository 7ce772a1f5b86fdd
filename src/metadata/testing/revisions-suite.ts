/** Revisions in the metadata: what moves them, and what does not. */
import { describe, expect, test } from "bun:test";
import { tag } from "../../oci/tag.ts";
import { DEFAULT_RULES } from "../database.ts";
import type { RevisionScope } from "../revision-source.ts";
import { APP, HOLDER, HOUR_MS, OTHER, Subject, inline, keyOf, needs } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const LATEST = tag("latest");
const SCOPES = { app: { repository: APP }, other: { repository: OTHER }, accounts: "accounts" } as const;

/** Which of the two repositories and the accounts have another revision after `change`. */
async function movedBy({ store }: Subject, change: () => Promise<unknown>): Promise<readonly string[]> {
  const before = await revisions(store);
  await change();
  const after = await revisions(store);
  return Object.keys(SCOPES).filter((_, i) => before[i] !== after[i]);
}

function revisions(store: Subject["store"]) {
  return Promise.all(Object.values(SCOPES).map(async (scope: RevisionScope) => await store.revision(scope)));
}

/** Each brings what it needs into team/app, and changes one thing. */
const CHANGES: Readonly<Record<string, (subject: Subject) => Promise<() => Promise<unknown>>>> = {
  "a blob that is deleted": async (subject) => {
    const { digest } = await subject.push("layer");
    return () => subject.store.blobs.unlink(APP, digest);
  },
  "a manifest": async (subject) => () => subject.image("image"),
  "a manifest with a tag": async (subject) => () => subject.image("image", { tags: [LATEST] }),
  "a referrer": async (subject) => {
    const image = await subject.image("image");
    return () => subject.image("referrer", { subject: image });
  },
  "a manifest that is deleted": async (subject) => {
    const image = await subject.image("image");
    return () => subject.store.manifests.delete(APP, image);
  },
  "a tag": async (subject) => {
    const image = await subject.image("image");
    return () => subject.store.tags.put(APP, LATEST, image);
  },
  "a tag that is deleted": async (subject) => {
    await subject.image("image", { tags: [LATEST] });
    return () => subject.store.tags.delete(APP, LATEST);
  },
  "a signature": async (subject) => {
    const image = await subject.image("image");
    const signature = { name: "one", content: new Uint8Array(3) };
    return () => subject.store.signatures.put(APP, image, [signature], { maxBytes: 10, taken: "skip" });
  },
  "a pin": async (subject) => {
    const image = await subject.image("image");
    return () => subject.store.pins.add(APP, image, "kept");
  },
  "a collected blob": async (subject) => {
    await subject.push("unneeded");
    subject.clock.ms += 1000 * HOUR_MS;
    return () => subject.store.collection.collect(DEFAULT_RULES, undefined, { due: true, limit: 100 });
  },
  "a collected manifest": async (subject) => {
    await subject.image("untagged");
    subject.clock.ms += 1000 * HOUR_MS;
    await subject.store.collection.enqueueUntagged(undefined, 100);
    return () =>
      subject.store.collection.collect({ ...DEFAULT_RULES, untagged: true }, undefined, { due: true, limit: 100 });
  },
};

export function testRevisions(open: OpenMetadata, { isSqlite }: { readonly isSqlite: boolean }): void {
  describe("the revision of one repository is moved by", () => {
    for (const [what, prepare] of Object.entries(CHANGES)) {
      test(what, async () => {
        await using subject = await Subject.open(open);
        await subject.image("of the other", { to: OTHER, tags: [LATEST] });
        const change = await prepare(subject);
        expect(await movedBy(subject, change)).toEqual(["app"]);
      });
    }
  });

  test("no revision is moved by uploads, mounts, leases, refused and repeated changes", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const layer = await subject.push("layer");
    const image = await subject.image("image", { blobs: [needs(layer)], tags: [LATEST] });
    const unneeded = await subject.push("unneeded");
    const changes = async (): Promise<void> => {
      const id = await subject.begin();
      const version = await subject.claim(id, { finalKey: keyOf(id) });
      await store.uploads.save({
        id,
        version,
        received: 3,
        digestSoFar: undefined,
        staged: new Uint8Array(3),
        expiresAt: clock.ms,
      });
      await store.uploads.tell(APP, id);
      await store.uploads.cancel(APP, id);
      const fresh = await subject.push("fresh", { to: OTHER });
      await store.blobs.mount(APP, OTHER, fresh.digest);
      await subject.push("unneeded"); // its bytes are in another file then
      clock.ms += 1;
      await store.blobs.renewLease(APP, unneeded.digest);
      await store.manifests.renewLease(APP, image, clock.ms + 1);
      await store.blobs.markCorrupt(layer.digest, "blobs/of before");
      await store.blobs.markIntact(layer.digest, layer.key, "13");
      await store.tags.delete(APP, tag("absent"));
      await store.tags.put(APP, LATEST, unneeded.digest);
      await subject.put("refused", { blobs: [needs({ digest: `sha256:${"0".repeat(64)}`, size: 1 })] });
      await store.holders.renew(HOLDER, clock.ms + HOUR_MS);
      await store.leases.take("work", "me", clock.ms + HOUR_MS);
      await store.accounts.change("nobody", { generation: "2" });
      await store.robotTokens.removeAllOf("none");
    };
    expect(await movedBy(subject, changes)).toEqual([]);
  });

  test("a blob that becomes corrupt, and intact again, moves the revision of every repository that shows it", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const { digest, key } = await subject.push("shared");
    await store.blobs.mount(OTHER, APP, digest);
    const both = ["app", "other"];
    expect(await movedBy(subject, () => store.blobs.markCorrupt(digest, key))).toEqual(both);
    expect(await movedBy(subject, () => store.blobs.markCorrupt(digest, key))).toEqual([]);
    expect(await movedBy(subject, () => store.blobs.markIntact(digest, key, "13"))).toEqual(both);
    await store.blobs.markCorrupt(digest, key);
    expect(await movedBy(subject, () => subject.push("shared", { to: OTHER }))).toEqual(both);
    const { digest: small } = await subject.push("small", { location: inline("small") });
    expect(await movedBy(subject, () => store.blobs.markCorrupt(small, new TextEncoder().encode("small")))).toEqual(
      both,
    );
  });

  test("an inline blob whose bytes a push replaces moves the revision of every repository that shows it", async () => {
    await using subject = await Subject.open(open);
    const { digest } = await subject.push("small", { location: inline("small") });
    await subject.store.blobs.mount(OTHER, APP, digest);
    const push = () => subject.push("small", { location: inline("small") });
    expect(await movedBy(subject, push)).toEqual([]);
    expect(await movedBy(subject, () => subject.push("small"))).toEqual(["app", "other"]);
    await push();
    await subject.change("update blob set payload = $2 where digest = $1", digest, new Uint8Array(5));
    expect(await movedBy(subject, push)).toEqual(["app", "other"]);
  });

  test("a repository that is removed and begins again has none of its former revisions", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const seen = new Set([await store.revision(SCOPES.app)]);
    for (let life = 0; life < 3; life++) {
      await subject.image("image", { tags: [LATEST] });
      expect(seen).not.toContain(await store.revision(SCOPES.app));
      seen.add(await store.revision(SCOPES.app));
      await store.repositories.removeAll();
      expect(seen).not.toContain(await store.revision(SCOPES.app));
      seen.add(await store.revision(SCOPES.app));
    }
  });

  test("a process that missed changes takes all repositories as changed", async () => {
    await using subject = await Subject.open(open);
    await subject.image("image", { to: OTHER });
    const skip = async (): Promise<void> => {
      await subject.change("insert into change (number, repository) values (50000, 'third')");
      await subject.change("delete from change where number < 50000");
    };
    expect(await movedBy(subject, skip)).toEqual(["app", "other"]);
    expect(await movedBy(subject, () => subject.image("more"))).toEqual(["app"]);
  });

  test.if(isSqlite)("the oldest changes are removed", async () => {
    await using subject = await Subject.open(open);
    await subject.change("insert into change (number, repository) values (1, 'old'), (1000000 - 1, 'third')");
    await subject.image("image");
    const [oldest] = await subject.query("select min(number) as number from change");
    expect(oldest).toEqual({ number: 1_000_000 - 1 });
  });

  test("users, robots and signing keys move the revision of the accounts", async () => {
    await using subject = await Subject.open(open);
    const { store, clock } = subject;
    const only = ["accounts"];
    const user = { name: "alice", passwordHash: "$hash", groups: [], generation: "1" };
    expect(await movedBy(subject, () => store.accounts.add(user))).toEqual(only);
    expect(await movedBy(subject, () => store.accounts.add(user))).toEqual([]);
    expect(await movedBy(subject, () => store.accounts.change("alice", { generation: "2" }))).toEqual(only);
    expect(await movedBy(subject, () => store.accounts.remove("alice"))).toEqual(only);
    const token = { id: "1", robot: "ci", secretHash: new Uint8Array(3), grants: [], expiresAt: undefined };
    expect(await movedBy(subject, () => store.robotTokens.add(token))).toEqual(only);
    expect(await movedBy(subject, () => store.robotTokens.remove("1"))).toEqual(only);
    await store.robotTokens.add(token);
    expect(await movedBy(subject, () => store.robotTokens.removeAllOf("ci"))).toEqual(only);
    const key = { id: "1", jwk: "{}", createdAt: clock.ms };
    const times = { unlessAfter: clock.ms - 1, forgetUntil: 0 };
    expect(await movedBy(subject, () => store.signingKeys.add(key, times))).toEqual(only);
    expect(await movedBy(subject, () => store.signingKeys.add({ ...key, id: "2" }, times))).toEqual([]);
  });

  test("any commit moves the revision of everything", async () => {
    await using subject = await Subject.open(open);
    const { store } = subject;
    const before = await store.revision("everything");
    expect(await store.revision("everything")).toBe(before);
    await subject.begin();
    expect(await store.revision("everything")).not.toBe(before);
  });
}
