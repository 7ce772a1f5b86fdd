/** Listing tags (distribution-spec, "Listing Tags", end-8a, end-8b). */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushBlob, putManifest } from "../support/client.ts";
import { digestOf, imageIndex, OCI_INDEX } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectPages, walkPages } from "./pages.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const BODY = imageIndex([]);
const DIGEST = digestOf(BODY);

async function pushTags(name: string, tags: readonly string[]): Promise<RepositoryClient> {
  for (let at = 0; at < tags.length; at += 10) {
    const query = tags
      .slice(at, at + 10)
      .map((tag) => `tag=${tag}`)
      .join("&");
    const reply = await putManifest(registry().url, name, `${DIGEST}?${query}`, BODY, OCI_INDEX);
    expect(reply.status).toBe(201);
  }
  return repository(name);
}

/** Every class of character, in an order that neither words nor numbers have. */
const TAGS = [
  "b",
  "B",
  "a",
  "A",
  "10",
  "9",
  "1",
  "1.10",
  "1.9",
  "1-rc",
  "1_rc",
  "_x",
  "Z",
  "z",
  "latest",
  "v1",
  "v1.0",
  "v10",
  "v2",
];
/** "ASCIIbetical": by the bytes. */
const SORTED: readonly string[] = TAGS.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));

describe("GET tags/list (end-8a)", () => {
  test("gives the name and all tags, in the order of their bytes", async () => {
    const tags = await pushTags("tags/all", TAGS);
    const reply = await tags.get("tags/list");
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-type")).toBe("application/json");
    expect(reply.headers.get("link")).toBeNull();
    expect(reply.headers.get("content-length")).not.toBeNull(); // a list that is not long is known before it is sent
    expect(await reply.json()).toEqual({ name: "tags/all", tags: [...SORTED] });
  });

  test("HEAD has no body", async () => {
    const tags = await pushTags("tags/head", ["v1"]);
    const reply = await tags.head("tags/list");
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-type")).toBe("application/json");
    expect(await reply.text()).toBe("");
  });

  test("gives an empty list, never null, when there are manifests or blobs but no tags", async () => {
    const untagged = repository("tags/untagged");
    await putManifest(registry().url, untagged.name, DIGEST, BODY, OCI_INDEX);
    expect(await (await untagged.get("tags/list")).json()).toEqual({ name: "tags/untagged", tags: [] });
    await pushBlob(registry().url, "tags/blob-only", "blob");
    expect(await (await repository("tags/blob-only").get("tags/list")).json()).toEqual({
      name: "tags/blob-only",
      tags: [],
    });
  });

  test("of a repository that does not exist is refused", async () => {
    for (const query of ["", "?n=5", "?n=0", "?last=a"]) {
      await expectRefused(await repository("tags/nobody").get(`tags/list${query}`), 404, "NAME_UNKNOWN");
    }
  });

  test("is not cut when nothing asks for a page: several clients read no second one", async () => {
    const many = Array.from({ length: 1200 }, (_, at) => `t${at}`);
    const tags = await pushTags("tags/many", many);
    const reply = await tags.get("tags/list");
    expect(reply.headers.get("link")).toBeNull();
    expect(await reply.json()).toEqual({ name: "tags/many", tags: many.toSorted() });
  });

  test("is at once what was pushed and deleted", async () => {
    const tags = await pushTags("tags/changing", ["a", "b", "c"]);
    expect(await tags.tags()).toEqual(["a", "b", "c"]);
    expect((await tags.delete("manifests/b")).status).toBe(202);
    expect(await tags.tags()).toEqual(["a", "c"]);
    await pushTags("tags/changing", ["bb"]);
    expect(await tags.tags()).toEqual(["a", "bb", "c"]);
  });
});

const pages = (): RepositoryClient => repository("tags/pages");

describe("pages of tags (end-8b)", () => {
  beforeAll(() => pushTags("tags/pages", TAGS));
  const PATH = "/v2/tags/pages/tags/list";

  for (const n of [1, 2, 3, 5, SORTED.length - 1, SORTED.length, SORTED.length + 1, 10_000]) {
    test(`n=${n}: the pages, by Link, are all tags in order, each full but the last`, async () => {
      await expectPages(pages(), PATH, "tags", n, SORTED);
    });
  }

  test("n is the most that comes: exactly so many while there are more", async () => {
    for (const n of [1, 4, 7]) expect(await pages().tags(`?n=${n}`)).toEqual(SORTED.slice(0, n));
  });

  test("n=0 gives an empty list and no Link", async () => {
    // "When n is zero, this endpoint MUST return an empty list, and MUST NOT include a Link header."
    for (const query of ["?n=0", "?n=00", "?n=0&last=a"]) {
      const reply = await pages().get(`tags/list${query}`);
      expect(reply.status).toBe(200);
      expect(reply.headers.get("link")).toBeNull();
      expect(await reply.json()).toEqual({ name: "tags/pages", tags: [] });
    }
  });

  test("a number beyond what the registry gives is brought down, not refused", async () => {
    // Renovate asks for 10000; crane for 1000.
    for (const n of ["1000", "10000", "4294967296", "9999999999"]) {
      expect(await pages().tags(`?n=${n}`)).toEqual([...SORTED]);
    }
  });

  test("last is left out, and all that is behind it comes; n is optional", async () => {
    for (const [at, last] of SORTED.entries()) {
      expect(await pages().tags(`?last=${last}`)).toEqual(SORTED.slice(at + 1));
      expect(await pages().tags(`?n=2&last=${last}`)).toEqual(SORTED.slice(at + 1, at + 3));
    }
  });

  test("last need not exist", async () => {
    for (const last of [
      "",
      "!",
      "0",
      "1.",
      "1.5",
      "Latest",
      "lates",
      "latestt",
      "v1.",
      "zz",
      "~",
      "%20",
      "sha256:x",
      "%F0%9F%90%B3",
    ]) {
      const after = decodeURIComponent(last);
      const expected = SORTED.filter((tag) => Buffer.compare(Buffer.from(tag), Buffer.from(after)) > 0);
      expect(await pages().tags(`?last=${last}`)).toEqual(expected);
      expect(await pages().tags(`?last=${last}&n=3`)).toEqual(expected.slice(0, 3));
    }
  });

  test("of several last the last one counts", async () => {
    expect(await pages().tags("?last=a&last=v1")).toEqual(SORTED.slice(SORTED.indexOf("v1") + 1));
  });

  test("there is no Link where nothing follows", async () => {
    for (const query of [
      `?n=${SORTED.length}`,
      `?n=3&last=${SORTED.at(-4)}`,
      `?n=5&last=${SORTED.at(-1)}`,
      "?n=5&last=zzz",
    ]) {
      expect((await pages().get(`tags/list${query}`)).headers.get("link")).toBeNull();
    }
  });

  test("Link keeps the other parameters", async () => {
    const { links } = await walkPages(pages(), `${PATH}?n=8&ns=example.org&x=a%26b`, "tags");
    expect(links).toHaveLength(2);
    for (const link of links) {
      expect(link.searchParams.get("ns")).toBe("example.org");
      expect(link.searchParams.get("x")).toBe("a&b");
      expect(link.searchParams.getAll("n")).toEqual(["8"]);
      expect(link.searchParams.getAll("last")).toHaveLength(1);
    }
  });

  describe("a number that is none is refused", () => {
    for (const query of [
      "n=abc",
      "n=-1",
      "n=-0",
      "n=%2B1",
      "n=1e9",
      "n=1.5",
      "n=0x10",
      "n=%201",
      "n=1&n=2",
      "n=2&n=2",
      "n=12345678901",
    ]) {
      test(query, async () => {
        await expectRefused(await pages().get(`tags/list?${query}`), 400, "PAGINATION_NUMBER_INVALID");
      });
    }
  });
});

test("a walk goes on where it was although the tag before it was deleted", async () => {
  const tags = await pushTags("tags/walk", ["a", "b", "c", "d", "e"]);
  expect(await tags.tags("?n=2")).toEqual(["a", "b"]);
  expect((await tags.delete("manifests/b")).status).toBe(202);
  expect(await tags.tags("?n=2&last=b")).toEqual(["c", "d"]);
});

test("the tags of one repository are not those of another whose name begins alike", async () => {
  for (const name of ["tags/prefix", "tags/prefix/a", "tags/prefix-a", "tags/prefixa"]) {
    await pushTags(name, [name.replaceAll("/", "-")]);
  }
  expect(await repository("tags/prefix").tags()).toEqual(["tags-prefix"]);
  expect(await repository("tags/prefix/a").tags()).toEqual(["tags-prefix-a"]);
});
