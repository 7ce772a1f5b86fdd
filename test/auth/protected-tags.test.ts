/** Immutable tags: no client moves or removes them over HTTP. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { protectionOf } from "../../src/auth/protected-tags.ts";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import {
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { basic, startGuarded } from "./support/guarded-registry.ts";
import type { GuardedRegistry } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

/** An administrator: protection holds for everybody. */
const HEADERS = { ...basic("root", "secret"), "content-type": OCI_INDEX };

const ONE = imageIndex([], { annotations: { version: "one" } });
const OTHER = imageIndex([], { annotations: { version: "other" } });

let guarded: GuardedRegistry;
let repository: RepositoryClient;
beforeEach(async () => {
  guarded = await startGuarded({
    accounts: [user("root", "secret", ["admin"])],
    limits: { immutableTagsOf: protectionOf([{ repositories: ["team/**"], tags: ["v*", "release-*"] }]) },
  });
  repository = new RepositoryClient(guarded.url, "team/app");
});
afterEach(() => guarded[Symbol.asyncDispose]());

function put(reference: string, body: string, from: RepositoryClient = repository): Promise<Response> {
  return from.send("PUT", `manifests/${reference}`, { headers: HEADERS, body });
}

async function digestAt(tag: string): Promise<string | null> {
  return (await repository.head(`manifests/${tag}`, HEADERS)).headers.get("docker-content-digest");
}

describe("a protected tag", () => {
  beforeEach(async () => {
    expect((await put("v1", ONE)).status).toBe(201);
  });

  test("takes the same image again", async () => {
    expect((await put("v1", ONE)).status).toBe(201);
  });

  test("takes no other image, by whatever way", async () => {
    const byDigest = `${digestOf(OTHER)}?tag=fresh&tag=v1`;
    for (const reference of ["v1", byDigest]) {
      const [entry] = await expectRefused(await put(reference, OTHER), 403, "DENIED");
      expect(entry?.message).toContain("protected");
    }
    expect(await digestAt("v1")).toBe(digestOf(ONE));
    // Refused as a whole: neither the manifest nor the other tag is here.
    expect((await repository.head(`manifests/${digestOf(OTHER)}`, HEADERS)).status).toBe(404);
    expect((await repository.head("manifests/fresh", HEADERS)).status).toBe(404);
  });

  test("is not deleted, and neither is what it points at", async () => {
    for (const reference of ["v1", digestOf(ONE)]) {
      await expectRefused(await repository.delete(`manifests/${reference}`, HEADERS), 403, "DENIED");
    }
    expect(await digestAt("v1")).toBe(digestOf(ONE));
  });

  test("keeps what its image needs: its blobs, and the images below an index", async () => {
    const [config, layer] = ["{}", "layer"];
    for (const blob of [config, layer]) {
      const upload = `blobs/uploads/?digest=${digestOf(blob)}`;
      expect((await repository.send("POST", upload, { headers: basic("root", "secret"), body: blob })).status).toBe(
        201,
      );
    }
    const image = imageManifest(descriptorOf(OCI_CONFIG, config), [descriptorOf(OCI_LAYER, layer)]);
    const headers = { ...HEADERS, "content-type": OCI_MANIFEST };
    await repository.send("PUT", "manifests/latest", { headers, body: image });
    await put("release-1", imageIndex([descriptorOf(OCI_MANIFEST, image)]));

    const needed = [`blobs/${digestOf(config)}`, `blobs/${digestOf(layer)}`, `manifests/${digestOf(image)}`];
    for (const path of needed) {
      const [entry] = await expectRefused(await repository.delete(path, HEADERS), 403, "DENIED");
      expect(entry?.message).toContain("the tag release-1 is immutable");
      expect((await repository.head(path, HEADERS)).status).toBe(200);
    }
    // Another tag of the image may go all the same.
    expect((await repository.delete("manifests/latest", HEADERS)).status).toBe(202);
  });

  test("takes one image of many that come at once", async () => {
    const images = Array.from({ length: 8 }, (_, at) => imageIndex([], { annotations: { at: String(at) } }));
    const replies = await Promise.all(images.map((image) => put("v2", image)));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(replies.filter(({ status }) => status === 403)).toHaveLength(7);
  });

  test("is moved by no program that embeds the registry either", async () => {
    const { tags, manifests } = guarded.registry.namespace.repository("team/app" as never);
    const { digest } = await manifests.put(Buffer.from(OTHER), { mediaType: OCI_INDEX });
    expect(tags.put("v1" as never, digest)).rejects.toMatchObject({ code: "DENIED" });
    expect(tags.delete("v1" as never)).rejects.toMatchObject({ code: "DENIED" });
    await tags.put("v9" as never, digest);
  });
});

describe("what is not protected", () => {
  test("moves and goes: another tag, and the same tag in another repository", async () => {
    const elsewhere = new RepositoryClient(guarded.url, "other/app");
    for (const [tag, at] of [
      ["latest", repository],
      ["v1", elsewhere],
    ] as const) {
      for (const body of [ONE, OTHER]) expect((await put(tag, body, at)).status).toBe(201);
      expect((await at.delete(`manifests/${tag}`, HEADERS)).status).toBe(202);
    }
  });

  test("is an image that only other tags point at", async () => {
    await put("v1", ONE);
    await put("latest", OTHER);
    expect((await repository.delete(`manifests/${digestOf(OTHER)}`, HEADERS)).status).toBe(202);
  });
});
