/** Oras: files of any kind, and what is attached to them. Helm, notation and Argo CD have its library. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { pushImage } from "../support/client.ts";
import { bytesOf, digestOf, OCI_MANIFEST } from "../support/content.ts";
import { Client } from "./support/client.ts";
import { sumOf } from "./support/image-files.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";

const SBOM = "application/vnd.example.sbom";
const SIGNATURE = "application/vnd.example.signature";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let oras: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  oras = resources.use(await Client.of("oras", registry));
  await writeFile(oras.file("large.bin"), bytesOf("oras", 3 << 20));
  await writeFile(oras.file("small.txt"), "A few words.\n");
});

afterAll(() => resources.disposeAsync());

describe("oras push and oras pull", () => {
  test("files come back with their names and bytes", async () => {
    const { digest } = await pushed("oras/files:1.0", "large.bin:application/x-large", "small.txt:text/plain");
    const served = await registry.getManifest("oras/files", "1.0");
    expect(served.digest).toBe(digest);
    expect(served.mediaType).toBe(OCI_MANIFEST);
    expect(served.json.layers?.map(({ mediaType }) => mediaType)).toEqual(["application/x-large", "text/plain"]);
    for (const reference of ["oras/files:1.0", `oras/files@${digest}`]) {
      await oras.run("pull", at(reference), "--output", oras.file("pulled"));
      for (const name of ["large.bin", "small.txt"]) {
        expect(await sumOf(oras.file(`pulled/${name}`))).toBe(await sumOf(oras.file(name)));
      }
    }
  });

  test("what the registry has is not sent again", async () => {
    await pushed("oras/again:1.0", "large.bin");
    const requests = await registry.wire.during(() => pushed("oras/again:2.0", "large.bin"));
    expect(uploadsIn(requests)).toEqual([]);
  });

  test("a tag resolves to its digest, and more tags are put on it", async () => {
    const { digest } = await pushed("oras/tags:1.0", "small.txt");
    expect(await oras.says("resolve", at("oras/tags:1.0"))).toBe(digest);
    await oras.run("tag", at("oras/tags:1.0"), "x", "y", "z");
    expect(await lines("repo", "tags", at("oras/tags"))).toEqual(["1.0", "x", "y", "z"]);
    expect(await oras.says("resolve", at("oras/tags:z"))).toBe(digest);
  });

  test("a repository may be called what the addresses of the registry are called", async () => {
    for (const name of ["blobs", "manifests", "tags", "referrers", "uploads", "v2/tags/list"]) {
      await pushed(`oras/named/${name}:1.0`, "small.txt");
      await attached(`oras/named/${name}:1.0`, SBOM);
      expect(await lines("repo", "tags", at(`oras/named/${name}`))).toEqual(["1.0"]);
      expect((await discovered(`oras/named/${name}:1.0`)).referrers).toHaveLength(1);
      await oras.run("pull", at(`oras/named/${name}:1.0`), "--output", oras.file("pulled"));
    }
  });

  test("the repositories are listed", async () => {
    await pushed("oras/listed/a:1.0", "small.txt");
    await pushed("oras/listed/b:1.0", "small.txt");
    expect(await lines("repo", "ls", at("oras/listed"))).toEqual(["a", "b"]);
  });
});

describe("oras attach and oras discover", () => {
  test("what is attached is found, with what is attached to it, and by its type", async () => {
    const subject = await pushed("oras/attach:1.0", "small.txt");
    const sbom = await attached("oras/attach:1.0", SBOM);
    const signature = await attached(`oras/attach@${sbom}`, SIGNATURE);
    const found = await discovered("oras/attach:1.0");
    expect(namesIn(found)).toEqual([subject.digest, [[sbom, [[signature, []]]]]]);
    const signatures = await discovered("oras/attach:1.0", "--artifact-type", SIGNATURE);
    expect(namesIn(signatures)).toEqual([subject.digest, []]);
    // The registry lists referrers itself: a client that doubts it keeps a list of its own under such a tag.
    expect(await lines("repo", "tags", at("oras/attach"))).toEqual(["1.0"]);
  });

  test("a copy takes along all that is attached, however deep, without moving a byte", async () => {
    await pushed("oras/deep:1.0", "large.bin");
    const sbom = await attached("oras/deep:1.0", SBOM);
    await attached(`oras/deep@${sbom}`, SIGNATURE);
    const requests = await registry.wire.during(() =>
      oras.run("cp", "--recursive", at("oras/deep:1.0"), at("oras/copied:1.0")),
    );
    expect(mountsIn(requests).length).toBeGreaterThan(0);
    expect(blobReadsIn(requests)).toEqual([]);
    const [from, to] = [await discovered("oras/deep:1.0"), await discovered("oras/copied:1.0")];
    expect(namesIn(to)).toEqual(namesIn(from));
    expect(JSON.stringify(namesIn(to))).toContain(sbom);
  });

  test("twelve copies into one repository at once lose nothing that is attached", async () => {
    const numbers = Array.from({ length: 12 }, (_, number) => number);
    await pushed("oras/twelve:1.0", "small.txt");
    await oras.run("cp", at("oras/twelve:1.0"), at("oras/gathered:1.0"));
    const signatures = await Promise.all(
      numbers.map(async (number) => {
        await oras.run("cp", at("oras/twelve:1.0"), at(`oras/twelve/${number}:1.0`));
        return await attached(`oras/twelve/${number}:1.0`, SIGNATURE, "--annotation", `number=${number}`);
      }),
    );
    await Promise.all(
      numbers.map((number) => oras.run("cp", "--recursive", at(`oras/twelve/${number}:1.0`), at("oras/gathered:1.0"))),
    );
    const found = await discovered("oras/gathered:1.0");
    expect(found.referrers.map(({ digest }) => digest).toSorted()).toEqual(signatures.toSorted());
    expect(new Set(signatures).size).toBe(numbers.length);
  });

  test("a repository is backed up with what is attached, and restored into another one", async () => {
    await pushed("oras/backup:1.0", "large.bin");
    await attached("oras/backup:1.0", SBOM);
    await oras.run("backup", "--output", oras.file("backup.tar"), "--include-referrers", at("oras/backup:1.0"));
    await oras.run("restore", "--input", oras.file("backup.tar"), at("oras/restored:1.0"));
    const [from, to] = [await discovered("oras/backup:1.0"), await discovered("oras/restored:1.0")];
    expect(to.referrers).toHaveLength(1);
    expect(namesIn(to)).toEqual(namesIn(from));
  });
});

describe("oras manifest and oras blob", () => {
  test("a manifest is fetched as it was pushed, and gone once it is deleted", async () => {
    const { digest, body } = await pushImage(registry.url, "oras/manifest", "1.0", "oras manifest");
    expect((await oras.run("manifest", "fetch", at("oras/manifest:1.0"))).stdout).toBe(body);
    await oras.run("manifest", "delete", "--force", at("oras/manifest:1.0"));
    expect((await oras.fails("manifest", "fetch", at(`oras/manifest@${digest}`))).stderr).toContain("not found");
    expect(await registry.manifest("oras/manifest", "1.0")).toBeUndefined();
  });

  test("an index is made of two images", async () => {
    const digests: string[] = [];
    for (const tag of ["a", "b"])
      digests.push((await pushImage(registry.url, "oras/index", tag, `oras ${tag}`)).digest);
    await oras.run("manifest", "index", "create", at("oras/index:both"), "a", "b");
    const index = await oras.json<{ manifests: { digest: string }[] }>("manifest", "fetch", at("oras/index:both"));
    expect(index.manifests.map(({ digest }) => digest)).toEqual(digests);
  });

  test("a manifest that was written by hand, without layers, goes from standard input and comes back", async () => {
    await pushed("oras/by-hand:1.0", "small.txt");
    const config = (await registry.getManifest("oras/by-hand", "1.0")).json.config;
    const manifest = JSON.stringify({ schemaVersion: 2, config: { ...config, size: 53 } });
    await writeFile(oras.file("by-hand.json"), manifest);
    const type = ["--media-type", OCI_MANIFEST];
    await oras.reads(oras.file("by-hand.json"), "manifest", "push", ...type, at("oras/by-hand:2.0"), "-");
    expect(await oras.says("manifest", "fetch", at("oras/by-hand:2.0"))).toBe(manifest);
  });

  test("a blob of either algorithm goes and comes, and is known by the digest that it went by", async () => {
    const bytes = bytesOf("oras", 3 << 20);
    for (const algorithm of ["sha256", "sha512"] as const) {
      const blob = `oras/blob@${digestOf(bytes, algorithm)}`;
      await oras.run("blob", "push", at(blob), "large.bin");
      await oras.run("blob", "fetch", "--output", oras.file("fetched.bin"), at(blob));
      expect(await sumOf(oras.file("fetched.bin"))).toBe(await sumOf(oras.file("large.bin")));
      expect(await oras.json("blob", "fetch", "--descriptor", at(blob))).toMatchObject({
        digest: digestOf(bytes, algorithm),
        size: bytes.length,
      });
    }
  });

  test("a blob that is deleted is gone from its repository, and stays in another one", async () => {
    const digest = digestOf("A few words.\n");
    for (const repository of ["oras/here", "oras/there"])
      await oras.run("blob", "push", at(`${repository}@${digest}`), "small.txt");
    await oras.run("blob", "delete", "--force", at(`oras/here@${digest}`));
    const gone = await oras.fails("blob", "fetch", "--descriptor", at(`oras/here@${digest}`));
    expect(gone.stderr).toContain("not found");
    expect((await oras.run("blob", "fetch", "--output", "-", at(`oras/there@${digest}`))).stdout).toBe(
      "A few words.\n",
    );
  });
});

describe("what goes wrong", () => {
  test("what is not there is said not to be found", async () => {
    await pushed("oras/unknown:1.0", "small.txt");
    expect((await oras.fails("pull", at("oras/unknown:2.0"))).stderr).toContain("not found");
    expect((await oras.fails("repo", "tags", at("oras/nowhere"))).stderr).toContain("repository name not known");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

interface Discovered {
  readonly digest: string;
  readonly referrers: readonly Discovered[];
}

type Tree = readonly [digest: string, referrers: readonly Tree[]];

function namesIn({ digest, referrers }: Discovered): Tree {
  return [digest, referrers.map((referrer) => namesIn(referrer))];
}

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

async function lines(...words: readonly string[]): Promise<readonly string[]> {
  return (await oras.says(...words)).split("\n");
}

/** Pushes files of the client's folder. */
function pushed(reference: string, ...files: readonly string[]): Promise<{ readonly digest: string }> {
  return oras.json("push", "--format", "json", "--artifact-type", "application/vnd.example", at(reference), ...files);
}

function discovered(reference: string, ...words: readonly string[]): Promise<Discovered> {
  return oras.json("discover", "--format", "json", ...words, at(reference));
}

/** Attaches a file and gives the digest of what was made. */
async function attached(reference: string, type: string, ...words: readonly string[]): Promise<string> {
  const command = ["attach", "--format", "json", "--artifact-type", type, ...words, at(reference), "small.txt"];
  return (await oras.json<{ readonly digest: string }>(...command)).digest;
}
