/** What the operator has switched off: deletes are 405 UNSUPPORTED, and everything else goes on. */
import { describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { request } from "../support/raw-request.ts";
import { BAD_DIGESTS } from "./bad-digests.ts";
import { expectRefused } from "./refusal.ts";
import { FIRST_HALF, Session } from "./session.ts";
import {
  ABSENT,
  CONFIG,
  IMAGE,
  INDEX_TEXT,
  LAYER,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";
import { digestOf } from "../support/content.ts";

const witness = useWitness({ env: { REGISTRY_STORAGE_DELETE_ENABLED: "false" } });

describe("a delete is refused with 405 UNSUPPORTED", () => {
  const rows: readonly (readonly [title: string, path: string])[] = [
    ["a tag", `${REPOSITORY}/manifests/v1`],
    ["a tag of an index", `${REPOSITORY}/manifests/all`],
    ["a manifest", `${REPOSITORY}/manifests/${IMAGE.digest}`],
    ["an index", `${REPOSITORY}/manifests/${digestOf(INDEX_TEXT)}`],
    ["a config", `${REPOSITORY}/blobs/${CONFIG.digest}`],
    ["a layer", `${REPOSITORY}/blobs/${LAYER.digest}`],
  ];
  for (const [title, path] of rows) {
    test(title, async () => {
      const reply = await expectRefused(
        witness().registry,
        { method: "DELETE", target: `/v2/${path}` },
        "405 UNSUPPORTED",
      );
      // What is switched off is not among what is allowed.
      const allowed = (reply.headers["allow"] ?? "").split(/\s*,\s*/);
      expect(allowed).toContain("GET");
      expect(allowed).not.toContain("DELETE");
    });
  }

  const absent: readonly (readonly [title: string, path: string])[] = [
    ["an unknown tag", `${REPOSITORY}/manifests/v2`],
    ["a manifest that was never pushed", `${REPOSITORY}/manifests/${UNKNOWN_DIGEST}`],
    ["a blob that was never pushed", `${REPOSITORY}/blobs/${UNKNOWN_DIGEST}`],
    ["a tag of no repository", `${ABSENT}/manifests/v1`],
    ["a blob of no repository", `${ABSENT}/blobs/${LAYER.digest}`],
  ];
  for (const [title, path] of absent) {
    test(title, async () => {
      const wanted = { method: "DELETE", target: `/v2/${path}` };
      await expectRefused(witness().registry, wanted, "405 UNSUPPORTED");
    });
  }

  for (const { title, text } of BAD_DIGESTS) {
    test(`a digest that is none: ${title}, 405 or 400`, async () => {
      for (const noun of ["manifests", "blobs"]) {
        const wanted = { method: "DELETE", target: `/v2/${REPOSITORY}/${noun}/${text}` };
        await expectRefused(witness().registry, wanted, ["405 UNSUPPORTED", "400 DIGEST_INVALID"]);
      }
    });
  }
  testUnchanged(witness, ABSENT);
});

describe("what is no delete of content goes on", () => {
  test("an upload can be cancelled: that needs the right to push, not the right to delete", async () => {
    const { registry } = witness();
    const session = await Session.open(registry, FIRST_HALF);
    expect((await request(registry.port, { method: "DELETE", target: session.path })).status).toBe(204);
    await session.expectGone();
  });

  test("images can be pushed, and tags moved", async () => {
    const { url } = witness().registry;
    const first = await pushImage(url, "library/moved", "v1", 1);
    const second = await pushImage(url, "library/moved", "v1", 2);
    const pulled = await fetch(`${url}/v2/library/moved/manifests/v1`);
    expect(await pulled.text()).toBe(second.body);
    expect((await fetch(`${url}/v2/library/moved/manifests/${first.digest}`)).status).toBe(200);
    await witness().remember();
  });
});

testAliveAndQuiet(witness);
