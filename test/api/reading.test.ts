/** What the API shows of repositories, tags and manifests. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import {
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import { ApiClient } from "./support/api-client.ts";
import { configOf, pushImage, pushManifest } from "./support/content.ts";

setDefaultTimeout(30_000);

let registry: Registry;
let api: ApiClient;

beforeAll(async () => {
  registry = await createRegistry({ storage: "memory", events: { endpoints: [], readersMs: 3_600_000 } });
  api = new ApiClient(registry);
});
afterAll(() => registry.close());

describe("repositories", () => {
  test("are listed in pages by name, found by letters, and sorted by size, tags and push", async () => {
    for (const [name, layer] of [
      ["list/a", "1"],
      ["list/b", "2".repeat(500)],
      ["list/c", "3".repeat(50)],
    ] as const) {
      await pushImage(registry, name, { config: configOf("amd64"), layers: [layer], tag: "v1" });
    }
    await pushImage(registry, "list/c", { config: configOf("amd64"), layers: ["3"], tag: "v2" });
    const names = async (query: string): Promise<string[]> => {
      const found: string[] = [];
      for (let cursor = ""; ;) {
        const { body } = await api.get(`/repositories?q=list/&limit=2${query}&cursor=${cursor}`);
        found.push(...body.items.map(({ name }: { name: string }) => name));
        if (body.next === null) return found;
        cursor = body.next;
      }
    };
    expect(await names("")).toEqual(["list/a", "list/b", "list/c"]);
    expect(await names("&sort=-name")).toEqual(["list/c", "list/b", "list/a"]);
    expect(await names("&sort=-size")).toEqual(["list/b", "list/c", "list/a"]);
    expect(await names("&sort=-tags")).toEqual(["list/c", "list/a", "list/b"]);
    expect((await names("&sort=-pushed"))[0]).toBe("list/c");
    expect((await api.get("/repositories?q=IST/B")).body.items).toHaveLength(1);
    expect((await api.get("/repositories?q=_ist")).body.items).toHaveLength(0); // letters, not patterns
  });

  test("say what is in them, and what of it is their own", async () => {
    await pushImage(registry, "shares/a", { config: configOf("s390x"), layers: ["shared", "own"], tag: "v1" });
    await pushImage(registry, "shares/b", { config: configOf("s390x"), layers: ["shared"], tag: "v1" });
    const { body } = await api.get("/repositories/shares/a");
    expect(body).toMatchObject({ name: "shares/a", tags: 1, manifests: 1, blobs: 3, uploads: 0 });
    expect(body.permissions).toEqual(["pull", "push", "delete", "admin"]);
    const shares = (await api.get("/repositories/shares/a/-/shares")).body;
    expect(shares).toMatchObject({ ownBytes: 3, sharedBytes: 6 + configOf("s390x").length, isComplete: true });
  });

  test("are found by names with slashes, raw and encoded, and hostile names are refused", async () => {
    for (const name of ["shares/a", "shares%2Fa", "shares%2fa"]) {
      expect((await api.get(`/repositories/${name}`)).status).toBe(200);
      expect((await api.get(`/repositories/${name}/-/tags`)).status).toBe(200);
    }
    const statuses = {
      "Upper/-/tags": 400,
      "a%2F-%2Fb": 400,
      "a%252Fb": 400,
      "a//b": 400,
      "%00": 400,
      "a%": 400,
      "a%5Cb": 404,
      "a/%2e%2e/b": 404,
      "/-/tags": 400,
      "shares/a/-/": 404,
      "shares/a/-/tags/": 404,
      "shares/a/-/tags/v1/-/history": 404,
      "shares/a/-/nothing": 404,
      "not/there": 404,
      "not/there/-/tags": 404,
      "shares/a/-/tags/none": 404,
      "shares/a/-/tags/-bad": 400,
      "shares/a/-/manifests/sha256:short": 400,
      "shares/a/-/tags?limit=0": 400,
      "shares/a/-/tags?limit=x": 400,
      "shares/a/-/tags?limit=1&limit=2": 400,
      "shares/a/-/tags?unknown=1": 400,
      "shares/a/-/tags?cursor=x": 400,
      "shares/a/-/tags?sort=x": 400,
      "shares/a/-/tags?q=%00": 400,
    };
    for (const [path, status] of Object.entries(statuses)) {
      expect([path, (await api.get(`/repositories/${path}`)).status]).toEqual([path, status]);
    }
    const cursor = Buffer.from(JSON.stringify({ value: 0, name: "a\0" })).toString("base64url");
    expect((await api.get(`/repositories?cursor=${cursor}`)).status).toBe(400);
    expect((await api.send("DELETE", "/users/%00")).status).toBe(400);
    expect((await api.send("POST", "/repositories")).headers.get("allow")).toBe("GET, HEAD");
  });
});

describe("tags", () => {
  test("are in the order of versions, with aliases, platforms and sizes", async () => {
    const amd64 = await pushImage(registry, "team/app", { config: configOf("amd64"), layers: ["l1"], tag: "1.9" });
    await pushManifest(
      registry,
      "team/app/manifests/1.10",
      OCI_MANIFEST,
      imageManifest(descriptorOf(OCI_CONFIG, configOf("amd64")), [descriptorOf(OCI_LAYER, "l1")]),
    );
    await pushImage(registry, "team/app", { config: configOf("arm64"), layers: ["l2"], tag: "1.8" });
    const { body } = await api.get("/repositories/team/app/-/tags?limit=2");
    expect(body.total).toBe(3);
    expect(body.items.map(({ name }: { name: string }) => name)).toEqual(["1.10", "1.9"]);
    expect(body.items[0]).toMatchObject({
      digest: amd64.digest,
      aliases: ["1.9"],
      aliasCount: 1,
      platforms: ["linux/amd64"],
      kind: "image",
      bytes: amd64.size + configOf("amd64").length + 2,
      isSigned: false,
    });
    const next = (await api.get(`/repositories/team/app/-/tags?limit=2&cursor=${body.next}`)).body;
    expect(next).toMatchObject({ items: [{ name: "1.8" }], next: null });
    const matching = await api.get("/repositories/team/app/-/tags?q=1.1*");
    expect(matching.body).toMatchObject({ total: 1, items: [{ name: "1.10" }] });
    const byName = await api.get("/repositories/team/app/-/tags?sort=name");
    expect(byName.body.items.map(({ name }: { name: string }) => name)).toEqual(["1.10", "1.8", "1.9"]);
    const last = await api.get("/repositories/team/app/-/tags?sort=-name&limit=1");
    const rest = await api.get(`/repositories/team/app/-/tags?sort=-name&cursor=${last.body.next}`);
    expect(rest.body.items.map(({ name }: { name: string }) => name)).toEqual(["1.8", "1.10"]);
  });

  test("have a history, and signatures show beside them", async () => {
    const first = await pushImage(registry, "team/signed", { config: configOf("amd64"), layers: ["a"], tag: "v1" });
    const second = await pushImage(registry, "team/signed", { config: configOf("amd64"), layers: ["b"], tag: "v1" });
    await pushImage(registry, "team/signed", {
      config: "{}",
      layers: ["signature"],
      more: { subject: second, artifactType: "application/vnd.dev.cosign.artifact.sig.v1+json" },
    });
    const { body } = await api.get("/repositories/team/signed/-/tags/v1/history");
    expect(body.items.map(({ digest }: { digest: string }) => digest)).toEqual([second.digest, first.digest]);
    expect(body.items[0].until).toBeNull();
    expect((await api.get("/repositories/team/signed/-/tags/v1")).body).toMatchObject({ isSigned: true });
    const referrers = await api.get(`/repositories/team/signed/-/manifests/${second.digest}/referrers`);
    expect(referrers.body).toMatchObject({ referrers: [{ referrers: [] }], isComplete: true });
  });
});

describe("manifests", () => {
  test("of an index are a tree, in which attestations stand with their image", async () => {
    const image = await pushImage(registry, "team/multi", { config: configOf("amd64"), layers: ["x".repeat(100)] });
    const attestation = await pushImage(registry, "team/multi", { config: "{}", layers: ["provenance"] });
    const index = imageIndex([
      { ...image, platform: { os: "linux", architecture: "amd64" } },
      {
        ...attestation,
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": image.digest,
        },
      },
    ] as TestDescriptor[]);
    await pushManifest(registry, "team/multi/manifests/latest", OCI_INDEX, index);
    const { body } = await api.get(`/repositories/team/multi/-/manifests/${digestOf(index)}`);
    expect(body).toMatchObject({ kind: "index", platforms: ["linux/amd64"], tags: ["latest"], attestations: [] });
    expect(body.images).toMatchObject([
      { digest: image.digest, platform: "linux/amd64", isHere: true, attestations: [{ digest: attestation.digest }] },
    ]);
    expect(body.bytes).toBeGreaterThan(100);
    const list = await api.get("/repositories/team/multi/-/manifests?limit=2");
    expect(list.body.items).toHaveLength(2);
    const rest = await api.get(`/repositories/team/multi/-/manifests?cursor=${list.body.next}`);
    expect(rest.body).toMatchObject({ items: [{ digest: expect.any(String) }], next: null });
    const untagged = await api.get("/repositories/team/multi/-/manifests?show=untagged");
    expect(untagged.body.items).toHaveLength(2);
  });

  test("are read some at a time, however many a page and an index have", async () => {
    const { manifests } = registry.namespace.repository(repositoryName("team/many"));
    const put = async (index: string): Promise<TestDescriptor> => {
      await manifests.put(Buffer.from(index));
      return descriptorOf(OCI_INDEX, index);
    };
    const children: TestDescriptor[] = [];
    for (let at = 0; at < 201; at++) children.push(await put(imageIndex([], { annotations: { at: `${at}` } })));
    const index = imageIndex(children);
    await put(index);
    const page = await api.get("/repositories/team/many/-/manifests?limit=1000");
    expect(page.body.items).toHaveLength(202);
    const unread = page.body.items.filter(({ bytes }: { bytes: number | null }) => bytes === null);
    expect(unread).toMatchObject([{ digest: digestOf(index) }]); // it has too many entries to add their sizes up
    const { images } = (await api.get(`/repositories/team/many/-/manifests/${digestOf(index)}`)).body;
    expect(images.map(({ bytes }: { bytes: number }) => bytes)).toEqual(children.map(({ size }) => size));
  });

  test("that are too large to be read in lists are here, and of their kind", async () => {
    const image = await pushImage(registry, "team/large", {
      config: configOf("amd64"),
      layers: ["l"],
      tag: "amd64",
      more: { annotations: { large: "x".repeat(300_000) } },
    });
    const index = imageIndex([image]);
    await pushManifest(registry, "team/large/manifests/latest", OCI_INDEX, index);
    const tree = await api.get(`/repositories/team/large/-/manifests/${digestOf(index)}`);
    expect(tree.body.images).toMatchObject([{ digest: image.digest, isHere: true, bytes: null }]);
    expect((await api.get("/repositories/team/large/-/tags/amd64")).body).toMatchObject({ kind: "image", bytes: null });
    expect((await api.get(`/repositories/team/large/-/manifests/${image.digest}`)).body.kind).toBe("image");
  });

  test("of images have their config, and layers with the commands that made them", async () => {
    const history = [
      { created_by: "FROM scratch", empty_layer: true },
      { created_by: "COPY app /", created: "2026-01-01T00:00:00Z" },
      { created_by: "RUN make" },
    ];
    const image = await pushImage(registry, "team/lines", {
      config: configOf("amd64", { history }),
      layers: ["c", "d"],
      tag: "v1",
    });
    const { body } = await api.get(`/repositories/team/lines/-/manifests/${image.digest}/image`);
    expect(body.config).toMatchObject({ os: "linux", cmd: ["/bin/sh"], labels: { a: "<b>" } });
    expect(
      body.lines.map(({ command, layer }: { command: string; layer: { digest: string } | null }) => [
        command,
        layer?.digest,
      ]),
    ).toEqual([
      ["FROM scratch", undefined],
      ["COPY app /", digestOf("c")],
      ["RUN make", digestOf("d")],
    ]);
    expect(body.lines[1].layer.manifests).toBe(1);
    // A history that does not fit says nothing.
    const other = await pushImage(registry, "team/lines", {
      config: configOf("amd64", { history: history.slice(0, 2) }),
      layers: ["c", "d"],
    });
    const unfit = await api.get(`/repositories/team/lines/-/manifests/${other.digest}/image`);
    expect(unfit.body.lines).toMatchObject([{ command: null }, { command: null }]);
  });
});

test("answers have entity tags, and are not sent again", async () => {
  const { headers } = await api.get("/repositories/team/app");
  const etag = headers.get("etag") ?? "";
  const again = await api.get("/repositories/team/app", { headers: { "if-none-match": etag } });
  expect(again.status).toBe(304);
  expect(headers.get("cache-control")).toBe("private, no-cache");
  expect((await api.send("HEAD", "/repositories/team/app")).headers.get("etag")).toBe(etag);
});

test("the client learns who it is, and reads events and the description", async () => {
  expect((await api.get("/me")).body).toMatchObject({ kind: "anonymous", isAdministrator: true, mayLogIn: false });
  expect((await api.get("/events?limit=1")).body.events).toHaveLength(1);
  const { body } = await api.get("/openapi.json");
  expect(body.openapi).toBe("3.1.0");
});
