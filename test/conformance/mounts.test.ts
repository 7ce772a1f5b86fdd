/** Mounting blobs from other repositories (distribution-spec, "Mounting a blob from another repository", end-11). */
import { describe, expect, test } from "bun:test";
import { bytesOf, digestOf } from "../support/content.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { POST_PUT } from "./push-ways.ts";
import { closeSession, expectBlobCreated, expectSession, holds } from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const mount = (target: RepositoryClient, query: string): Promise<Response> =>
  target.send("POST", `blobs/uploads/?${query}`);

/** What lies inline and what lies in a file; every test has bytes of its own, as anonymous mounts look everywhere. */
const SIZES = [512, 50_000] as const;

for (const algorithm of ["sha256", "sha512"] as const) {
  for (const size of SIZES) {
    const content = (seed: string): { readonly bytes: Uint8Array<ArrayBuffer>; readonly digest: string } => {
      const bytes = bytesOf(`mounts/${seed}/${algorithm}`, size);
      return { bytes, digest: digestOf(bytes, algorithm) };
    };
    const name = (rest: string): string => `mounts/${algorithm}/${size}/${rest}`;

    describe(`a ${algorithm} blob of ${size} bytes`, () => {
      test("is mounted from the repository that has it: 201, and there it is", async () => {
        const { bytes, digest } = content("named");
        const source = repository(name("source"));
        const target = repository(name("target"));
        await POST_PUT.push(source, bytes, digest);
        expect((await target.head(`blobs/${digest}`)).status).toBe(404);
        await expectBlobCreated(await mount(target, `mount=${digest}&from=${source.name}`), target, digest, bytes);

        // Each has its own: one is deleted, then the other.
        expect((await target.delete(`blobs/${digest}`)).status).toBe(202);
        expect((await target.head(`blobs/${digest}`)).status).toBe(404);
        expect(await holds(await source.get(`blobs/${digest}`), bytes)).toBe(true);
        expect((await source.delete(`blobs/${digest}`)).status).toBe(202);
        expect((await source.head(`blobs/${digest}`)).status).toBe(404);
      });

      test("stays where it was mounted when its source deletes it", async () => {
        const { bytes, digest } = content("kept");
        const source = repository(name("kept-source"));
        const target = repository(name("kept-target"));
        await POST_PUT.push(source, bytes, digest);
        expect((await mount(target, `mount=${digest}&from=${source.name}`)).status).toBe(201);
        expect((await source.delete(`blobs/${digest}`)).status).toBe(202);
        expect(await holds(await target.get(`blobs/${digest}`), bytes)).toBe(true);
      });

      test("is mounted without from, from wherever it is", async () => {
        // "The registry MAY treat the from parameter as optional, and it MAY cross-mount the blob if it can be found."
        const { bytes, digest } = content("anonymous");
        const target = repository(name("anonymous-target"));
        await POST_PUT.push(repository(name("anonymous-source")), bytes, digest);
        await expectBlobCreated(await mount(target, `mount=${digest}`), target, digest, bytes);
      });

      test("that is nowhere is not mounted: 202, and the session takes it", async () => {
        for (const from of [name("missing-source"), name("nobody")]) {
          const { bytes, digest } = content(`missing from ${from}`);
          const source = repository(name("missing-source"));
          const target = repository(name("missing-target"));
          await POST_PUT.push(source, content("something else").bytes, content("something else").digest);
          const location = expectSession(await mount(target, `mount=${digest}&from=${from}`), target, 202, 0);
          await expectBlobCreated(await closeSession(target, location, digest, bytes), target, digest, bytes);
        }
      });

      test("that is nowhere is not mounted without from either", async () => {
        const { bytes, digest } = content("anonymous missing");
        const target = repository(name("anonymous-missing"));
        const location = expectSession(await mount(target, `mount=${digest}`), target, 202, 0);
        await expectBlobCreated(await closeSession(target, location, digest, bytes), target, digest, bytes);
      });

      test("that was deleted at its source is not mounted", async () => {
        const { bytes, digest } = content("deleted");
        const source = repository(name("deleted-source"));
        const target = repository(name("deleted-target"));
        await POST_PUT.push(source, bytes, digest);
        expect((await source.delete(`blobs/${digest}`)).status).toBe(202);
        expectSession(await mount(target, `mount=${digest}&from=${source.name}`), target, 202, 0);
        expect((await target.head(`blobs/${digest}`)).status).toBe(404);
      });
    });
  }
}

const BLOB = bytesOf("mounts", 600);
const DIGEST = digestOf(BLOB);

test("from may be encoded or not, and come with unknown parameters", async () => {
  const source = repository("mounts/spelled/source");
  await POST_PUT.push(source, BLOB, DIGEST);
  const queries = [
    `mount=${DIGEST}&from=mounts/spelled/source`,
    `mount=${DIGEST}&from=mounts%2Fspelled%2Fsource`,
    `from=mounts/spelled/source&mount=${DIGEST.replace(":", "%3A")}`,
    // crane says where the image came from.
    `mount=${DIGEST}&from=mounts/spelled/source&origin=registry.example.org`,
  ];
  for (const [at, query] of queries.entries()) {
    const target = repository(`mounts/spelled/target-${at}`);
    await expectBlobCreated(await mount(target, query), target, DIGEST, BLOB);
  }
});

test("a blob that is there already is mounted all the same, also from its own repository", async () => {
  const bytes = bytesOf("mounts/again", 600);
  const digest = digestOf(bytes);
  const source = repository("mounts/again");
  await POST_PUT.push(source, bytes, digest);
  for (const query of [`mount=${digest}&from=${source.name}`, `mount=${digest}`]) {
    await expectBlobCreated(await mount(source, query), source, digest, bytes);
  }
});

describe("a mount that is named badly opens a session", () => {
  // "it SHOULD return a 202. This indicates that the upload session has begun".
  const rows = ["mount=sha256:zz", "mount=", "mount=latest", `mount=md5:${"a".repeat(32)}&from=mounts/spelled/source`];
  for (const query of rows) {
    test(query, async () => {
      const target = repository("mounts/bad");
      const location = expectSession(await mount(target, query), target, 202, 0);
      const bytes = bytesOf(query, 100);
      await expectBlobCreated(
        await closeSession(target, location, digestOf(bytes), bytes),
        target,
        digestOf(bytes),
        bytes,
      );
    });
  }

  test("from is no name: as if it were not there", async () => {
    const bytes = bytesOf("mounts/bad from", 600);
    const digest = digestOf(bytes);
    const target = repository("mounts/bad-from/target");
    for (const from of ["", "UPPER", "a//b", "../etc"]) {
      expectSession(await mount(target, `mount=${digest}&from=${from}`), target, 202, 0);
    }
    await POST_PUT.push(repository("mounts/bad-from/source"), bytes, digest);
    for (const [at, from] of ["", "UPPER", "a//b", "../etc"].entries()) {
      const mounted = repository(`mounts/bad-from/mounted-${at}`);
      await expectBlobCreated(await mount(mounted, `mount=${digest}&from=${from}`), mounted, digest, bytes);
    }
  });
});

test("a mount brings its repository into being", async () => {
  const bytes = bytesOf("mounts/new", 600);
  const digest = digestOf(bytes);
  await POST_PUT.push(repository("mounts/new/source"), bytes, digest);
  const target = repository("mounts/new/target");
  expect((await mount(target, `mount=${digest}&from=mounts/new/source`)).status).toBe(201);
  expect(await target.tags()).toEqual([]);
});
