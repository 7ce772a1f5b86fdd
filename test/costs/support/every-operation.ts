/** Every operation on facts once, and twice where it goes two ways, so that each statement that there is runs. */
import { DEFAULT_RULES } from "../../../src/metadata/metadata-store.ts";
import type { CollectionRules } from "../../../src/metadata/metadata-store.ts";
import { SqlMetadataStore } from "../../../src/metadata/sql-metadata-store.ts";
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
} from "../../../src/metadata/testing/subject.ts";
import type { Subject } from "../../../src/metadata/testing/subject.ts";
import { repositoryName } from "../../../src/oci/repository-name.ts";
import { tag } from "../../../src/oci/tag.ts";

const PAGE = { limit: 10 };
const LATEST = tag("latest");

export async function everyOperation(subject: Subject): Promise<void> {
  await uploads(subject);
  await blobs(subject);
  await manifests(subject);
  await tags(subject);
  await referrers(subject);
  await quotas(subject);
  await accounts(subject);
  await collection(subject);
  await background(subject);
}

async function uploads(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  const progress = { received: 3, digestSoFar: undefined, expiresAt: clock.ms + HOUR_MS };

  const id = await subject.begin();
  await store.findUpload(APP, id);
  await store.tellUpload(APP, id);
  const claimed = await subject.claim(id, { finalKey: keyOf(id) });
  await store.renewHolder(HOLDER, clock.ms + HOUR_MS);
  await store.lostUploads(HOLDER, [{ id, version: claimed }]);
  await store.nameFinalKey(id, claimed, `${keyOf(id)}/2`);
  await store.reservePart("uploads/mine", clock.ms + HOUR_MS);
  await store.moveUpload(id, claimed, "uploads/mine");
  const saved = await store.saveUpload({ ...progress, id, version: claimed, staged: new Uint8Array(3) });
  await store.saveUpload({ ...progress, id, version: saved ?? 0, staged: undefined });
  await store.releaseUpload(id, HOLDER);
  await store.cancelUpload(APP, id);

  await subject.begin(APP, clock.ms - 1);
  await store.expireUploads(10);
}

async function blobs(subject: Subject): Promise<void> {
  const { store } = subject;
  const small = await subject.push("small", { at: inline("small") });
  const large = await subject.push("large");
  await subject.push("large"); // the bytes are here
  await store.findBlob(APP, small.digest);
  for (const { digest } of [small, large]) await store.findBytes(digest);
  await subject.push("small"); // in a file now
  await store.touchBlob(APP, large.digest);
  await store.mountBlob(OTHER, APP, large.digest);
  await store.repositoriesWithBlob(large.digest, 10);
  await store.markDamaged(large.digest, large.key);
  await store.markDamaged(small.digest, new Uint8Array());
  await store.confirmBlob(large.digest, large.key, 13);
  await store.markDamaged(large.digest, large.key);
  await subject.push("large");
  await store.unlinkBlob(OTHER, large.digest, () => false);
  await store.allBlobs(PAGE);
  await store.knownKeys([large.key]);
  await store.repositoryExists(APP);
}

async function manifests(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  const layer = await subject.push("layer");
  const absent = { digest: `sha256:${"0".repeat(64)}`, size: 1 };
  const image = await subject.image("image", { blobs: [needs(layer), needs(absent, true)], tags: [LATEST] });
  await subject.image("index", { children: [needs({ digest: image, size: 5 })] });
  await store.touchBlob(APP, layer.digest);
  for (const read of ["findManifest", "readManifest"] as const) await store[read](APP, image);
  for (const read of ["findManifestByTag", "readManifestByTag"] as const) await store[read](APP, LATEST);
  await store.manifests(APP, PAGE);
  await store.repositories(PAGE);
  await store.repositories({ from: "team", limit: 10 });
  await store.manifestsNeeding(layer.digest, 10);
  const untagged = await subject.image("untagged");
  await store.touchManifest(APP, untagged, clock.ms + 1);
}

async function tags(subject: Subject): Promise<void> {
  const { store } = subject;
  const other = await subject.image("other image", { tags: [tag("v2")] });
  await store.putTag(APP, LATEST, other, { condition: { kind: "exists" }, immutable: false });
  await store.tags(APP, PAGE);
  await store.tagHistory(APP, LATEST, 10);
  await store.deleteTag(APP, LATEST);
  await store.deleteManifest(APP, other, () => false);
}

async function referrers(subject: Subject): Promise<void> {
  const { store } = subject;
  const image = await subject.image("image");
  await subject.image("referrer", { subject: image });
  await store.referrers(APP, image, { maxBytes: 1000 });
  await store.putSignatures(APP, image, [{ name: "signature", content: new Uint8Array(3) }], {
    maxBytes: 1000,
    taken: "skip",
  });
  await store.signatures(APP, image);
  await store.pinManifest(APP, image, "kept");
  await store.pins(APP, PAGE);
  await store.unpinManifest(APP, image);
}

async function quotas({ store, engine, clock }: Subject): Promise<void> {
  const bounded = new SqlMetadataStore(engine, clock, DEFAULT_RULES, [{ prefix: "*", bytes: 1_000_000, tags: 100 }]);
  const team = new SqlMetadataStore(engine, clock, DEFAULT_RULES, [{ prefix: "team", repositories: 0 }]);
  await team.keepQuotas();
  await team.putManifest(repositoryName("team/new"), newManifest("image")).catch(() => undefined); // it is refused
  await bounded.keepQuotas();
  await team.putManifest(repositoryName("team/new"), newManifest("image")).catch(() => undefined); // and counts anew
  const [blob] = await store.allBlobs(PAGE);
  await bounded.mountBlob(APP, APP, blob!.digest);
  await bounded.putManifest(APP, newManifest("image", { tags: [LATEST] }));
  const { id, ...upload } = { ...newUpload(clock.ms), begunBy: { client: "alice", atMost: 10 } };
  await bounded.createUpload(APP, { id, ...upload });
  await bounded.checkUpload(id, 100);
  await bounded.reserveUpload(id, 1, 50, 100);
  await bounded.cancelUpload(APP, id);
  const signatures = [{ name: "bounded", content: new Uint8Array(3) }];
  await bounded.putSignatures(APP, textDigest("image"), signatures, { maxBytes: 100, taken: "skip" });
}

function newUpload(now: number) {
  return { id: "bounded", partKey: "uploads/bounded", algorithm: "sha256", expiresAt: now + HOUR_MS } as const;
}

async function accounts({ store, clock }: Subject): Promise<void> {
  await store.addUser({ name: "alice", passwordHash: "$hash", groups: [], generation: "1" });
  await store.findUser("alice");
  await store.users(PAGE);
  await store.changeUser("alice", { generation: "2" });
  await store.removeUser("alice");

  const token = { id: "1", robot: "ci", secretHash: new Uint8Array(3), grants: [], expiresAt: undefined };
  await store.addRobotToken(token);
  await store.findRobotToken("1");
  await store.robotTokens(PAGE);
  await store.removeRobotToken("1");
  await store.removeRobot("ci");

  const key = { id: "1", jwk: "{}", createdAt: clock.ms };
  await store.addSigningKey(key, { unlessAfter: clock.ms, forgetUntil: 0 });
  await store.signingKeys();
  await store.secret("one");
}

/** All that lies there now goes, in two rounds: what is held by time, and then what is not. */
async function collection(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  await subject.push("unneeded");
  const rules: CollectionRules = { ...DEFAULT_RULES, untagged: true };
  for (let round = 0; round < 2; round++) {
    await store.queueUntagged(undefined, 100);
    await store.collectable(rules, undefined, 100);
    await store.collectableUntagged(rules, undefined, 100);
    await store.collect(rules, undefined, { due: true, limit: 100 });
    await store.collect(rules, undefined, { due: false, limit: 100 });
    clock.ms += 1000 * HOUR_MS;
  }
  await store.backlog();
}

async function background(subject: Subject): Promise<void> {
  const { store, clock } = subject;
  await store.takeLease("work", "me", clock.ms + HOUR_MS);
  await store.renewLease("work", "me", clock.ms + 2 * HOUR_MS);
  await store.leaseHeld("work");
  await store.releaseLease("work", "me");
  await store.dueTrash(10);
  await store.forgetTrash(["uploads/mine"]);
  await store.checkReady();
  for (const scope of ["accounts", { repository: APP }] as const) await store.revision(scope);
  await store.recordRun("backup");
  await store.recordOperation("system:root", "gc");
  await store.waitingOperations(10);
  await store.forgetOperations(1);
  await store.quotaUsage("*");
  await store.overview();
  await store.repositoryUsage(PAGE);
  await store.clear();
}
