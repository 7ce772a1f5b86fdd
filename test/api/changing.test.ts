/** Changes by the API: previews say what happens, and what can be undone is. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import { tag as tagOf } from "../../src/oci/tag.ts";
import type { ChangeEvent } from "../../src/server/change-event.ts";
import {
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { ApiClient } from "./support/api-client.ts";
import { configOf, pushBlob, pushImage, pushManifest } from "./support/content.ts";

setDefaultTimeout(30_000);

/** Of layers that registries need not have (image-spec, layer.md). */
const FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";

let registry: Registry;
let api: ApiClient;
const changes: ChangeEvent[] = [];

beforeAll(async () => {
  registry = await createRegistry({
    storage: "memory",
    collection: { leaseMs: 0, graceMs: 0, freshMs: 0 },
    limits: { immutableTagsOf: (name) => (name.startsWith("fixed/") ? ["v*"] : []) },
    events: { endpoints: [], readersMs: 3_600_000 },
    onChange: (event) => changes.push(event),
  });
  api = new ApiClient(registry);
});
afterAll(() => registry.close());

async function bytesStored(): Promise<number> {
  return (await registry.overview()).bytes;
}

test("a preview of a deletion changes nothing, and frees what it said once it is done", async () => {
  const shared = "s".repeat(300);
  await pushImage(registry, "room/keep", { config: configOf("a"), layers: [shared], tag: "v1" });
  const image = await pushImage(registry, "room/go", {
    config: configOf("b"),
    layers: [shared, "o".repeat(500)],
    tag: "v1",
  });
  const index = imageIndex([{ ...image, platform: { os: "linux", architecture: "b" } }] as TestDescriptor[]);
  await pushManifest(registry, "room/go/manifests/multi", OCI_INDEX, index);
  const body = { tags: [{ name: "v1" }, { name: "multi" }, { name: "none" }], manifests: true };
  const before = await bytesStored();
  const preview = (await api.send("POST", "/repositories/room/go/-/deletions", { body: { ...body, dryRun: true } }))
    .body;
  expect(preview).toMatchObject({
    dryRun: true,
    stays: [{ what: "none", why: "absent" }],
    freedBytes: 500 + configOf("b").length + image.size + index.length,
    keptBytes: 300,
    undo: { isPossible: false },
  });
  expect(preview.manifests.toSorted()).toEqual([digestOf(index), image.digest].toSorted());
  expect((await api.get("/repositories/room/go/-/tags")).body.total).toBe(2);
  const done = (await api.send("POST", "/repositories/room/go/-/deletions", { body })).body;
  expect(done).toMatchObject({ dryRun: false, freedBytes: preview.freedBytes, manifests: preview.manifests });
  await registry.collect();
  expect(before - (await bytesStored())).toBe(preview.freedBytes);
});

test("deleted and moved tags are put back from their history", async () => {
  const first = await pushImage(registry, "undo/app", { config: configOf("a"), layers: ["1"], tag: "v1" });
  const second = await pushImage(registry, "undo/app", { config: configOf("a"), layers: ["2"], tag: "v1" });
  const deleted = await api.send("DELETE", "/repositories/undo/app/-/tags/v1");
  expect(deleted.body).toMatchObject({
    tags: [{ name: "v1", digest: second.digest }],
    undo: { isPossible: true, until: null },
  });
  expect((await api.send("DELETE", "/repositories/undo/app/-/tags/v1")).status).toBe(404);
  const { items } = (await api.get("/repositories/undo/app/-/tags/v1/history")).body;
  expect(items).toMatchObject([
    { digest: second.digest, canRestore: true },
    { digest: first.digest, canRestore: true },
  ]);
  const back = { body: { digest: items[0].digest }, headers: { "if-none-match": "*" } };
  expect((await api.send("PUT", "/repositories/undo/app/-/tags/v1", back)).body.digest).toBe(second.digest);
  expect((await api.send("PUT", "/repositories/undo/app/-/tags/v1", back)).status).toBe(412);
  const event = changes
    .filter(({ repository }) => repository === "undo/app")
    .map(({ action, object }) => `${action} ${object}`);
  expect(event.slice(-2)).toEqual(["delete tag", "push manifest"]);
});

test("a tag that moved meanwhile, and one that is immutable, stay", async () => {
  const image = await pushImage(registry, "fixed/app", { config: configOf("a"), layers: ["1"], tag: "v1" });
  await pushManifest(registry, "fixed/app/manifests/main", OCI_INDEX, imageIndex([image]));
  const body = { tags: [{ name: "v1" }, { name: "main", digest: digestOf("other") }] };
  expect((await api.send("POST", "/repositories/fixed/app/-/deletions", { body })).body).toMatchObject({
    tags: [],
    stays: [
      { what: "v1", why: "immutable" },
      { what: "main", why: "moved" },
    ],
  });
  expect((await api.send("DELETE", "/repositories/fixed/app/-/tags/v1")).status).toBe(403);
  expect((await api.send("DELETE", `/repositories/fixed/app/-/manifests/${image.digest}`)).status).toBe(403);
  for (const query of ["?dryRun=true", ""]) {
    expect((await api.send("DELETE", `/repositories/fixed/app${query}`)).status).toBe(403);
  }
  expect((await api.get("/repositories/fixed/app/-/tags")).body.total).toBe(2);
});

test("an image that an index lists stays while the index does, and goes with it", async () => {
  const image = await pushImage(registry, "arch/app", { config: configOf("amd64"), layers: ["1"], tag: "1.0-amd64" });
  const index = imageIndex([image]);
  await pushManifest(registry, "arch/app/manifests/1.0", OCI_INDEX, index);
  const only = { tags: [{ name: "1.0-amd64" }], manifests: true };
  const stays = { tags: [{ name: "1.0-amd64" }], manifests: [], stays: [{ what: image.digest, why: "needed" }] };
  for (const body of [{ ...only, dryRun: true }, only]) {
    const answer = await api.send("POST", "/repositories/arch/app/-/deletions", { body });
    expect(answer.body).toMatchObject({ ...stays, freedBytes: 0, freedAt: null, undo: { isPossible: true } });
  }
  const path = `/repositories/arch/app/-/manifests/${image.digest}`;
  expect((await api.get(path)).status).toBe(200);
  const back = { body: { digest: image.digest } };
  expect((await api.send("PUT", "/repositories/arch/app/-/tags/1.0-amd64", back)).status).toBe(200);
  const both = { tags: [...only.tags, { name: "1.0" }], manifests: true };
  const gone = (await api.send("POST", "/repositories/arch/app/-/deletions", { body: both })).body;
  expect(gone.manifests.toSorted()).toEqual([image.digest, digestOf(index)].toSorted());
  expect((await api.get(path)).status).toBe(404);
});

test("tags that match a pattern go together", async () => {
  for (const tag of ["1.0", "1.1", "2.0"]) {
    await pushImage(registry, "many/app", { config: configOf("a"), layers: [tag], tag });
  }
  const answer = await api.send("POST", "/repositories/many/app/-/deletions", { body: { matching: "1.*" } });
  expect(answer.body.tags.map(({ name }: { name: string }) => name)).toEqual(["1.0", "1.1"]);
  expect((await api.get("/repositories/many/app/-/tags")).body.items).toMatchObject([{ name: "2.0" }]);
});

test("a request of which every tag stays does not ask to be sent again", async () => {
  const tags = Array.from({ length: 1001 }, (_, at) => tagOf(`v${at}`));
  await registry.namespace
    .repository(repositoryName("fixed/many"))
    .manifests.put(Buffer.from(imageIndex([])), { tags });
  const path = "/repositories/fixed/many/-/deletions";
  expect((await api.send("POST", path, { body: { matching: "v*", dryRun: true } })).body.more).toBe(true);
  expect((await api.send("POST", path, { body: { matching: "v*" } })).body).toMatchObject({ tags: [], more: false });
});

test("a manifest is deleted with its tags, and a repository with all of it", async () => {
  const image = await pushImage(registry, "whole/app", { config: configOf("a"), layers: ["1"], tag: "v1" });
  const path = `/repositories/whole/app/-/manifests/${image.digest}`;
  expect((await api.send("DELETE", `${path}?dryRun=true`)).body.tags).toMatchObject([{ name: "v1" }]);
  expect((await api.send("DELETE", path)).body).toMatchObject({
    manifests: [image.digest],
    undo: { isPossible: false },
  });
  expect((await api.send("DELETE", path)).status).toBe(404);
  await pushImage(registry, "whole/app", { config: configOf("a"), layers: ["own"], tag: "v1" });
  expect((await api.send("DELETE", "/repositories/whole/app?dryRun=true")).body).toMatchObject({
    tags: 1,
    manifests: 1,
  });
  expect((await api.send("DELETE", "/repositories/whole/app")).status).toBe(200);
  expect((await api.get("/repositories/whole/app")).status).toBe(404);
});

test("an image is copied with its referrers, without a transfer", async () => {
  const image = await pushImage(registry, "copy/from", { config: configOf("a"), layers: ["1", "2"], tag: "v1" });
  await pushImage(registry, "copy/from", { config: "{}", layers: ["signature"], more: { subject: image } });
  const before = await bytesStored();
  const body = { from: "copy/from", reference: "v1", tag: "stable" };
  expect((await api.send("POST", "/repositories/copy/to/-/copies", { body })).body).toEqual({
    digest: image.digest,
    manifests: 2,
  });
  expect((await api.get("/repositories/copy/to/-/tags/stable")).body.digest).toBe(image.digest);
  expect((await bytesStored()) - before).toBeLessThan(2000); // two manifests, and no blob
  const absent = { ...body, reference: "none" };
  expect((await api.send("POST", "/repositories/copy/to/-/copies", { body: absent })).status).toBe(404);
});

test("a foreign layer that is not there is left out of a copy", async () => {
  await pushBlob(registry, "copy/foreign", "{}");
  const foreign = descriptorOf(FOREIGN_LAYER, "nowhere");
  const image = imageManifest(descriptorOf(OCI_CONFIG, "{}"), [foreign]);
  await pushManifest(registry, "copy/foreign/manifests/v1", OCI_MANIFEST, image);
  const body = { from: "copy/foreign", reference: "v1" };
  const copied = await api.send("POST", "/repositories/copy/of-foreign/-/copies", { body });
  expect(copied.body).toEqual({ digest: digestOf(image), manifests: 1 });
});

test("a copy mounts no blob that the other repository does not have", async () => {
  await pushBlob(registry, "secret/app", "secret");
  await pushBlob(registry, "copy/lure", "{}");
  const foreign = descriptorOf(FOREIGN_LAYER, "secret");
  const lure = imageManifest(descriptorOf(OCI_CONFIG, "{}"), [foreign]);
  await pushManifest(registry, "copy/lure/manifests/v1", OCI_MANIFEST, lure);
  const body = { from: "copy/lure", reference: "v1" };
  expect((await api.send("POST", "/repositories/copy/thief/-/copies", { body })).status).toBe(200);
  const manifest = `http://registry.test/v2/copy/thief/manifests/${digestOf(lure)}`;
  expect((await registry.fetch(new Request(manifest))).status).toBe(200);
  const blob = `http://registry.test/v2/copy/thief/blobs/${digestOf("secret")}`;
  expect((await registry.fetch(new Request(blob))).status).toBe(404);
});

test("a copy of an image whose layer was deleted is refused with 409", async () => {
  const { digest } = await pushImage(registry, "copy/broken", { config: "{}", layers: ["deleted"], tag: "v1" });
  const layer = `http://registry.test/v2/copy/broken/blobs/${digestOf("deleted")}`;
  expect((await registry.fetch(new Request(layer, { method: "DELETE" }))).status).toBe(202);
  const body = { from: "copy/broken", reference: digest };
  expect((await api.send("POST", "/repositories/copy/of-broken/-/copies", { body })).status).toBe(409);
  expect((await api.get(`/repositories/copy/of-broken/-/manifests/${digest}`)).status).toBe(404);
});

test("uploads are listed and cancelled", async () => {
  const begun = await registry.fetch(
    new Request("http://registry.test/v2/open/app/blobs/uploads/", { method: "POST" }),
  );
  expect(begun.status).toBe(202);
  const { items } = (await api.get("/repositories/open/app/-/uploads")).body;
  expect(items).toMatchObject([{ bytes: 0 }]);
  const path = `/repositories/open/app/-/uploads/${items[0].id}`;
  expect((await api.send("DELETE", path)).body).toEqual({ id: items[0].id });
  expect((await api.send("DELETE", path)).status).toBe(404);
});

test("a collection is previewed and run, and jobs are listed", async () => {
  await pushImage(registry, "gc/app", { config: configOf("gc"), layers: ["garbage"], tag: "v1" });
  await api.send("POST", "/repositories/gc/app/-/deletions", { body: { tags: [{ name: "v1" }], manifests: true } });
  const preview = (await api.get("/collection/preview")).body;
  expect(preview.items.some(({ digest }: { digest: string }) => digest === digestOf("garbage"))).toBe(true);
  expect((await api.send("POST", "/collection")).body.state).toBe("running");
  let run = (await api.get("/collection")).body.run;
  while (run.state === "running") {
    await nextTurn(); // the collection goes on beside the requests
    ({ run } = (await api.get("/collection")).body);
  }
  expect(run).toMatchObject({ state: "done", report: { blobs: expect.any(Number) } });
  expect((await api.get("/collection/preview")).body.items).toEqual([]);
  expect((await api.get("/jobs")).body.items).toEqual([]);
});

test("wrong bodies are refused and change nothing", async () => {
  const path = "/repositories/room/keep/-/deletions";
  const statuses: readonly (readonly [unknown, number])[] = [
    ["{", 400],
    ["[]", 400],
    ["null", 400],
    [{ tags: "v1" }, 400],
    [{ tags: [{ name: "-bad" }] }, 400],
    [{ digests: ["sha256:x"] }, 400],
    [{ unknown: true }, 400],
    [{ tags: Array.from({ length: 1001 }, () => ({ name: "v1" })) }, 400],
  ];
  for (const [body, status] of statuses) expect((await api.send("POST", path, { body })).status).toBe(status);
  const typed = { body: "{}", headers: { "content-type": "text/plain" } };
  expect((await api.send("POST", path, typed)).status).toBe(415);
  const untyped = { method: "POST", body: new Blob(['{"matching":"*"}']) };
  expect((await registry.fetch(new Request(`http://registry.test/api/v1${path}`, untyped))).status).toBe(415);
  expect((await api.send("POST", path, { body: " ".repeat(1024 * 1024 + 1) })).status).toBe(413);
  expect((await api.get("/repositories/room/keep/-/tags")).body.total).toBe(1);
});
