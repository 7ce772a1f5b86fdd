import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf, parseDigest } from "../oci/digest.ts";
import { parseRepositoryName } from "../oci/repository-name.ts";
import { tag } from "../oci/tag.ts";
import {
  DistributionTree,
  TREE_REPOSITORIES,
  layerLinkPath,
  parseLink,
  revisionLinkPath,
  tagLinkPath,
  treeBlobKey,
} from "./distribution-tree.ts";
import type { Link } from "./distribution-tree.ts";
import type { TreeEntry, TreeFiles } from "./tree-files.ts";

/** Files in memory, by their paths. */
function filesOf(contents: ReadonlyMap<string, string>): TreeFiles {
  return {
    async list(folder) {
      const entries = new Map<string, TreeEntry>();
      for (const path of contents.keys()) {
        if (!path.startsWith(`${folder}/`)) continue;
        const [name = "", ...deeper] = path.slice(folder.length + 1).split("/");
        if (!entries.has(name) || deeper.length > 0) entries.set(name, { name, isFolder: deeper.length > 0 });
      }
      return [...entries.values()];
    },
    async stat(path) {
      const content = contents.get(path);
      return content === undefined ? undefined : { size: Buffer.byteLength(content), mtimeMs: 1 };
    },
    async read(path, maxBytes) {
      const content = contents.get(path);
      if (content === undefined) return undefined;
      return Buffer.byteLength(content) > maxBytes ? "too large" : Buffer.from(content);
    },
  };
}

const digests = fc
  .tuple(fc.uint8Array({ maxLength: 8 }), fc.constantFrom("sha256" as const, "sha512" as const))
  .map(([bytes, algorithm]) => digestOf(bytes, algorithm));

/** Names as they are, and others that lie beside them. */
const components = fc.oneof(fc.stringMatching(/^[a-z0-9]{1,3}$/), fc.constantFrom("A", "a..b", "-", "x_", "é", "a b"));
const paths = fc.array(components, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));

describe("distribution's tree", () => {
  test("a link's content is read when it is exactly a digest", () => {
    fc.assert(fc.property(digests, (digest) => expect(parseLink(Buffer.from(digest))).toBe(digest)));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const parsed = parseLink(bytes);
        expect(parsed).toBe(parseDigest(Buffer.from(bytes).toString("latin1")));
      }),
    );
    const digest = digestOf(Buffer.from("x"));
    for (const wrong of ["", `${digest}\n`, digest.toUpperCase(), digest.slice(0, -1), "sha256:", `../${digest}`]) {
      expect(parseLink(Buffer.from(wrong))).toBeUndefined();
    }
  });

  test("the key of a blob is a path of the tree in which its digits stand once as a folder", () => {
    fc.assert(
      fc.property(digests, (digest) => {
        const [algorithm = "", hex = ""] = digest.split(":");
        expect<string>(treeBlobKey(digest)).toBe(
          `docker/registry/v2/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`,
        );
      }),
    );
  });

  test("the walk finds every repository, nested ones too, and says which folders have no name", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(paths, { maxLength: 8 }), digests, async (folders, digest) => {
        const [algorithm = "", hex = ""] = digest.split(":");
        const link = `_layers/${algorithm}/${hex}/link`;
        const files = new Map(folders.map((path) => [`${TREE_REPOSITORIES}/${path}/${link}`, digest]));
        const found: string[] = [];
        const strange: string[] = [];
        for await (const each of new DistributionTree(filesOf(files)).repositories()) {
          if ("item" in each) found.push(each.item);
          else strange.push(each.strange);
        }
        expect(found.toSorted()).toEqual(folders.filter((path) => parseRepositoryName(path)).toSorted());
        expect(strange.toSorted()).toEqual(folders.filter((path) => !parseRepositoryName(path)).toSorted());
      }),
    );
  });

  test("what was written by path is read back; a damaged link is bad, and one that is not there absent", async () => {
    const [name, v1] = [parseRepositoryName("team/app"), tag("v1")];
    if (!name) throw new Error("no name");
    await fc.assert(
      fc.asyncProperty(digests, fc.option(fc.string({ maxLength: 90 })), async (digest, damaged) => {
        const content = damaged ?? digest;
        const links = [layerLinkPath(name, digest), revisionLinkPath(name, digest), tagLinkPath(name, v1)];
        const tree = new DistributionTree(filesOf(new Map(links.map((path) => [path, content]))));
        const linked = parseDigest(content);
        const expected: Link = linked === undefined ? { kind: "bad" } : { kind: "link", digest: linked };
        expect(await tree.layerLink(name, digest)).toEqual(expected);
        expect(await tree.revisionLink(name, digest)).toEqual(expected);
        expect(await tree.tagLink(name, v1)).toEqual(expected);
        expect([await tree.tagTime(name, v1), await tree.revisionTime(name, digest)]).toEqual([1, 1]);
        expect(await tree.tagLink(name, tag("v2"))).toEqual({ kind: "absent" });
        expect(await tree.revisions(name)).toEqual([{ item: digest }]);
        expect(await tree.layers(name)).toEqual([{ item: digest }]);
        expect(await tree.tags(name)).toEqual([{ item: v1 }]);
      }),
    );
  });

  test("folders that are no digest, no tag and no upload are told apart", async () => {
    const name = parseRepositoryName("a");
    if (!name) throw new Error("no name");
    const below = `${TREE_REPOSITORIES}/a`;
    const id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    const tree = new DistributionTree(
      filesOf(
        new Map([
          [`${below}/_layers/md5/0123/link`, ""],
          [`${below}/_manifests/revisions/tarsum/v1+sha256/link`, ""],
          [`${below}/_manifests/tags/.hidden/current/link`, ""],
          [`${below}/_manifests/tags/leftover.tmp`, ""],
          [`${below}/_uploads/${id}/startedat`, "2020-01-02T03:04:05Z"],
          [`${below}/_uploads/${id}/hashstates/sha256/10`, "x"],
          [`${below}/_uploads/elsewhere/data`, "x"],
        ]),
      ),
    );
    expect(await tree.layers(name)).toEqual([{ strange: "md5/0123" }]);
    expect(await tree.revisions(name)).toEqual([{ strange: "tarsum/v1+sha256" }]);
    expect(await tree.tags(name)).toEqual([{ strange: ".hidden" }]);
    const files = [`${below}/_uploads/${id}/startedat`, `${below}/_uploads/${id}/hashstates/sha256/10`];
    expect(await tree.uploads(name)).toEqual([{ files, startedAt: Date.UTC(2020, 0, 2, 3, 4, 5) }]);
  });
});
