/** What `Accept` changes: nothing, but for clients that know Docker's single images alone. */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushImage, putManifest } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import {
  descriptorOf,
  digestOf,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  imageIndex,
  OCI_INDEX,
  OCI_MANIFEST,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { bodyOf, request } from "../support/raw-request.ts";
import { useRegistry } from "../support/use-registry.ts";

const registry = useRegistry();

const NAME = "accept/images";
const SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
const SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";

interface Stored {
  readonly digest: string;
  readonly body: string;
  readonly type: string;
}

/** By tag: a manifest and an index of OCI, and both of Docker. */
const stored = new Map<string, Stored>();
let amd64: Stored;

async function store(tag: string, body: string, type: string): Promise<Stored> {
  const reply = await putManifest(registry().url, NAME, tag, body, type);
  expect(reply.status).toBe(201);
  const manifest = { digest: digestOf(body), body, type };
  stored.set(tag, manifest);
  return manifest;
}

/** The same image as one of Docker's. */
const dockerized = ({ body }: PushedImage): string =>
  JSON.stringify({ ...(JSON.parse(body) as object), mediaType: DOCKER_MANIFEST });

const platform = (architecture: string, os = "linux"): Readonly<Record<string, unknown>> => ({
  platform: { architecture, os },
});
const listOf = (...manifests: readonly TestDescriptor[]): string => imageIndex(manifests, { mediaType: DOCKER_LIST });

beforeAll(async () => {
  const image = await pushImage(registry().url, NAME, "oci-image", "amd64");
  stored.set("oci-image", { digest: image.digest, body: image.body, type: OCI_MANIFEST });
  await store("oci-index", imageIndex([descriptorOf(OCI_MANIFEST, image.body, platform("amd64"))]), OCI_INDEX);

  amd64 = await store("docker-image", dockerized(image), DOCKER_MANIFEST);
  const arm64 = dockerized(await pushImage(registry().url, NAME, undefined, "arm64"));
  await store("docker-arm64", arm64, DOCKER_MANIFEST);
  const windows = dockerized(await pushImage(registry().url, NAME, undefined, "windows"));
  await store("docker-windows", windows, DOCKER_MANIFEST);
  const others = [
    descriptorOf(DOCKER_MANIFEST, arm64, platform("arm64")),
    descriptorOf(DOCKER_MANIFEST, windows, platform("amd64", "windows")),
  ];
  await store(
    "docker-list",
    listOf(...others, descriptorOf(DOCKER_MANIFEST, amd64.body, platform("amd64"))),
    DOCKER_LIST,
  );
  await store("docker-list-without", listOf(...others), DOCKER_LIST);
});

/** Asserts that HEAD and GET of a reference with these `Accept` headers give this manifest. */
async function expectServed(reference: string, accept: readonly string[], wanted: Stored): Promise<void> {
  const target = `/v2/${NAME}/manifests/${reference}`;
  for (const method of ["HEAD", "GET"]) {
    const reply = await request(registry().port, { method, target, headers: { Accept: accept } });
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({
      "content-type": wanted.type,
      "content-length": `${wanted.body.length}`,
      "docker-content-digest": wanted.digest,
      etag: `"${wanted.digest}"`,
      vary: "Accept",
    });
    expect(bodyOf(reply).toString()).toBe(method === "GET" ? wanted.body : "");
  }
}

describe("what is stored is served", () => {
  // "A GET request to an existing manifest URL MUST provide the expected manifest, with a response code that MUST be 200".
  const ACCEPTS: readonly (readonly [title: string, accept: readonly string[]])[] = [
    ["without Accept", []],
    ["to anything", ["*/*"]],
    ["to any application", ["application/*"]],
    ["as the official suite asks, in two headers", [OCI_INDEX, OCI_MANIFEST]],
    ["as containerd asks", [`${DOCKER_MANIFEST}, ${DOCKER_LIST}, ${OCI_MANIFEST}, ${OCI_INDEX}, */*`]],
    [
      "as docker asks, in six headers of any order",
      ["application/json", DOCKER_LIST, SCHEMA1_SIGNED, OCI_INDEX, DOCKER_MANIFEST, OCI_MANIFEST],
    ],
    ["as crane asks", [`${DOCKER_MANIFEST},${DOCKER_LIST},${OCI_INDEX},${OCI_MANIFEST}`]],
    ["to an OCI manifest only", [OCI_MANIFEST]],
    ["to an OCI index only", [OCI_INDEX]],
    ["to OCI's single images and Docker's", [`${OCI_MANIFEST}, ${DOCKER_MANIFEST}`]],
    ["to a Docker list only", [DOCKER_LIST]],
    ["to JSON only", ["application/json"]],
    ["to a browser", ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]],
    ["to something else", ["text/plain"]],
    ["to nothing that it has, by q", [`${OCI_MANIFEST};q=0, ${OCI_INDEX};q=0`]],
    ["to what cannot be read", [";;,,=;q=x,"]],
    ["to an empty header", [""]],
  ];
  for (const [title, accept] of ACCEPTS) {
    test(title, async () => {
      for (const [tag, manifest] of stored) {
        await expectServed(tag, accept, manifest);
        await expectServed(manifest.digest, accept, manifest);
      }
    });
  }
});

describe("a Docker list asked for by tag by a client that knows single Docker images only", () => {
  const ACCEPTS: readonly (readonly string[])[] = [
    [DOCKER_MANIFEST],
    [`${DOCKER_MANIFEST}, ${SCHEMA1_SIGNED}`],
    [SCHEMA1, SCHEMA1_SIGNED, DOCKER_MANIFEST],
    [SCHEMA1_SIGNED],
    [`${DOCKER_MANIFEST};q=0.5, ${SCHEMA1} ; q=0.1`],
  ];
  for (const accept of ACCEPTS) {
    const title = accept.join(" and ").replaceAll("application/vnd.docker.distribution.manifest.", "");
    test(`${title}: the image for linux/amd64`, async () => {
      await expectServed("docker-list", accept, amd64);
    });

    test(`${title}: the list when it is asked for by digest, or has no such image`, async () => {
      const list = stored.get("docker-list")!;
      await expectServed(list.digest, accept, list);
      await expectServed("docker-list-without", accept, stored.get("docker-list-without")!);
    });

    test(`${title}: everything else as it is stored`, async () => {
      for (const tag of ["oci-image", "oci-index", "docker-image", "docker-arm64"]) {
        await expectServed(tag, accept, stored.get(tag)!);
      }
    });
  }

  test("with any other type beside them: the list", async () => {
    for (const other of ["*/*", "application/json", "application/*", OCI_MANIFEST, OCI_INDEX, DOCKER_LIST]) {
      await expectServed("docker-list", [DOCKER_MANIFEST, other], stored.get("docker-list")!);
      await expectServed("docker-list", [`${other}, ${SCHEMA1_SIGNED}`], stored.get("docker-list")!);
    }
  });
});
