/** A tree of distribution is taken over: pulls from the first moment, indexing beside them, and what is damaged in it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRegistry } from "../../../src/create-registry.ts";
import type { Registry, RegistryOptions } from "../../../src/create-registry.ts";
import { collect } from "../../../src/lib/collect.ts";
import type { StorageOptions } from "../../../src/open-drivers.ts";
import { pushImage } from "../../../src/registry/push-image.ts";
import { DOCKER_LIST, OCI_INDEX, OCI_LAYER, digestOf } from "../../support/content.ts";
import { scratchFolder } from "../../support/scratch.ts";
import { TreeWriter } from "./tree-writer.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const NEVER = new AbortController().signal;

export function newTree(): TreeWriter {
  return new TreeWriter(mkdtempSync(join(scratch, "tree-")));
}

async function get(registry: Registry, path: string, method: string = "GET"): Promise<Response> {
  return await registry.fetch(new Request(`http://registry/v2/${path}`, { method }));
}

export async function statusOf(registry: Registry, path: string, method?: string): Promise<number> {
  const response = await get(registry, path, method);
  await response.arrayBuffer();
  return response.status;
}

async function findingsOf(registry: Registry): Promise<readonly string[]> {
  const findings = await collect(registry.adoptionFindings());
  return findings.map(({ kind, repository, subject }) => `${kind} ${repository} ${subject}`).toSorted();
}

function read(path: string): string {
  return readFileSync(path, "utf8");
}

/** Runs the suite. `storageOf` returns the same storage whenever it is asked of the same tree. */
export function adoptionSuite(place: string, storageOf: (tree: TreeWriter) => Promise<StorageOptions>): void {
  const openOn = async (tree: TreeWriter, options: Partial<RegistryOptions> = {}): Promise<Registry> =>
    await createRegistry({ storage: await storageOf(tree), ...options });

  describe(`${place}: a tree of distribution that was just opened`, () => {
    test("serves tags, digests and blobs before anything is indexed, and 404 for what is not there", async () => {
      const tree = newTree();
      const image = tree.image("team/app", "1", ["v1"]);
      const nested = tree.image("team/app/deep", "2", ["latest"]);
      const index = tree.index("team/app", [image], ["multi"]);
      const sha512 = tree.blobBySha512("team/app", "by another algorithm");
      await using registry = await openOn(tree);
      const byTag = await get(registry, "team/app/manifests/v1");
      expect([byTag.status, byTag.headers.get("content-type")]).toEqual([200, image.mediaType]);
      expect(new Uint8Array(await byTag.arrayBuffer())).toEqual(new Uint8Array(image.bytes));
      expect(await statusOf(registry, `team/app/manifests/${index.digest}`)).toBe(200);
      const layer = await get(registry, `team/app/blobs/${image.layers[0]?.digest}`);
      expect(await layer.text()).toBe("layer 1");
      expect(await statusOf(registry, `team/app/deep/blobs/${nested.config.digest}`, "HEAD")).toBe(200);
      const other = await get(registry, `team/app/blobs/${sha512.digest}`);
      expect(await other.text()).toBe("by another algorithm");
      for (const absent of [
        "team/app/manifests/v2",
        `team/app/manifests/${digestOf("nothing")}`,
        `team/app/blobs/${digestOf("nothing")}`,
        `team/app/blobs/${nested.config.digest}`,
        "nobody/nothing/manifests/v1",
      ]) {
        expect([absent, await statusOf(registry, absent)]).toEqual([absent, 404]);
      }
    });

    test("lists all repositories, tags and referrers, and copies no blob", async () => {
      const tree = newTree();
      const image = tree.image("b/app", "1", ["v1", "v2"]);
      tree.image("a", "2", ["v1"]);
      const subject = { mediaType: image.mediaType, digest: image.digest, size: image.size };
      const signature = tree.image("b/app", "3", [], { artifactType: "application/x.signature", subject });
      await using registry = await openOn(tree);
      expect(await (await get(registry, "_catalog")).json()).toEqual({ repositories: ["a", "b/app"] });
      expect(await (await get(registry, "b/app/tags/list")).json()).toMatchObject({ tags: ["v1", "v2"] });
      const referrers = (await (await get(registry, `b/app/referrers/${image.digest}`)).json()) as {
        manifests: { digest: string }[];
      };
      expect(referrers.manifests.map(({ digest }) => digest)).toEqual([signature.digest]);
      expect(existsSync(join(tree.root, "blobs/sha256"))).toBe(false);
    });

    test("shows by the API what is not indexed yet, and deletes it", async () => {
      for (const [method, path] of [
        ["GET", ""],
        ["GET", "/-/tags/v1"],
        ["GET", "/-/manifests/DIGEST"],
        ["DELETE", ""],
      ] as const) {
        const tree = newTree();
        const { digest } = tree.image("team/app", "1", ["v1"]);
        await using registry = await openOn(tree);
        const url = `http://registry/api/v1/repositories/team/app${path.replace("DIGEST", digest)}`;
        expect([path, (await registry.fetch(new Request(url, { method }))).status]).toEqual([path, 200]);
        expect(await statusOf(registry, "team/app/manifests/v1")).toBe(method === "GET" ? 200 : 404);
      }
    });

    test("takes pushes: a new tag wins over the tree, blobs of the tree count, and mounts from it work", async () => {
      const tree = newTree();
      const old = tree.image("app", "old", ["latest"]);
      await using registry = await openOn(tree);
      const text = JSON.stringify({ schemaVersion: 2, config: old.config, layers: [...old.layers, ...old.layers] });
      const put = await registry.fetch(
        new Request("http://registry/v2/app/manifests/latest", {
          method: "PUT",
          body: text,
          headers: { "content-type": old.mediaType },
        }),
      );
      expect(put.status).toBe(201);
      const mount = `fork/blobs/uploads/?mount=${old.config.digest}&from=app`;
      expect(await statusOf(registry, mount, "POST")).toBe(201);
      await registry.adoptInBackground(NEVER);
      expect((await get(registry, "app/manifests/latest")).headers.get("docker-content-digest")).toBe(digestOf(text));
      const repository = registry.namespace.repository("app" as never);
      const history = await repository.tags.history("latest" as never);
      expect(history.map(({ digest }) => digest as string)).toEqual([digestOf(text), old.digest]);
    });

    test("nothing comes back that was deleted before the indexing", async () => {
      const tree = newTree();
      const kept = tree.image("app", "kept", ["kept"]);
      const gone = tree.image("app", "gone", ["gone", "also-gone"]);
      tree.image("whole", "repository", ["v1"]);
      await using registry = await openOn(tree);
      expect(await statusOf(registry, "app/manifests/gone", "DELETE")).toBe(202);
      expect(await statusOf(registry, `app/manifests/${gone.digest}`, "DELETE")).toBe(202);
      expect(await registry.deleteRepository("whole" as never)).toBe(true);
      await registry.adoptInBackground(NEVER);
      for (const absent of [`app/manifests/${gone.digest}`, "app/manifests/also-gone", "whole/manifests/v1"]) {
        expect([absent, await statusOf(registry, absent)]).toEqual([absent, 404]);
      }
      expect(await statusOf(registry, `app/manifests/${kept.digest}`)).toBe(200);
      expect(await findingsOf(registry)).toEqual([]);
    });
  });

  describe(`${place}: indexing a tree of distribution`, () => {
    test("is resumed where it was stopped, and another server does not begin it again", async () => {
      const tree = newTree();
      for (let at = 0; at < 60; at++) tree.image(`team${at % 7}/app`, `seed ${at}`, [`v${at}`]);
      const stopping = new AbortController();
      {
        await using registry = await openOn(tree);
        const running = registry.adoptInBackground(stopping.signal);
        while (((await registry.adoption())?.manifests ?? 0) === 0) await Bun.sleep(1);
        stopping.abort();
        await running;
        expect((await registry.adoption())?.phase).not.toBe("done");
      }
      await using registry = await openOn(tree);
      await using other = await openOn(tree);
      await Promise.all([registry.adoptInBackground(NEVER), other.adoptInBackground(NEVER)]);
      expect(await registry.adoption()).toMatchObject({ phase: "done", manifests: 60, tags: 60, findings: 0 });
      expect(await statusOf(other, "team3/app/manifests/v3")).toBe(200);
    });

    test("is resumed within a folder of blobs that no repository shows", async () => {
      const tree = newTree();
      tree.image("app", "1", ["v1"]);
      let loose = 0;
      for (let at = 0; loose < 700; at++) {
        const content = `loose ${at}`;
        if (!digestOf(Buffer.from(content)).startsWith("sha256:ab")) continue;
        tree.bytes(content);
        loose++;
      }
      const stopping = new AbortController();
      {
        await using registry = await openOn(tree);
        const running = registry.adoptInBackground(stopping.signal);
        while (((await registry.adoption())?.blobs ?? 0) < 400) await Bun.sleep(0);
        stopping.abort();
        await running;
      }
      await using registry = await openOn(tree);
      await registry.adoptInBackground(NEVER);
      const loosened = (await collect(registry.allBlobs())).filter(({ digest }) => digest.startsWith("sha256:ab"));
      expect(loosened.length).toBeGreaterThanOrEqual(loose);
    });

    test("holds back garbage collection and backups; then takes unreferenced blobs and half uploads by age", async () => {
      const tree = newTree();
      const image = tree.image("app", "1", ["v1"]);
      const loose = tree.bytes("shown by no repository");
      const unneeded = tree.blob("app", "needed by no manifest");
      tree.upload("app", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", new Date(0));
      tree.upload("app", "3f2504e0-4f89-41d3-9a0c-0305e82c3302", new Date());
      await using registry = await openOn(tree);
      expect(registry.collect()).rejects.toThrow("indexed");
      expect(registry.holdUnlinking()).rejects.toThrow("indexed");
      await registry.adoptInBackground(NEVER);
      expect(await registry.adoption()).toMatchObject({ phase: "done", manifests: 1, blobs: 4 });
      await registry.collect({ graceMs: 0, leaseMs: 0 });
      for (const digest of [loose.digest, unneeded.digest]) expect(existsSync(tree.blobPath(digest))).toBe(false);
      const uploads = tree.path("repositories/app/_uploads");
      expect(existsSync(join(uploads, "3f2504e0-4f89-41d3-9a0c-0305e82c3301"))).toBe(false);
      expect(existsSync(join(uploads, "3f2504e0-4f89-41d3-9a0c-0305e82c3302", "data"))).toBe(true);
      expect(await statusOf(registry, "app/manifests/v1")).toBe(200);
      expect(await statusOf(registry, `app/blobs/${image.layers[0]?.digest}`)).toBe(200);
      expect(existsSync(tree.blobPath(image.layers[0]?.digest ?? ""))).toBe(true);
    });

    test("reports what is damaged in words that any database takes", async () => {
      const tree = newTree();
      const ODD = String.raw`{"\u0000\ud800": 1, "\u0000\ud800": 2, "schemaVersion": 2}`;
      tree.manifest("odd", ODD, ["bad"]);
      const good = tree.image("odd", "1", ["v1"], { annotations: { "odd\0": "\ud800" } });
      await using registry = await openOn(tree);
      await registry.adoptInBackground(NEVER);
      expect((await registry.adoption())?.phase).toBe("done");
      expect((await findingsOf(registry)).map((finding) => finding.slice(0, 12))).toEqual([
        "bad manifest",
        "missing revi",
      ]);
      expect(await statusOf(registry, `odd/manifests/${good.digest}`)).toBe(200);
    });

    test("names everything that is damaged, and adopts all the rest", async () => {
      const tree = newTree();
      const good = tree.image("good", "1", ["v1"]);
      // a manifest of no known form, and one of another type
      const bad = tree.manifest("bad", "{ no manifest", ["broken"]);
      const unknown = tree.manifest("bad", { schemaVersion: 2, mediaType: "application/x.unknown" }, ["unknown"]);
      const schema1 = tree.manifest("bad", { schemaVersion: 1, name: "bad", tag: "old", fsLayers: [] }, ["old"]);
      // tags: an empty link, no link, a link to what is not there
      tree.write(tree.tagLink("tags", "empty"), "");
      tree.write(tree.path("repositories/tags/_manifests/tags/none/index/sha256/aa/link"), "x");
      tree.tag("tags", "lost", digestOf("no manifest"));
      tree.write(tree.path("repositories/tags/_manifests/tags/-wrong/current/link"), "x");
      const linked = tree.image("tags", "2", ["v1"]);
      // references: a child that is not there, a nested list, layers and configs without links or bytes
      const child = { mediaType: good.mediaType, digest: digestOf("no child"), size: 8 };
      const list = tree.index("lists", [tree.image("lists", "3"), child], ["partial"]);
      tree.index("lists", [tree.index("lists", [tree.image("lists", "4")])], ["nested"]);
      const unlinked = tree.image("lists", "5", ["unlinked"]);
      tree.remove("repositories/lists/_layers/sha256", unlinked.layers[0]?.digest.slice(7) ?? "");
      const empty = tree.image("bytes", "6", ["v1"]);
      truncateSync(tree.blobPath(empty.layers[0]?.digest ?? ""), 0);
      const missing = tree.image("bytes", "7", ["v2"]);
      tree.remove("blobs/sha256", missing.config.digest.slice(7, 9), missing.config.digest.slice(7), "data");
      const flipped = tree.image("bytes", "8", ["v3"]);
      writeFileSync(tree.blobPath(flipped.digest), "{}");
      const noRevision = tree.image("bytes", "9", ["v4"]);
      tree.remove("repositories/bytes/_manifests/revisions/sha256", noRevision.digest.slice(7));
      tree.write(tree.path("repositories/bytes/_layers/md5/00/link"), "md5:00");
      tree.write(tree.path("repositories/Upper/_layers/sha256/00/link"), "");
      // BuildKit stores its cache as an index whose children are layers
      const cached = tree.blob("cache", "a layer");
      const cache = tree.manifest("cache", { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [cached] }, ["cache"]);
      tree.manifest("cache", { schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [] }, ["none"]);
      const foreign = { mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", size: 9 };
      const windows = { ...foreign, digest: digestOf("elsewhere"), urls: ["https://example.com/layer"] };
      tree.image("foreign", "10", ["v1"], { layers: [windows] });
      // no tags at all
      const untagged = tree.image("untagged", "11");
      await using registry = await openOn(tree);
      await registry.adoptInBackground(NEVER);
      expect(await findingsOf(registry)).toEqual(
        [
          "bad name  Upper",
          `bad manifest bad ${bad.digest}`,
          `bad manifest bad ${unknown.digest}`,
          `schema 1 bad ${schema1.digest}`,
          "missing revision bad broken",
          "missing revision bad old",
          "missing revision bad unknown",
          "bad link tags empty",
          "missing link tags none",
          "missing revision tags lost",
          "bad name tags -wrong",
          "missing revision tags empty",
          "missing revision tags none",
          `missing manifest lists ${child.digest}`,
          `missing blob lists ${unlinked.layers[0]?.digest}`,
          `wrong content bytes ${empty.layers[0]?.digest}`,
          `missing bytes bytes ${missing.config.digest}`,
          `missing blob bytes ${missing.config.digest}`,
          `wrong content bytes ${flipped.digest}`,
          "missing revision bytes v3",
          "missing revision bytes v4",
          "unsupported digest bytes md5/00",
        ].toSorted(),
      );
      for (const [path, status] of [
        ["good/manifests/v1", 200],
        [`tags/manifests/${linked.digest}`, 200],
        ["lists/manifests/partial", 200],
        [`lists/manifests/${list.digest}`, 200],
        ["lists/manifests/nested", 200],
        ["lists/manifests/unlinked", 200],
        [`lists/blobs/${unlinked.layers[0]?.digest}`, 404],
        ["bytes/manifests/v1", 200],
        [`bytes/blobs/${empty.layers[0]?.digest}`, 404],
        ["bytes/manifests/v2", 200],
        [`bytes/blobs/${missing.config.digest}`, 404],
        ["bytes/manifests/v3", 404],
        ["bytes/manifests/v4", 404],
        ["bad/manifests/broken", 404],
        ["cache/manifests/cache", 200],
        [`cache/manifests/${cache.digest}`, 200],
        [`cache/blobs/${cached.digest}`, 200],
        ["cache/manifests/none", 200],
        ["foreign/manifests/v1", 200],
        [`untagged/manifests/${untagged.digest}`, 200],
      ] as const) {
        expect([path, await statusOf(registry, path)]).toEqual([path, status]);
      }
      // A blob that an index names stays as long as the index does.
      await registry.collect({ graceMs: 0, leaseMs: 0 });
      expect(await statusOf(registry, `cache/blobs/${cached.digest}`)).toBe(200);
      // The next push repairs a blob whose bytes are gone.
      const pushed = await registry.fetch(
        new Request(`http://registry/v2/bytes/blobs/uploads/?digest=${empty.layers[0]?.digest}`, {
          method: "POST",
          body: "layer 6",
          headers: { "content-type": "application/octet-stream" },
        }),
      );
      expect([pushed.status, OCI_LAYER]).toEqual([201, empty.layers[0]?.mediaType ?? ""]);
      expect(await statusOf(registry, `bytes/blobs/${empty.layers[0]?.digest}`)).toBe(200);
    });
  });

  describe(`${place}: the way home`, () => {
    test("writes what was pushed, removes what was deleted, leaves what is damaged, and can be repeated", async () => {
      const tree = newTree();
      const kept = tree.image("team/app", "kept", ["kept", "moved"]);
      const deleted = tree.image("team/app", "deleted", ["deleted"]);
      tree.image("gone", "gone", ["v1"]);
      const schema1 = tree.manifest("team/app", { schemaVersion: 1, name: "bad", tag: "old", fsLayers: [] }, ["old"]);
      await using registry = await openOn(tree, { limits: { inlineBytes: 8 } });
      expect(registry.exportLinks()).rejects.toThrow("indexed");
      await registry.adoptInBackground(NEVER);
      const subject = { mediaType: kept.mediaType, digest: kept.digest, size: kept.size };
      const layers = [{ "large.txt": "x".repeat(5000) }];
      const pushed = await pushImage(registry.namespace, "team/app:moved,new", { layers });
      const referrer = await pushImage(registry.namespace, "team/app", { subject, artifactType: "application/x.sbom" });
      expect(await statusOf(registry, `team/app/manifests/${deleted.digest}`, "DELETE")).toBe(202);
      expect(await registry.deleteRepository("gone" as never)).toBe(true);
      const dry = await registry.exportLinks({ isDryRun: true });
      expect(existsSync(tree.tagLink("team/app", "new"))).toBe(false);
      expect(existsSync(tree.tagLink("team/app", "deleted"))).toBe(true);
      const report = await registry.exportLinks();
      expect({ ...report, links: 0, files: 0, bytes: 0 }).toEqual({ ...dry, links: 0, files: 0, bytes: 0 });
      expect(await registry.exportLinks()).toMatchObject({ links: 0, files: 0, removed: 0, corrupt: [] });

      for (const [tag, digest] of [
        ["kept", kept.digest],
        ["moved", pushed.digest],
        ["new", pushed.digest],
        ["old", schema1.digest],
      ] as const) {
        expect([tag, read(tree.tagLink("team/app", tag))]).toEqual([tag, digest]);
      }
      for (const { digest } of [pushed, referrer]) {
        expect(read(tree.revisionLink("team/app", digest))).toBe(digest);
        const manifest = JSON.parse(read(tree.blobPath(digest))) as { layers: { digest: string }[] };
        for (const layer of manifest.layers) {
          expect(digestOf(readFileSync(tree.blobPath(layer.digest)))).toBe(layer.digest);
          expect(read(tree.layerLink("team/app", layer.digest))).toBe(layer.digest);
        }
      }
      const fallback = read(tree.tagLink("team/app", kept.digest.replace(":", "-")));
      expect(read(tree.blobPath(fallback))).toContain(referrer.digest);
      for (const path of [
        tree.tagLink("team/app", "deleted"),
        tree.revisionLink("team/app", deleted.digest),
        tree.tagLink("gone", "v1"),
      ]) {
        expect([path, existsSync(path)]).toEqual([path, false]);
      }
      expect(existsSync(tree.revisionLink("team/app", schema1.digest))).toBe(true);
    });
  });
}
