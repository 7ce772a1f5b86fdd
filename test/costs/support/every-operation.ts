/** Every operation on facts once, and twice where it goes two ways, so that each statement that there is runs. */
import type { QueuePosition } from "../../../src/metadata/garbage.ts";
import { DEFAULT_RULES } from "../../../src/metadata/database.ts";
import type { CollectionRules } from "../../../src/metadata/database.ts";
import { Metadata } from "../../../src/metadata/metadata.ts";
import {
  APP,
  HOUR_MS,
  OTHER,
  inline,
  keyOf,
  needs,
  newManifest,
  HOLDER,
  textDigest,
  unbounded,
} from "../../../src/metadata/testing/subject.ts";
import { createRecorder } from "../../../src/registry/events/recorder.ts";
import { STEP_ROWS } from "../../../src/metadata/jobs.ts";
import type { Subject } from "../../../src/metadata/testing/subject.ts";
import { repositoryName } from "../../../src/oci/repository-name.ts";
import { tag } from "../../../src/oci/tag.ts";

const PAGE = { limit: 10 };
const LATEST = tag("latest");

/** `isAlone` says whether nothing but what it makes is in the store: all of it goes at last. */
export async function everyOperation(subject: Subject, { isAlone = true } = {}): Promise<void> {
  await uploads(subject);
  await blobs(subject);
  await manifests(subject);
  await tags(subject);
  await referrers(subject);
  await inventory(subject);
  await quotas(subject);
  await accounts(subject);
  await collection(subject);
  await jobs(subject);
  await events(subject);
  await background(subject);
  if (isAlone) await subject.store.repositories.removeAll();
  await adoption(subject);
}

async function events(subject: Subject): Promise<void> {
  const { engine, clock } = subject;
  const recorder = createRecorder({
    endpoints: [],
    forReaders: true,
    audit: true,
    events: { source: { addr: "", instanceID: "" }, includeReferences: false, base: "" },
  });
  const recorded = new Metadata(engine, clock, { recorder });
  const { outbox, audit } = recorded;
  await outbox.begin(["hook"]);
  const told = await subject.image("told", { tags: [LATEST] });
  await recorded.tags.put(APP, tag("told"), told);
  await recorded.tags.delete(APP, tag("told"));
  const blob = await subject.push("told");
  await recorded.blobs.mount(OTHER, APP, blob.digest);
  const page = { limit: 1, maxBytes: 1e6 };
  const [event] = await outbox.after(0, page);
  await outbox.hasNext("hook");
  await outbox.next("hook", page);
  await outbox.range();
  await outbox.size(0);
  await outbox.bury("hook", event!, { attempts: 1, reason: "no", keep: 10 });
  await outbox.dead(0, 10);
  await outbox.dead(0, 10, "hook");
  await outbox.retry([1]);
  await outbox.due("hook", 10);
  await outbox.buryAgain(1, 1, "no");
  await outbox.removeDead([1]);
  await outbox.states(["hook"]);
  await outbox.advance("hook", event!.seq);
  await outbox.hasDelivered(["hook"], clock.now());
  await outbox.removeDelivered(["hook"], clock.now());
  await outbox.removeOldest(["hook"]);
  await audit.list(1000, 10);
  await audit.hasOld(0, 10);
  await audit.remove(0, 10, 10);
}

async function uploads(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  const progress = { received: 3, digestSoFar: undefined, expiresAt: clock.ms + HOUR_MS };

  const id = await subject.begin();
  await store.uploads.find(APP, id);
  await store.uploads.tell(APP, id);
  const claimed = await subject.claim(id, { finalKey: keyOf(id) });
  await store.holders.renew(HOLDER, clock.ms + HOUR_MS);
  await store.holders.lostUploads(HOLDER, [{ id, version: claimed }]);
  await store.uploads.nameFinalKey(id, claimed, `${keyOf(id)}/2`);
  await store.uploads.reservePart("uploads/mine", clock.ms + HOUR_MS);
  await store.uploads.move(id, claimed, { key: "uploads/mine", state: undefined });
  const saved = unbounded(await store.uploads.save({ ...progress, id, version: claimed, staged: new Uint8Array(3) }));
  await store.uploads.save({ ...progress, id, version: Number(saved), staged: undefined });
  await store.uploads.release(id, HOLDER);
  await store.uploads.cancel(APP, id);

  await subject.begin(APP, clock.ms - 1);
  await store.uploads.expire(10);
}

async function blobs(subject: Subject): Promise<void> {
  const { store } = subject;
  const small = await subject.push("small", { location: inline("small") });
  const large = await subject.push("large");
  await subject.push("large"); // the bytes are here
  await store.blobs.find(APP, small.digest);
  for (const { digest } of [small, large]) await store.blobs.locate(digest);
  await subject.push("small"); // in a file now
  await store.blobs.renewLease(APP, large.digest);
  await store.blobs.mount(OTHER, APP, large.digest);
  await store.blobs.repositoriesWith(large.digest, 10);
  await store.blobs.markCorrupt(large.digest, large.key);
  await store.blobs.markCorrupt(small.digest, new Uint8Array());
  await store.blobs.markIntact(large.digest, large.key, "13");
  await store.blobs.markCorrupt(large.digest, large.key);
  await subject.push("large");
  await store.blobs.unlink(OTHER, large.digest, ["v*"]);
  await store.blobs.list(PAGE);
  await store.blobs.inlinePayload(small.digest);
  await store.blobs.namedKeys([large.key]);
  await store.repositories.exists(APP);
}

async function manifests(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  const layer = await subject.push("layer");
  const absent = { digest: `sha256:${"0".repeat(64)}`, size: 1 };
  const image = await subject.image("image", { blobs: [needs(layer), needs(absent, true)], tags: [LATEST] });
  await subject.image("image", { blobs: [needs(layer), needs(absent, true)] }); // what it misses is recorded anew
  const awaited = { digest: textDigest("awaited"), size: 7 };
  await subject.image("sparse", { blobs: [needs(awaited, true)], tags: [LATEST] });
  await subject.push("awaited");
  await subject.image("index", { children: [needs({ digest: image, size: 5 })] });
  await store.blobs.renewLease(APP, layer.digest);
  for (const read of ["find", "read"] as const) await store.manifests[read](APP, image);
  for (const read of ["findByTag", "readByTag"] as const) await store.manifests[read](APP, LATEST);
  await store.manifests.list(APP, PAGE);
  await store.repositories.list(PAGE);
  await store.manifests.needing(layer.digest, 10);
  const untagged = await subject.image("untagged");
  await store.manifests.renewLease(APP, untagged, clock.ms + 1);
}

async function tags(subject: Subject): Promise<void> {
  const { store } = subject;
  const other = await subject.image("other image", { tags: [tag("v2")] });
  await store.tags.put(APP, LATEST, other, { condition: { kind: "exists" }, immutable: false });
  await store.tags.list(APP, PAGE);
  await store.tags.names(APP, PAGE);
  await store.tags.history(APP, LATEST, 10);
  await store.tagHistories.prune(undefined, 10, { undoMs: 0, historyMs: 0, historyEntries: 1 }, 1);
  await store.tags.delete(APP, LATEST);
  await store.manifests.delete(APP, other, ["nothing*"]);
}

async function referrers(subject: Subject): Promise<void> {
  const { store } = subject;
  const image = await subject.image("image");
  await subject.image("referrer", { subject: image });
  for (const type of [{}, { artifactType: "application/spdx+json" }]) {
    const sizes = await store.manifests.referrerSizes(APP, image, { ...PAGE, ...type });
    await store.manifests.referrers(
      APP,
      sizes.map(({ digest }) => digest),
    );
  }
  await store.manifests.delete(APP, image);
  await subject.image("image"); // its referrer has a subject again
  await store.signatures.put(APP, image, [{ name: "signature", content: new Uint8Array(3) }], {
    maxBytes: 1000,
    taken: "skip",
  });
  await store.signatures.list(APP, image);
  await store.pins.add(APP, image, "kept");
  await store.pins.list(APP, PAGE);
  await store.pins.remove(APP, image);
}

async function inventory(subject: Subject): Promise<void> {
  const { inventory: lists } = subject.store;
  const layer = await subject.push("layer");
  const image = await subject.image("listed", { blobs: [needs(layer)], tags: [LATEST] });
  await subject.begin();
  await lists.repositories("", 10, { letters: "a" });
  await lists.repository(APP);
  await lists.counts(APP);
  await lists.links(APP, 0, 10);
  await lists.tags(APP, [LATEST]);
  await lists.aliases(APP, [image], 10);
  await lists.referrerTypes(APP, [image], 10);
  await lists.manifests(APP, { pushedAt: Number.MAX_SAFE_INTEGER, id: 0 }, 10);
  await lists.manifest(APP, image);
  await lists.payloads(APP, [image], 1000);
  await lists.usersOf([layer.digest], 10);
  await lists.uploads(APP, "", 10);
  await lists.present(APP, [image]);
  await subject.store.deletionPreviews.manifests(APP, [image], [image]);
  await subject.store.deletionPreviews.hold(APP, image, ["v*"]);
  await subject.store.manifests.delete(APP, image, [], undefined, { unlessHeld: true });
}

async function quotas({ store, engine, clock }: Subject): Promise<void> {
  const bounded = new Metadata(engine, clock, { quotas: [{ prefix: "*", bytes: 1_000_000, tags: 100 }] });
  const team = new Metadata(engine, clock, { quotas: [{ prefix: "team", repositories: 0 }] });
  await team.quotas.count();
  await team.manifests.put(repositoryName("team/new"), newManifest("image")).catch(() => undefined); // it is refused
  await bounded.quotas.count();
  await team.manifests.put(repositoryName("team/new"), newManifest("image")).catch(() => undefined); // and counts anew
  const [blob] = await store.blobs.list(PAGE);
  for (const to of [APP, repositoryName("team/new")]) await bounded.blobs.mount(to, APP, blob!.digest);
  await bounded.manifests.put(APP, newManifest("image", { tags: [LATEST] }));
  const { id, ...upload } = { ...newUpload(clock.ms), begunBy: { client: "alice", atMost: 10 } };
  await bounded.uploads.create(APP, { id, ...upload });
  await bounded.uploads.findProblem(id, 100);
  await bounded.uploads.reserve(id, 1, 50, 100);
  await bounded.uploads.cancel(APP, id);
  const signatures = [{ name: "bounded", content: new Uint8Array(3) }];
  await bounded.signatures.put(APP, textDigest("image"), signatures, { maxBytes: 100, taken: "skip" });
}

function newUpload(now: number) {
  return { id: "bounded", partKey: "uploads/bounded", algorithm: "sha256", expiresAt: now + HOUR_MS } as const;
}

async function accounts({ store, clock }: Subject): Promise<void> {
  await store.accounts.add({ name: "alice", passwordHash: "$hash", groups: [], generation: "1" });
  await store.accounts.find("alice");
  await store.accounts.list(PAGE);
  await store.accounts.change("alice", { generation: "2" });
  await store.accounts.remove("alice");

  const token = { id: "1", robot: "ci", secretHash: new Uint8Array(3), grants: [], expiresAt: undefined };
  await store.robotTokens.add(token);
  await store.robotTokens.find("1");
  await store.robotTokens.list(PAGE);
  await store.robotTokens.remove("1");
  await store.robotTokens.removeAllOf("ci");

  const key = { id: "1", jwk: "{}", createdAt: clock.ms };
  await store.signingKeys.add(key, { unlessAfter: clock.ms, forgetUntil: 0 });
  await store.signingKeys.list();
  await store.secrets.get("one");
}

/** All that lies there now goes, in two rounds: what is held by time, and then what is not. */
async function collection(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  for (const to of [APP, OTHER]) await subject.push("unneeded", { to });
  const rules: CollectionRules = { ...DEFAULT_RULES, untagged: true };
  for (let round = 0; round < 2; round++) {
    await store.collection.enqueueUntagged(undefined, 100);
    let from: QueuePosition | undefined;
    do ({ next: from } = await store.collectionPreviews.queue(rules, from, 1));
    while (from);
    await store.collectionPreviews.untagged(rules, undefined, 100);
    await store.collectionPreviews.links(rules, textDigest("unneeded"), 0, 100);
    await store.collection.collect(rules, undefined, { due: true, limit: 100 });
    await store.collection.collect(rules, undefined, { due: false, limit: 100 });
    clock.ms += 1000 * HOUR_MS;
  }
  await store.collection.backlog();
}

/** Repositories with some of everything go, in steps. */
async function jobs(subject: Subject): Promise<void> {
  const { store } = subject;
  const layer = await subject.push("layer");
  const absent = { digest: `sha256:${"0".repeat(64)}`, size: 1 };
  const image = await subject.image("image", { blobs: [needs(layer), needs(absent, true)], tags: [LATEST] });
  await subject.image("index", { children: [needs({ digest: image, size: 5 })] });
  const signatures = [{ name: "signature", content: new Uint8Array(3) }];
  await store.signatures.put(APP, image, signatures, { maxBytes: 1000, taken: "skip" });
  await subject.begin();
  const names = Array.from({ length: 2 * STEP_ROWS }, (_, at) => tag(`v${at}`));
  await subject.image("image", { tags: names });
  for (let at = 0; at <= STEP_ROWS; at++) await subject.image(`referrer ${at}`, { subject: image });
  await store.manifests.delete(APP, textDigest("index"));
  await store.manifests.delete(APP, image);
  await store.manifests.delete(APP, textDigest("referrer 0"));
  for (const { id } of await store.jobs.list(PAGE)) await store.jobs.step(id);
  await subject.image("image", { tags: [LATEST], blobs: [needs(layer), needs(absent, true)] });
  await subject.image("index", { children: [needs({ digest: image, size: 5 })] });
  await store.signatures.put(APP, image, signatures, { maxBytes: 1000, taken: "skip" });
  await store.repositories.usageOf(APP);
  await store.repositories.immutableTag(APP, ["v*"]);
  await store.repositories.delete(APP);
  await store.jobs.last();
  for (let [job] = await store.jobs.list(PAGE); job; [job] = await store.jobs.list(PAGE)) await store.jobs.step(job.id);
}

async function background(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  await store.leases.take("work", "me", clock.ms + HOUR_MS);
  await store.leases.renew("work", "me", clock.ms + 2 * HOUR_MS);
  await store.leases.isHeld("work");
  await store.leases.release("work", "me");
  await store.trash.due(10);
  await store.trash.forget(["uploads/mine"]);
  await store.checkReady();
  for (const scope of ["accounts", { repository: APP }] as const) await store.revision(scope);
  await subject.change("insert into change (number, repository) values (999999, 'forgets')"); // the next one removes old ones
  await subject.image("forgets", { to: APP });
  await store.overview.recordRun("backup");
  await store.audit.recordCommand("system:root", "gc");
  await store.audit.unlogged(10);
  await store.audit.logged(1, true);
  await store.audit.recordCommand("system:root", "gc");
  await store.audit.logged(2, false);
  await store.quotas.usage("*");
  await store.overview.read();
  await store.repositories.usage(PAGE);
}

async function adoption(subject: Subject): Promise<void> {
  const { adoptions } = subject.store;
  await adoptions.begin();
  await subject.change("insert into adoption (id, phase, begun_at) values (1, 'names', 1) on conflict (id) do nothing");
  await adoptions.begin();
  await adoptions.nameRepositories(
    [
      { name: APP, hasManifests: true },
      { name: OTHER, hasManifests: false },
    ],
    [{ kind: "bad name", repository: "", subject: "Upper", detail: "it is no name" }],
  );
  await adoptions.endNames();
  await adoptions.open("", 10);
  await adoptions.openIn({ limit: 10 });
  await adoptions.names("", 10);
  const [layer, image] = [textDigest("layer"), textDigest("image")];
  const blob = { digest: layer, size: 5, storageKey: "docker/layer", fingerprint: "1", isIntact: true, createdAt: 1 };
  const manifest = {
    digest: image,
    mediaType: "application/x",
    artifactType: undefined,
    subject: undefined,
    annotations: undefined,
    payload: new Uint8Array(5),
    pushedAt: 1,
    blobs: [layer],
    children: [textDigest("child")],
    unlinked: [layer],
  };
  const part = { blobs: [], manifests: [manifest], tags: [], findings: [], isLast: false };
  await adoptions.adopt(APP, part);
  await adoptions.presentManifests(APP, [image]);
  await adoptions.adopt(APP, {
    ...part,
    blobs: [blob], // which the manifest awaits
    manifests: [],
    tags: [{ name: LATEST, digest: image, updatedAt: 1 }],
    isLast: true,
  });
  await adoptions.isDone(APP);
  await adoptions.keys([layer]);
  const loose = { ...blob, digest: textDigest("loose"), storageKey: "docker/loose" };
  await adoptions.addLoose({ blobs: [loose], redundant: ["docker/other"], findings: [] });
  await adoptions.discard(["docker/upload"], 1);
  await adoptions.addFindings([]);
  await adoptions.linkedBlobs(APP, 0, 10);
  await adoptions.findingsIn(APP, 10);
  await adoptions.findings(undefined, 10);
  await adoptions.progress();
  await adoptions.goTo("tags");
  await adoptions.end();
  await adoptions.phase();
  await adoptions.forgetNames(10);
}
