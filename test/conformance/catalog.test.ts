/** The list of repositories (Docker's registry API, `GET /v2/_catalog`). */
import { beforeAll, describe, expect, test } from "bun:test";
import { putManifest } from "../support/client.ts";
import { imageIndex, OCI_INDEX } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectPages, walkPages } from "./pages.ts";

const registry = useRegistry();
const client = (): RepositoryClient => new RepositoryClient(registry().url, "a");

const PATH = "/v2/_catalog";

/** Names that begin alike: between `a` and `a/b` the bytes put `a-b` and `a.b`, which a walk by folders gets wrong. */
const SIBLINGS = ["a", "a-b", "a-b/c", "a.b", "a/b", "a/b-c", "a/b/c", "a/c", "a0", "a_b", "a__b", "ab", "b", "b/a"];
const NUMBERED = Array.from({ length: 105 }, (_, at) => `many/r${String(at).padStart(3, "0")}`);
const ALL: readonly string[] = [...SIBLINGS, ...NUMBERED].toSorted((one, other) =>
  Buffer.compare(Buffer.from(one), Buffer.from(other)),
);

beforeAll(async () => {
  // Not in the order in which they are listed.
  for (const name of ALL.toReversed()) {
    const reply = await putManifest(registry().url, name, "v1", imageIndex([]), OCI_INDEX);
    expect(reply.status).toBe(201);
  }
});

async function names(query: string): Promise<readonly string[]> {
  const reply = await client().get(`${PATH}${query}`);
  expect(reply.status).toBe(200);
  expect(reply.headers.get("content-type")).toBe("application/json");
  const { repositories, ...more } = (await reply.json()) as { readonly repositories: readonly string[] };
  expect(more).toEqual({});
  return repositories;
}

test("without n it is a page of 100, in the order of the bytes, and a Link to the rest", async () => {
  expect(await names("")).toEqual(ALL.slice(0, 100));
  const { pages } = await walkPages(client(), PATH, "repositories");
  expect(pages.flat()).toEqual([...ALL]);
});

describe("a walk by Link gives every repository once and in order", () => {
  for (const n of [1, 2, 3, 7, 14, 100, ALL.length - 1, ALL.length, ALL.length + 1, 1000]) {
    test(`n=${n}`, async () => {
      await expectPages(client(), PATH, "repositories", n, ALL);
    });
  }
});

test("last is left out, and what is behind it comes; n is optional", async () => {
  for (const [at, last] of ALL.slice(0, SIBLINGS.length).entries()) {
    expect(await names(`?n=3&last=${encodeURIComponent(last)}`)).toEqual(ALL.slice(at + 1, at + 4));
    expect(await names(`?last=${last}`)).toEqual(ALL.slice(at + 1, at + 101));
  }
});

test("last need not be a repository, nor a name", async () => {
  for (const last of ["a!", "a%20", "a/", "a/bb", "A", "zzz", "many/r0995", "%F0%9F%90%B3", ""]) {
    const after = Buffer.from(decodeURIComponent(last));
    const expected = ALL.filter((name) => Buffer.compare(Buffer.from(name), after) > 0);
    expect(await names(`?n=1000&last=${last}`)).toEqual(expected);
  }
});

test("n=0 gives an empty list and no Link", async () => {
  for (const query of ["?n=0", "?n=0&last=a"]) {
    const reply = await client().get(`${PATH}${query}`);
    expect(reply.headers.get("link")).toBeNull();
    expect(await reply.json()).toEqual({ repositories: [] });
  }
});

test("a number beyond what the registry gives is brought down, not refused", async () => {
  for (const n of ["1001", "10000", "9999999999"]) expect(await names(`?n=${n}`)).toEqual([...ALL]);
});

test("there is no Link where nothing follows", async () => {
  for (const query of [`?n=${ALL.length}`, `?n=5&last=${ALL.at(-6)}`, "?n=5&last=zzz", `?last=${ALL.at(-1)}`]) {
    expect((await client().get(`${PATH}${query}`)).headers.get("link")).toBeNull();
  }
});

test("Link keeps the other parameters", async () => {
  const { links } = await walkPages(client(), `${PATH}?n=60&x=a%26b`, "repositories");
  expect(links).toHaveLength(1);
  expect(links[0]?.searchParams.get("x")).toBe("a&b");
});

describe("a number that is none is refused", () => {
  for (const query of ["n=abc", "n=-1", "n=-0", "n=%2B1", "n=1e3", "n=1.5", "n=1&n=2", "n=12345678901"]) {
    test(query, async () => {
      await expectRefused(await client().get(`${PATH}?${query}`), 400, "PAGINATION_NUMBER_INVALID");
    });
  }
});
