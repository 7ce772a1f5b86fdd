/** Referrers: a bad digest is 400, everything else is 200 with a list (distribution-spec, "Listing Referrers"). */
import { describe, expect, test } from "bun:test";
import { digestOf, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { BAD_DIGESTS, COLONLESS_DIGESTS } from "./bad-digests.ts";
import { image } from "./bad-manifests.ts";
import { expectRefused } from "./refusal.ts";
import {
  ABSENT,
  CONFIG,
  IMAGE,
  REPOSITORY,
  UNKNOWN_DIGEST,
  testAliveAndQuiet,
  testUnchanged,
  useWitness,
} from "./witness.ts";

const witness = useWitness();

interface Referrers {
  readonly schemaVersion: number;
  readonly mediaType: string;
  readonly manifests: readonly { readonly digest: string; readonly artifactType?: string }[];
}

/** Asserts that the reply is a list of referrers, and gives it. */
async function getReferrers(path: string): Promise<Referrers & { readonly filters: string | null }> {
  const reply = await fetch(`${witness().registry.url}/v2/${path}`);
  expect(reply.status).toBe(200);
  // Clients compare this text as it is: no charset.
  expect(reply.headers.get("content-type")).toBe(OCI_INDEX);
  const list = (await reply.json()) as Referrers;
  expect(list).toMatchObject({ schemaVersion: 2, mediaType: OCI_INDEX });
  expect(list.manifests).toBeArray();
  return { ...list, filters: reply.headers.get("oci-filters-applied") };
}

describe("a digest that is none: 400 DIGEST_INVALID", () => {
  for (const { title, text } of [...BAD_DIGESTS, ...COLONLESS_DIGESTS]) {
    test(title, async () => {
      for (const repository of [REPOSITORY, ABSENT]) {
        for (const query of ["", "?artifactType=a/b", "?n=1"]) {
          const target = `/v2/${repository}/referrers/${text}${query}`;
          await expectRefused(witness().registry, { target }, "400 DIGEST_INVALID");
        }
      }
    });
  }
  testUnchanged(witness, ABSENT);
});

describe("referrers of what is not here: 200 and an empty list, never 404", () => {
  const rows: readonly (readonly [title: string, path: string])[] = [
    ["a digest that was never pushed", `${REPOSITORY}/referrers/${UNKNOWN_DIGEST}`],
    ["a sha512 that was never pushed", `${REPOSITORY}/referrers/${digestOf("x", "sha512")}`],
    ["a digest of zeros, as oras asks for", `${REPOSITORY}/referrers/sha256:${"0".repeat(64)}`],
    ["a blob", `${REPOSITORY}/referrers/${CONFIG.digest}`],
    ["a manifest of another repository", `library/other/referrers/${IMAGE.digest}`],
    ["no repository", `${ABSENT}/referrers/${IMAGE.digest}`],
    ["no repository, with a colon that is encoded", `${ABSENT}/referrers/${IMAGE.digest.replace(":", "%3A")}`],
  ];
  for (const [title, path] of rows) {
    test(title, async () => {
      expect((await getReferrers(path)).manifests).toEqual([]);
      const filtered = await getReferrers(`${path}?artifactType=application/vnd.example.witness`);
      expect(filtered.manifests).toEqual([]);
      expect(filtered.filters).toBe("artifactType");
    });
  }
  testUnchanged(witness, ABSENT);
});

describe("strange queries of referrers", () => {
  const path = `${REPOSITORY}/referrers/${IMAGE.digest}`;
  const type = "application/vnd.example.witness";

  for (const query of ["n=abc", "n=-1", "n=", "n=1&n=2", `n=${"9".repeat(400)}`, "last=%00", "digest=sha256:zz"]) {
    test(`${query.slice(0, 24)} is ignored`, async () => {
      const list = await getReferrers(`${path}?${query}`);
      expect(list.manifests.map((manifest) => manifest.artifactType)).toEqual([type]);
    });
  }

  test("an unknown filter is ignored, and not named as applied", async () => {
    const list = await getReferrers(`${path}?annotation=a&ArtifactType=a/b&artifactType[]=a/b`);
    expect(list.manifests.length).toBe(1);
    expect(list.filters).toBeNull();
  });

  test("artifact types that are too long together for a header are refused with 414", async () => {
    const types = Array.from({ length: 40 }, (_, at) => `artifactType=application%2Fvnd.example.number-${at}`);
    const target = `/v2/${REPOSITORY}/referrers/${IMAGE.digest}?${types.join("&")}`;
    await expectRefused(witness().registry, { target }, "414 UNSUPPORTED");
  });

  test("several artifact types give the union", async () => {
    const list = await getReferrers(`${path}?artifactType=a/b&artifactType=${type}`);
    expect(list.manifests.length).toBe(1);
    expect(list.filters).toBe("artifactType");
  });

  for (const other of [
    "a/b",
    "nonsense",
    "%00",
    "%ff",
    "'%20or%201=1%20--",
    "%25",
    type.toUpperCase(),
    "a".repeat(1_000),
  ]) {
    test(`an artifact type that nothing has: ${other.slice(0, 24)}`, async () => {
      const list = await getReferrers(`${path}?artifactType=${other}`);
      expect(list.manifests).toEqual([]);
      expect(list.filters).toBe("artifactType");
    });
  }
  testUnchanged(witness);
});

describe("a manifest that is refused refers to nothing", () => {
  const rows: readonly (readonly [title: string, body: string])[] = [
    ["its subject lacks a size", image({ subject: { ...IMAGE, size: undefined } })],
    ["its subject has a size that is a text", image({ subject: { ...IMAGE, size: "1" } })],
    ["its subject is good, its annotations are not", image({ subject: IMAGE, annotations: { a: 1 } })],
    ["its subject is good, its version is not", image({ subject: IMAGE, schemaVersion: 3 })],
  ];
  for (const [title, body] of rows) {
    test(title, async () => {
      const wanted = {
        method: "PUT",
        target: `/v2/${REPOSITORY}/manifests/${digestOf(body)}`,
        headers: { "Content-Type": OCI_MANIFEST },
        body,
      };
      await expectRefused(witness().registry, wanted, "400 MANIFEST_INVALID");
      const list = await getReferrers(`${REPOSITORY}/referrers/${IMAGE.digest}`);
      expect(list.manifests.map((manifest) => manifest.digest)).not.toContain(digestOf(body));
    });
  }

  test("its layer is missing", async () => {
    const body = image({ subject: IMAGE, layers: [{ ...CONFIG, digest: UNKNOWN_DIGEST }] });
    const target = `/v2/${REPOSITORY}/manifests/refused`;
    const wanted = { method: "PUT", target, headers: { "Content-Type": OCI_MANIFEST }, body };
    await expectRefused(witness().registry, wanted, "400 MANIFEST_BLOB_UNKNOWN");
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
