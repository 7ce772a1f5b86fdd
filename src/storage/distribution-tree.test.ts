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

/** Files in memory, by their paths. `lists` says whether all of a folder can be listed at once, as objects can. */
function filesOf(contents: ReadonlyMap<string, string>, { lists = false } = {}): TreeFiles {
  const below = (folder: string): readonly string[] =>
    [...contents.keys()].filter((path) => path.startsWith(`${folder}/`));
  return {
    place: "memory",
    isUnreadable: () => false,
    holdsFile: async (folder) => below(folder).length > 0,
    ...(lists && {
      async *listAll(folder: string) {
        for (const path of below(folder)) yield { path, size: Buffer.byteLength(contents.get(path) ?? ""), mtimeMs: 1 };
      },
    }),
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
      return Buffer.byteLength(content) > maxBytes ? "too large" : { bytes: Buffer.from(content) };
    },
  };
}

const digests = fc
  .tuple(fc.uint8Array({ maxLength: 8 }), fc.constantFrom("sha256" as const, "sha512" as const))
  .map(([bytes, algorithm]) => digestOf(bytes, algorithm));

/** What a damaged link may hold. One of the size of a digest is not read where a listing says the size. */
const contents = fc
  .string({ maxLength: 90 })
  .filter((text) => Buffer.byteLength(text) !== digestOf(new Uint8Array()).length);

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
      fc.asyncProperty(digests, fc.option(contents), async (digest, damaged) => {
        const content = damaged ?? digest;
        const linkPaths = [layerLinkPath(name, digest), revisionLinkPath(name, digest), tagLinkPath(name, v1)];
        const files = new Map(linkPaths.map((path) => [path, content]));
        const linked = parseDigest(content);
        const expected: Link["kind"] = linked === undefined ? "bad" : "link";
        for (const lists of [false, true]) {
          const tree = new DistributionTree(filesOf(files, { lists }));
          const { tags, revisions, layers, links: listed } = await tree.content(name);
          for (const links of [listed, tree.links(name)]) {
            const found = [await links.layerLink(digest), await links.revisionLink(digest), await links.tagLink(v1)];
            for (const link of found)
              expect({ digest: linked, ...link }).toMatchObject({ kind: expected, digest: linked });
            expect(await links.tagLink(tag("v2"))).toEqual({ kind: "absent" });
            expect(await links.layerLink(digestOf(Buffer.from("another")))).toEqual({ kind: "absent" });
          }
          expect([await tree.tagTime(name, v1), await tree.revisionTime(name, digest)]).toEqual([1, 1]);
          expect({ tags, revisions, layers }).toEqual({
            tags: [{ item: v1 }],
            revisions: [{ item: digest }],
            layers: [{ item: digest }],
          });
          expect(await tree.revisions(name)).toEqual(revisions);
        }
      }),
    );
  });

  test("folders that are no digest, no tag and no upload are told apart", async () => {
    const name = parseRepositoryName("a");
    if (!name) throw new Error("no name");
    const below = `${TREE_REPOSITORIES}/a`;
    const id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    const written = new Map([
      [`${below}/_layers/md5/0123/link`, ""],
      [`${below}/_manifests/revisions/tarsum/v1+sha256/link`, ""],
      [`${below}/_manifests/tags/.hidden/current/link`, ""],
      [`${below}/_manifests/tags/leftover.tmp`, ""],
      [`${below}/_uploads/${id}/startedat`, "2020-01-02T03:04:05Z"],
      [`${below}/_uploads/${id}/hashstates/sha256/10`, "x"],
      [`${below}/_uploads/elsewhere/data`, "x"],
    ]);
    for (const lists of [false, true]) {
      const tree = new DistributionTree(filesOf(written, { lists }));
      expect(await tree.content(name)).toMatchObject({
        layers: [{ strange: "md5/0123" }],
        revisions: [{ strange: "tarsum/v1+sha256" }],
        tags: [{ strange: ".hidden" }],
      });
      const files = ["startedat", "hashstates/sha256/10", "data"].map((path) => `${below}/_uploads/${id}/${path}`);
      expect(await tree.uploads(name)).toEqual([{ files, startedAt: Date.UTC(2020, 0, 2, 3, 4, 5) }]);
    }
  });
});
