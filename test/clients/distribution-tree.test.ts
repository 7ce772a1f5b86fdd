/**
 * A registry moves from distribution to Stowage on the same data folder or bucket, and back: filled by clients, adopted while it is
 * killed, pushed to, and served by distribution again.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { goPeer } from "../../bench/peers/programs.ts";
import { OCI_CONFIG, OCI_LAYER, bytesOf, descriptorOf, digestOf, imageManifest } from "../support/content.ts";
import { freePorts } from "../support/free-ports.ts";
import { PROGRAM } from "../support/registry.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startProcess } from "../support/server-process.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { BUCKET, KEYS, startS3 } from "../s3/support/s3-server.ts";
import { goClient } from "./support/go-clients.ts";
import { writeRandomArchive } from "./support/image-files.ts";
import { locate, run } from "./support/programs.ts";
import { until } from "./support/until.ts";

setDefaultTimeout(300_000);

const scratch = await scratchFolder();
const crane = await goClient("crane");
const oras = await goClient("oras");

const s3 = await startS3();

/** The versions that people have, how each is started, and where it keeps its tree. */
const VERSIONS = {
  "a data folder of distribution 2.8": {
    program: () => Promise.resolve(locate("docker-registry")),
    storage: (folder: string) => ({ filesystem: { rootdirectory: folder } }),
  },
  "a data folder of distribution 3.1": {
    program: () => goPeer("distribution"),
    storage: (folder: string) => ({ filesystem: { rootdirectory: folder } }),
  },
  "a bucket of distribution 3.1": {
    program: () => goPeer("distribution"),
    storage: () => ({
      s3: {
        bucket: BUCKET,
        region: "us-east-1",
        regionendpoint: s3.url,
        forcepathstyle: true,
        rootdirectory: "/some/registry",
        accesskey: KEYS.accessKeyId,
        secretkey: KEYS.secretAccessKey,
      },
    }),
  },
} as const;

for (const [tree, { program, storage }] of Object.entries(VERSIONS)) {
  describe(tree, () => {
    test("is served by Stowage, also after kill -9 while it is indexed, and by distribution again", async () => {
      const folder = await mkdtemp(join(scratch, "tree-"));
      const [port = 0] = await freePorts(1);
      const at = (name: string): string => `127.0.0.1:${port}/${name}`;
      const settings = join(folder, "config.yml");
      await writeFile(settings, JSON.stringify(settingsFor(storage(folder))));
      let filled: Filled;
      {
        await using _ = await startDistribution(await program(), settings, port);
        filled = await fill(at);
      }
      let pushed: readonly string[];
      {
        const killed = await startStowage(settings, folder, port);
        await Promise.all([expectServed(at, filled.images.slice(0, 3)), killed.printed(/is being indexed|adoption/)]);
        killed.signal("SIGKILL");
        await killed.ended;
        await using server = await startStowage(settings, folder, port);
        await expectServed(at, filled.images);
        await expectBlobs(port, filled);
        pushed = await push(at, filled);
        await untilAdopted(settings, folder);
        await expectServed(at, [...filled.images, ...pushed]);
        for (const gone of filled.deleted) await expectAbsent(at(gone));
        expect(await server.stop()).toBe(0);
      }
      const report = await run(PROGRAM as `/${string}`, ["export-links", "--json", ...ofRegistry(settings, folder)]);
      expect(JSON.parse(report.stdout)).toMatchObject({ corrupt: [] });
      await using _ = await startDistribution(await program(), settings, port);
      await expectServed(at, [...filled.images, ...pushed]);
      await expectBlobs(port, filled);
      for (const gone of filled.deleted) await expectAbsent(at(gone));
      // The referrer that was pushed to Stowage is found by the tag under which clients look for it.
      const discovered = await run(oras, ["discover", "--plain-http", "--format", "json", at("team/app:1")], {
        env: { HOME: scratch },
      });
      expect(discovered.stdout).toContain("application/x.sbom");
      await appendImage(at("team/app:after"));
      await expectServed(at, ["team/app:after"]);
    });
  });
}

interface Filled {
  /** Tags that are served, with their repositories. */
  readonly images: readonly string[];
  readonly deleted: readonly string[];
  /** A blob that was pushed by its SHA-512, and its bytes; undefined where distribution refuses it. */
  readonly sha512: { readonly digest: string; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;
  /** The digest of a blob that was mounted into `fork`. */
  readonly mounted: string;
}

/** Fills a registry in every way that its clients have. */
async function fill(at: (name: string) => string): Promise<Filled> {
  const images = ["team/app:1", "team/app:2", "team/app/deep:latest", "library/base:1"];
  for (const image of images) await appendImage(at(image));
  await run(crane, ["index", "append", "-m", at("team/app:1"), "-m", at("team/app:2"), "-t", at("team/app:multi")]);
  await run(crane, ["copy", at("team/app:1"), at("fork/app:copied")]);
  await attach(at("team/app:2"), "application/x.signature");
  await appendImage(at("team/app:deleted"));
  const { stdout: deleted } = await run(crane, ["digest", at("team/app:deleted")]);
  await run(crane, ["delete", `${at("team/app")}@${deleted.trim()}`]);
  await appendImage(at("team/app:moved"));
  await appendImage(at("team/app:moved"));

  const url = `http://${at("").slice(0, -1)}`;
  const client = new RepositoryClient(url, "team/app");
  const begun = await client.send("POST", "blobs/uploads/");
  await client.send("PATCH", locationOf(begun), {
    body: "half a blob",
    headers: { "content-type": "application/octet-stream" },
  });
  const layer = bytesOf("mounted", 1000);
  await pushBlob(client, digestOf(layer), layer);
  const fork = new RepositoryClient(url, "fork");
  expect((await fork.send("POST", `blobs/uploads/?mount=${digestOf(layer)}&from=team/app`)).status).toBe(201);
  const config = JSON.stringify({ architecture: "amd64", os: "linux" });
  await pushBlob(fork, digestOf(config), config);
  const manifest = imageManifest(descriptorOf(OCI_CONFIG, config), [descriptorOf(OCI_LAYER, layer)]);
  const put = await fork.send("PUT", "manifests/mounted", {
    body: manifest,
    headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
  });
  expect(put.status).toBe(201);
  const bytes = bytesOf("sha512", 2000);
  const digest = `sha512:${createHash("sha512").update(bytes).digest("hex")}`;
  const sha512 = (await pushBlob(client, digest, bytes, false)) ? { digest, bytes } : undefined;
  return {
    images: [...images, "team/app:multi", "fork/app:copied", "team/app:moved"],
    deleted: ["team/app:deleted", `team/app@${deleted.trim()}`],
    sha512,
    mounted: digestOf(layer),
  };
}

async function pushBlob(
  client: RepositoryClient,
  digest: string,
  body: Uint8Array<ArrayBuffer> | string,
  isRequired = true,
): Promise<boolean> {
  const location = locationOf(await client.send("POST", "blobs/uploads/"));
  const place = `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
  const reply = await client.send("PUT", place, { body, headers: { "content-type": "application/octet-stream" } });
  if (isRequired) expect(reply.status).toBe(201);
  return reply.status === 201;
}

/** Without the address that some registries put before it. */
function locationOf(reply: Response): string {
  const { pathname, search } = new URL(reply.headers.get("location") ?? "", "http://registry");
  return `${pathname}${search}`;
}

/** What clients push to Stowage while it adopts. */
async function push(at: (name: string) => string, { images }: Filled): Promise<readonly string[]> {
  await appendImage(at("team/app:3"));
  await appendImage(at("team/app:moved"));
  await appendImage(at("new/app:1"));
  await run(crane, ["copy", at(images[0] ?? ""), at("new/app:copied")]);
  await run(crane, ["tag", at("team/app:2"), "also-2"]);
  await attach(at("team/app:1"), "application/x.sbom");
  return ["team/app:3", "new/app:1", "new/app:copied", "team/app:also-2"];
}

async function appendImage(image: string): Promise<void> {
  const { tar } = await writeRandomArchive(scratch, 50_000);
  await run(crane, ["append", "--new_layer", tar, "--new_tag", image]);
}

async function attach(image: string, artifactType: string): Promise<void> {
  const file = join(scratch, "attached.txt");
  await writeFile(file, artifactType);
  const words = ["attach", "--plain-http", "--disable-path-validation", "--artifact-type", artifactType, image, file];
  await run(oras, words, { env: { HOME: scratch } });
}

/** Fails unless each image comes whole, by its tag and by its digest. */
async function expectServed(at: (name: string) => string, images: readonly string[]): Promise<void> {
  for (const image of images) {
    expect((await run(crane, ["validate", "--remote", at(image)])).stdout).toContain("PASS");
    const digest = (await run(crane, ["digest", at(image)])).stdout.trim();
    const byDigest = `${at(image.slice(0, image.lastIndexOf(":")))}@${digest}`;
    expect((await run(crane, ["validate", "--remote", byDigest])).stdout).toContain("PASS");
  }
}

async function expectBlobs(port: number, { sha512, mounted }: Filled): Promise<void> {
  const pulled = async (repository: string, digest: string): Promise<Uint8Array> => {
    const reply = await new RepositoryClient(`http://127.0.0.1:${port}`, repository).get(`blobs/${digest}`);
    const redirected = reply.status === 307 ? await fetch(reply.headers.get("location") ?? "") : reply;
    expect(redirected.status).toBe(200);
    return await redirected.bytes();
  };
  expect(digestOf(await pulled("fork", mounted))).toBe(mounted);
  if (sha512) expect(await pulled("team/app", sha512.digest)).toEqual(sha512.bytes);
}

/** Waits until all of the tree is in the database, whichever server process wrote the last of it. */
async function untilAdopted(settings: string, folder: string): Promise<void> {
  await until("the tree is adopted", async () => {
    const { stdout } = await run(PROGRAM as `/${string}`, ["status", "--json", ...ofRegistry(settings, folder)]);
    return (JSON.parse(stdout) as Status).adoption.phase === "done";
  });
}

interface Status {
  readonly adoption: { readonly phase: string };
}

async function expectAbsent(image: string): Promise<void> {
  expect(run(crane, ["digest", image])).rejects.toThrow(/404|MANIFEST_UNKNOWN/);
}

/** The settings of distribution, which Stowage reads too. */
function settingsFor(storage: object): object {
  return { version: 0.1, storage: { ...storage, delete: { enabled: true } } };
}

/** Words by which a command finds Stowage's registry: its database is in the folder, wherever the blobs are. */
function ofRegistry(settings: string, folder: string): readonly string[] {
  return ["--config", settings, "--data", folder];
}

function startStowage(settings: string, folder: string, port: number): Promise<ServerProcess> {
  const words = ["serve", ...ofRegistry(settings, folder)];
  return serving(port, { words, dataDir: folder, env: { REGISTRY_LOG_FORMATTER: "json", ...addressOf(port) } });
}

function startDistribution(program: string, settings: string, port: number): Promise<ServerProcess> {
  const env = { OTEL_TRACES_EXPORTER: "none", ...addressOf(port) };
  // It would take the folder for a second place of storage.
  const wrapper = ["env", "-u", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"];
  return serving(port, { wrapper, program, words: ["serve", settings], env });
}

function addressOf(port: number): Record<string, string> {
  return { REGISTRY_HTTP_ADDR: `127.0.0.1:${port}` };
}

/** Starts a server, and resolves when it answers. */
async function serving(port: number, options: Parameters<typeof startProcess>[0]): Promise<ServerProcess> {
  const server = await startProcess(options);
  await until("the server answers", async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).ok);
  return server;
}
