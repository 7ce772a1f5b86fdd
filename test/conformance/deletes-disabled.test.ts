/** A registry on which deleting is switched off (`storage.delete.enabled: false`). */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import { digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { openSession, sessionWith } from "./sessions.ts";

const registry = useRegistry({ env: { REGISTRY_STORAGE_DELETE_ENABLED: "false" } });
const repository = (): RepositoryClient => new RepositoryClient(registry().url, "deletes-disabled/kept");
let image: PushedImage;

beforeAll(async () => {
  image = await pushImage(registry().url, repository().name, "v1");
});

describe("DELETE is refused with 405, and nothing is deleted", () => {
  // "If … deletion is disabled, the registry MUST respond with either a 400 Bad Request or a 405 Method Not Allowed."
  const rows: readonly (readonly [title: string, path: () => string])[] = [
    ["a tag", () => "manifests/v1"],
    ["a manifest", () => `manifests/${image.digest}`],
    ["a blob", () => `blobs/${image.layers[0]!.digest}`],
  ];
  for (const [title, path] of rows) {
    test(title, async () => {
      const reply = await repository().delete(path());
      const allowed = (reply.headers.get("allow") ?? "").split(", ");
      expect(allowed).toContain("GET");
      expect(allowed).not.toContain("DELETE");
      await expectRefused(reply, 405, "UNSUPPORTED");
      expect((await repository().head(path())).status).toBe(200);
    });
  }

  test("what is not there either", async () => {
    for (const path of ["manifests/v2", `manifests/${digestOf("x")}`, `blobs/${digestOf("x")}`]) {
      expect([404, 405]).toContain((await repository().delete(path)).status);
    }
  });
});

test("a session can be cancelled all the same: it takes nothing away from other clients", async () => {
  for (const location of [await openSession(repository()), await sessionWith(repository(), "bytes")]) {
    expect((await repository().delete(location)).status).toBe(204);
    await expectRefused(await repository().get(location), 404, "BLOB_UPLOAD_UNKNOWN");
  }
});

test("a tag still moves", async () => {
  const other = await pushImage(registry().url, repository().name, "moving", "one");
  const another = await pushImage(registry().url, repository().name, "moving", "two");
  const reply = await repository().head("manifests/moving");
  expect(reply.headers.get("docker-content-digest")).toBe(another.digest);
  expect((await repository().head(`manifests/${other.digest}`)).status).toBe(200);
});
