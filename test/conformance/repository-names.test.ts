/** Repository names that look like something else: a path is read from its end, so all of them are names. */
import { describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { bytesOf, digestOf, imageIndex, OCI_INDEX } from "../support/content.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectBlobCreated, expectSession, expectSessionSize, openSession, closeSession } from "./sessions.ts";

const registry = useRegistry();

const NAMES: readonly string[] = [
  // Words of the protocol.
  "blobs",
  "uploads",
  "manifests",
  "tags",
  "list",
  "referrers",
  "v2",
  "blobs/uploads",
  "a/blobs/uploads",
  "a/blobs/uploads/b",
  "a/manifests",
  "a/manifests/b",
  "tags/list",
  "a/tags/list",
  "a/referrers/b",
  "a/blobs",
  "v2/v2",
  "v2/a/blobs/uploads",
  "uploads/uploads/uploads",
  "catalog",
  // The corners of the grammar.
  "a",
  "0",
  "a/b/c/d/e/f/g/h",
  "a.b",
  "a_b",
  "a__b",
  "a-b",
  "a---------b",
  "a.b_c__d-e/0.1_2__3--4",
  "constructor",
  "a/constructor/valueof",
  // 255 bytes are the most that clients take.
  "n".repeat(255),
  `${"n/".repeat(127)}n`,
];

describe("a repository may be called", () => {
  for (const name of NAMES) {
    const title = name.length > 60 ? `${name.slice(0, 20)}… (${name.length} bytes)` : name;
    test(title, async () => {
      const { url } = registry();
      const repository = new RepositoryClient(url, name);

      // A blob by way of a session: POST, PATCH, GET, PUT.
      const bytes = bytesOf(name, 100);
      const digest = digestOf(bytes);
      const location = await openSession(repository);
      const half = await repository.send("PATCH", location, { body: bytes.slice(0, 50) });
      const next = expectSession(half, repository, 202, 50);
      await expectSessionSize(repository, next, 50);
      await expectBlobCreated(await closeSession(repository, next, digest, bytes.slice(50)), repository, digest, bytes);
      expect((await repository.head(`blobs/${digest}`)).headers.get("content-length")).toBe("100");

      // An image, its referrer, and all lists.
      const image = await pushImage(url, name, "list");
      const subject = {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: image.digest,
        size: image.body.length,
      };
      const referrer = imageIndex([], { subject });
      const put = await repository.send("PUT", "manifests/uploads", {
        body: referrer,
        headers: { "content-type": OCI_INDEX },
      });
      expect(put.status).toBe(201);
      expect(put.headers.get("location")).toBe(`/v2/${name}/manifests/${digestOf(referrer)}`);

      for (const reference of ["list", image.digest]) {
        const pulled = await repository.get(`manifests/${reference}`);
        expect(pulled.status).toBe(200);
        expect(await pulled.text()).toBe(image.body);
      }
      const tags = await repository.get("tags/list");
      expect(await tags.json()).toEqual({ name, tags: ["list", "uploads"] });
      const referrers = await repository.get(`referrers/${image.digest}`);
      expect(await referrers.json()).toMatchObject({ manifests: [{ digest: digestOf(referrer) }] });

      // And all of it goes again.
      expect((await repository.delete("manifests/list")).status).toBe(202);
      expect(await repository.tags()).toEqual(["uploads"]);
      expect((await repository.delete(`manifests/${image.digest}`)).status).toBe(202);
      expect((await repository.delete(`blobs/${digest}`)).status).toBe(202);
      expect((await repository.get(`blobs/${digest}`)).status).toBe(404);
    });
  }

  test("and none of them is mistaken for another", async () => {
    const { url } = registry();
    const names = ["x", "x/blobs", "x/blobs/uploads", "x/manifests", "x/tags", "x/tags/list", "x/referrers"];
    const digests = new Map<string, string>();
    for (const name of names) digests.set(name, (await pushImage(url, name, "v1", name)).digest);
    for (const name of names) {
      const repository = new RepositoryClient(url, name);
      expect(await repository.tags()).toEqual(["v1"]);
      const reply = await repository.head("manifests/v1");
      expect(reply.headers.get("docker-content-digest")).toBe(digests.get(name) ?? "");
    }
  });
});
