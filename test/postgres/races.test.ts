/** Two processes on one PostgreSQL at the same moment: the outcome is as if one came after the other. */
import { afterAll, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { NewManifest } from "../../src/metadata/manifests.ts";
import { Metadata } from "../../src/metadata/metadata.ts";
import { openPostgres } from "../../src/metadata/postgres/open-postgres.ts";
import { APP, IMAGE_TYPE, Subject, needs, textDigest } from "../../src/metadata/testing/subject.ts";
import { tag } from "../../src/oci/tag.ts";
import { sharedServer } from "./support/postgres-server.ts";

const ROUNDS = 12;

const RULES = { leaseMs: 0, graceMs: 0, undoMs: 0, freshMs: 0, untagged: true };

const url = await (await sharedServer()).createDatabase();
const subject = await Subject.open(async (clock) => {
  const engine = await openPostgres({ url, connections: 4 });
  return { store: new Metadata(engine, clock, { periods: RULES }), engine };
});
const other = new Metadata(await openPostgres({ url, connections: 4 }), subject.clock, { periods: RULES });
const { store } = subject;

afterAll(async () => {
  await store.close();
  await other.close();
});

function manifestOf(content: string, more: Partial<NewManifest>): NewManifest {
  return {
    digest: textDigest(content),
    mediaType: IMAGE_TYPE,
    artifactType: undefined,
    subject: undefined,
    annotations: undefined,
    condition: undefined,
    payload: new TextEncoder().encode(content),
    blobs: [],
    children: [],
    tags: [],
    ...more,
  };
}

/** Puts a manifest by the other process. */
function putElsewhere(content: string, more: Partial<NewManifest>): ReturnType<Metadata["manifests"]["put"]> {
  return other.manifests.put(APP, manifestOf(content, more));
}

test("of two pushes of an immutable tag one wins, and the other is refused", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const stable = tag(`v${round}`);
    const terms = { tags: [stable], immutableTags: [stable] };
    const results = await Promise.all([subject.put(`one ${round}`, terms), putElsewhere(`two ${round}`, terms)]);
    expect(results.map(({ kind }) => kind).toSorted()).toEqual(["immutable", "stored"]);
    const winner = results[0].kind === "stored" ? `one ${round}` : `two ${round}`;
    expect((await store.manifests.findByTag(APP, stable))?.digest).toBe(textDigest(winner));
  }
});

test("a manifest that was accepted has its blobs, though garbage collection ran meanwhile", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const layer = await subject.push(`layer ${randomUUID()}`);
    subject.clock.ms += 1;
    const [put] = await Promise.all([
      putElsewhere(`image ${round}`, { blobs: [needs(layer)], tags: [tag(`image-${round}`)] }),
      store.collection.collect(RULES, undefined, { due: false, limit: 100 }),
    ]);
    expect(["stored", "missing"]).toContain(put.kind);
    expect((await store.blobs.find(APP, layer.digest)) !== undefined).toBe(put.kind === "stored");
  }
});

test("a tag that was accepted points at a manifest, though garbage collection ran meanwhile", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const digest = await subject.image(`untagged ${round}`);
    subject.clock.ms += 1;
    const late = tag(`late-${round}`);
    const [put] = await Promise.all([
      other.tags.put(APP, late, digest),
      store.collection.collect(RULES, undefined, { due: false, limit: 100 }),
    ]);
    expect((await store.manifests.findByTag(APP, late))?.digest).toBe(put === "done" ? digest : undefined);
  }
});

test("a change that one process answered is known to the other, whatever else is committed at the same time", async () => {
  let last = await other.revision({ repository: APP });
  for (let round = 0; round < ROUNDS * 4; round++) {
    const noise = Promise.all([0, 1, 2].map((each) => subject.push(`noise ${round} ${each}`)));
    await store.manifests.put(APP, manifestOf(`seen ${round}`, { tags: [tag("seen")] }));
    const now = await other.revision({ repository: APP });
    expect(now).not.toBe(last);
    last = now;
    await noise;
  }
});
