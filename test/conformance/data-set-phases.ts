/** What is done with every set of content: pushed, listed, asked for, pulled, referred to, deleted. */
import { beforeAll, describe, expect, test } from "bun:test";
import { OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import type { RepositoryClient } from "../support/repository-client.ts";
import type { DataManifest, DataSet } from "./data-set.ts";
import { expectManifestCreated, expectManifestServed } from "./manifest-replies.ts";
import { BASIC_WAYS } from "./push-ways.ts";
import { expectBlobCreated, holds } from "./sessions.ts";

/** The tests of one set, in repositories of its own. */
export function describeDataSet(set: DataSet, repositoryCalled: (name: string) => RepositoryClient): void {
  const kept = (): RepositoryClient => repositoryCalled(`data-sets/${set.title}`);

  describe(`the data set ${set.title}`, () => {
    beforeAll(() => pushDataSet(set, kept()));

    test("is pushed: blobs in every way, manifests by digest and by tag", async () => {
      const pushed = repositoryCalled(`data-sets/${set.title}/pushed`);
      await pushDataSet(set, pushed);
    });

    test("tag list: every tag is in it, before and after last", async () => {
      const expected = [...set.tags.keys()].toSorted();
      expect(await kept().tags()).toEqual(expected);
      for (const [at, tag] of expected.entries()) {
        expect(await kept().tags(`?last=${tag}`)).toEqual(expected.slice(at + 1));
      }
    });

    test("head: blobs and manifests exist", async () => {
      for (const [digest, bytes] of set.blobs) {
        const reply = await kept().head(`blobs/${digest}`);
        expect(reply.status).toBe(200);
        expect(reply.headers.get("content-length")).toBe(`${bytes.length}`);
        expect(reply.headers.get("docker-content-digest")).toBe(digest);
        expect(await reply.text()).toBe("");
      }
      for (const [reference, { digest, mediaType, body }] of referencesOf(set)) {
        const accept = `${OCI_INDEX}, ${OCI_MANIFEST}`;
        const reply = await kept().head(`manifests/${reference}`, { accept });
        expect(reply.status).toBe(200);
        expect(reply.headers.get("content-type")).toBe(mediaType);
        expect(reply.headers.get("content-length")).toBe(String(Buffer.byteLength(body)));
        expect(reply.headers.get("docker-content-digest")).toBe(digest);
      }
    });

    test("pull: the same bytes, by tag and by digest", async () => {
      for (const [digest, bytes] of set.blobs) {
        const reply = await kept().get(`blobs/${digest}`);
        expect(reply.status).toBe(200);
        expect(reply.headers.get("docker-content-digest")).toBe(digest);
        expect(await holds(reply, bytes)).toBe(true);
      }
      for (const [reference, { digest, mediaType, body }] of referencesOf(set)) {
        await expectManifestServed(kept(), reference, digest, body, mediaType);
      }
    });

    test("referrers: exactly those that there are", async () => {
      for (const { digest } of set.manifests) await expectReferrers(kept(), digest, set.referrers.get(digest) ?? []);
      for (const [subject, descriptors] of set.referrers) await expectReferrers(kept(), subject, descriptors);
    });

    test("delete: tags, then manifests, parents first, then blobs; each is gone at once", async () => {
      const deleted = repositoryCalled(`data-sets/${set.title}/deleted`);
      await pushDataSet(set, deleted);
      const paths = [
        ...[...set.tags.keys()].map((tag) => `manifests/${tag}`),
        ...set.manifests.toReversed().map(({ digest }) => `manifests/${digest}`),
        ...[...set.blobs.keys()].map((digest) => `blobs/${digest}`),
      ];
      for (const path of paths) {
        expect((await deleted.delete(path)).status).toBe(202);
        expect((await deleted.head(path)).status).toBe(404);
      }
      for (const subject of set.referrers.keys()) await expectReferrers(deleted, subject, []);
      // What was pushed elsewhere is still there.
      for (const digest of set.blobs.keys()) expect((await kept().head(`blobs/${digest}`)).status).toBe(200);
      for (const { digest } of set.manifests) expect((await kept().head(`manifests/${digest}`)).status).toBe(200);
    });
  });
}

/** Pushes a set, and asserts of each step what the spec says of it. */
export async function pushDataSet(set: DataSet, repository: RepositoryClient): Promise<void> {
  for (const [at, [digest, bytes]] of [...set.blobs].entries()) {
    const { push } = BASIC_WAYS[at % BASIC_WAYS.length]!;
    await expectBlobCreated(await push(repository, bytes, digest), repository, digest, bytes);
  }
  for (const manifest of set.manifests) {
    const tags = [...set.tags].filter(([, digest]) => digest === manifest.digest).map(([tag]) => tag);
    const query = set.pushesTags ? `?${tags.map((tag) => `tag=${tag}`).join("&")}` : "";
    const reply = await putDataManifest(repository, `${manifest.digest}${query}`, manifest);
    if (set.pushesTags) {
      const named = (reply.headers.get("oci-tag") ?? "").split(",").map((tag) => tag.trim());
      expect(named.toSorted()).toEqual(tags.toSorted());
    } else {
      for (const tag of tags) await putDataManifest(repository, tag, manifest);
    }
  }
}

async function putDataManifest(
  repository: RepositoryClient,
  reference: string,
  { digest, mediaType, body, subject }: DataManifest,
): Promise<Response> {
  const headers = { "content-type": mediaType };
  const reply = await repository.send("PUT", `manifests/${reference}`, { headers, body });
  expect(reply.headers.get("oci-subject")).toBe(subject ?? null);
  await expectManifestCreated(reply, repository, digest, body, mediaType);
  return reply;
}

/** Every tag and digest, with what it names. */
function referencesOf(set: DataSet): readonly (readonly [reference: string, manifest: DataManifest])[] {
  const byDigest = new Map(set.manifests.map((manifest) => [manifest.digest, manifest]));
  return [...byDigest, ...[...set.tags].map(([tag, digest]) => [tag, byDigest.get(digest)!] as const)];
}

type Referrer = DataSet["referrers"] extends ReadonlyMap<string, (infer Each)[]> ? Each : never;

/** Asserts that the referrers of a digest are these, all of them and by their type. */
async function expectReferrers(
  repository: RepositoryClient,
  digest: string,
  expected: readonly Referrer[],
): Promise<void> {
  expect(await referrersOf(repository, digest)).toEqual(sorted(expected));
  const types = new Set(expected.map((each) => each["artifactType"]).filter((type) => typeof type === "string"));
  for (const type of types) {
    const only = expected.filter((each) => each["artifactType"] === type);
    expect(await referrersOf(repository, digest, type)).toEqual(sorted(only));
  }
}

async function referrersOf(
  repository: RepositoryClient,
  digest: string,
  artifactType?: string,
): Promise<readonly Referrer[]> {
  const query = artifactType === undefined ? "" : `?artifactType=${encodeURIComponent(artifactType)}`;
  const reply = await repository.get(`referrers/${digest}${query}`);
  expect(reply.status).toBe(200);
  expect(reply.headers.get("content-type")).toBe(OCI_INDEX);
  expect(reply.headers.get("oci-filters-applied")).toBe(artifactType === undefined ? null : "artifactType");
  const index = (await reply.json()) as { readonly manifests: readonly Referrer[] };
  expect(index).toMatchObject({ schemaVersion: 2, mediaType: OCI_INDEX });
  return sorted(index.manifests);
}

function sorted(descriptors: readonly Referrer[]): readonly Referrer[] {
  return descriptors.toSorted((one, other) => (one.digest < other.digest ? -1 : 1));
}
