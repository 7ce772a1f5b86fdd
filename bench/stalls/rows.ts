/** What may keep others waiting: requests, commands and background work that are large in one way each. */
import { Database } from "bun:sqlite";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { OCI_EMPTY, OCI_MANIFEST } from "../../test/support/content.ts";
import { digestOf, seededImage } from "../../test/stalls/support/content.ts";
import { blobPayload } from "../../test/stalls/support/seeder.ts";
import { FIRST_TAG, LARGE_BLOB_BYTES, repositoryOf, zerosDigest } from "../support/large-registry.ts";
import type { Sizes } from "../support/large-registry.ts";
import { runCommand } from "./version.ts";
import type { Beside, Server, Version } from "./version.ts";

export interface Scene {
  readonly version: Version;
  readonly server: Server;
  /** The data folder that the server uses. */
  readonly data: string;
  readonly sizes: Sizes;
  /** Seconds of rows that end by time. */
  readonly seconds: number;
}

export interface Row extends Beside {
  readonly name: string;
  /** Which of the seeded folders it needs; `large` when absent. */
  readonly folder?: "large" | "inline";
  readonly env?: Readonly<Record<string, string>>;
  /** What is pulled beside it, where not everything may be. */
  readonly pulled?: readonly string[];
  /** Does it, and returns what there is to say of it. */
  run(scene: Scene): Promise<string>;
}

/** Work that goes on after the answer is given this time. */
const AFTERWARDS_MS = 5000;

/** The lease is long enough for the pushes beside it. */
const SOON_COLLECTED = { REGISTRY_GC_LEASE: "10s", REGISTRY_GC_GRACE: "0", REGISTRY_GC_INTERVAL: "1s" };

const FEW_MAY_BE_SEEN = {
  REGISTRY_AUTH_USERS_ENABLED: "true",
  REGISTRY_POLICIES: JSON.stringify([
    { who: ["anonymous"], repositories: ["*/app/000000*"], actions: ["pull"] },
    { who: ["anonymous"], repositories: ["push/**"], actions: ["pull", "push"] },
  ]),
};

export const ROWS: readonly Row[] = [
  { name: "nothing else", run: ({ seconds }) => saying(Bun.sleep(seconds * 1000), "") },

  // Requests of one client
  { name: "GET of a blob of 3 GiB, 1 client", run: (scene) => curlTimes(scene, 1) },
  { name: "GET of a blob of 3 GiB, 4 clients", run: (scene) => curlTimes(scene, 4) },
  { name: "all 300,000 tags, 1 client", run: (scene) => listTimes(scene, "/v2/large/listed/tags/list", 1) },
  { name: "all 300,000 tags, 8 clients", run: (scene) => listTimes(scene, "/v2/large/listed/tags/list", 8) },
  {
    name: "the catalog for a user who sees 10 repositories, 8 clients",
    env: FEW_MAY_BE_SEEN,
    pulled: Array.from({ length: 10 }, (_, at) => `/v2/${repositoryOf(at)}/manifests/${FIRST_TAG}`),
    run: (scene) => listTimes(scene, "/v2/_catalog", 8),
  },
  {
    name: "referrers of a type that none of 100,000 has",
    run: (scene) =>
      listTimes(scene, `/v2/large/referrers/referrers/${imageOf("large/referrers")}?artifactType=none`, 1),
  },
  {
    name: "referrers, all pages of 100,000",
    run: (scene) => referrerPages(scene, `/v2/large/referrers/referrers/${imageOf("large/referrers")}`),
  },
  { name: "a manifest with 27,590 descriptors, all here", run: (scene) => putLargeManifest(scene, true) },
  { name: "a manifest with 27,590 descriptors, none here", run: (scene) => putLargeManifest(scene, false) },
  {
    name: "the first push below a new quota",
    env: { REGISTRY_QUOTAS: JSON.stringify([{ prefix: "load", tags: 100_000_000 }]) },
    run: async ({ server, seconds }) => {
      const startedAt = performance.now();
      const reply = await fetch(`${server.url}/v2/load/new/blobs/uploads/`, { method: "POST" });
      const ms = performance.now() - startedAt;
      await Bun.sleep(seconds * 1000);
      return `${reply.status} after ${Math.round(ms)} ms`;
    },
  },

  // Readers and writers
  {
    name: "a reader of 20 s beside 16 clients that push",
    pushers: 16,
    pushesPerSecond: Infinity,
    run: async ({ data, seconds }) => {
      using reader = new LongReader(data);
      await Bun.sleep(Math.max(20, seconds) * 1000);
      reader[Symbol.dispose]();
      await Bun.sleep(AFTERWARDS_MS);
      return "";
    },
  },
  {
    name: "backup beside 250 pushes in a second",
    pushers: 16,
    pushesPerSecond: 250,
    run: async (scene) => {
      const copy = `${scene.data}-backup`;
      await rm(copy, { recursive: true, force: true });
      try {
        return await command(scene, ["backup", copy]);
      } finally {
        await rm(copy, { recursive: true, force: true });
      }
    },
  },

  // Commands and background work
  { name: "status", run: (scene) => command(scene, ["status"]) },
  { name: "tag list of 300,000", run: (scene) => command(scene, ["tag", "list", "large/listed"]) },
  { name: "repo list", run: (scene) => command(scene, ["repo", "list"]) },
  { name: "check", run: (scene) => command(scene, ["check"]) },
  { name: "check --deep", run: (scene) => command(scene, ["check", "--deep"]) },
  {
    name: "scrub of 1,500 blobs of 1 MiB in the database",
    folder: "inline",
    env: { REGISTRY_SCRUB_PAUSE: "1s" },
    pulled: [`/v2/inline/app/manifests/${FIRST_TAG}`],
    run: ({ seconds }) => saying(Bun.sleep(Math.max(15, seconds) * 1000), ""),
  },
  {
    name: "gc --dry-run, a blob of 20,000 repositories",
    run: (scene) => command(scene, ["gc", "--dry-run"]),
  },
  { name: "gc beside pushes", pushesPerSecond: 50, run: (scene) => command(scene, ["gc"]) },
  {
    name: "repo delete of 300,000 tags beside pushes",
    pushesPerSecond: 50,
    run: (scene) => command(scene, ["repo", "delete", "large/deleted", "--yes"]),
  },

  // Deletions
  { name: "DELETE of a digest with 100,000 tags", run: (scene) => deleteImage(scene, "large/tags") },
  { name: "DELETE of a digest with 1,000,000 tags", run: (scene) => deleteImage(scene, "large/more-tags") },
  { name: "DELETE of a subject of 100,000 referrers", run: (scene) => deleteImage(scene, "large/referrers") },
  {
    name: "background collection of a history of 300,000 rows",
    env: SOON_COLLECTED,
    run: async (scene) => {
      const deleted = await deleteImage(scene, "large/history");
      using database = new Database(join(scene.data, "registry.db"), { readonly: true });
      const startedAt = performance.now();
      const isThere = database.query("select 1 from repo where name = 'large/history'");
      while (isThere.get() && performance.now() - startedAt < 120_000) await Bun.sleep(200);
      const gone = isThere.get() ? "not gone" : "gone";
      return `${deleted}, ${gone} after ${((performance.now() - startedAt) / 1000).toFixed(1)} s more`;
    },
  },
];

async function saying(work: Promise<unknown>, what: string): Promise<string> {
  await work;
  return what;
}

function imageOf(repository: string): string {
  return seededImage(`${repository}:v0`).digest;
}

async function command({ version, data }: Scene, words: readonly string[]): Promise<string> {
  const { seconds, memoryMb } = await runCommand(version, data, words);
  return `${seconds.toFixed(1)} s, ${Math.round(memoryMb)} MB`;
}

/** The digest of the blob in a file. */
const LARGE_BLOB = zerosDigest(LARGE_BLOB_BYTES);

/** In processes of their own: they read faster than this one could. */
async function curlTimes({ server }: Scene, clients: number): Promise<string> {
  const url = `${server.url}/v2/large/blob/blobs/${LARGE_BLOB}`;
  const children = Array.from({ length: clients }, () =>
    Bun.spawn(["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{speed_download}", url], { stdout: "pipe" }),
  );
  const speeds = await Promise.all(children.map((child) => child.stdout.text()));
  const failed = (await Promise.all(children.map((child) => child.exited))).some((code) => code !== 0);
  if (failed) throw new Error("curl failed");
  return `${Math.round(speeds.reduce((sum, speed) => sum + Number(speed), 0) / 1e6)} MB/s`;
}

async function listTimes({ server }: Scene, path: string, clients: number): Promise<string> {
  const startedAt = performance.now();
  const read = async (): Promise<number> => {
    const child = Bun.spawn(["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}", server.url + path], {
      stdout: "pipe",
    });
    const size = Number(await child.stdout.text());
    if ((await child.exited) !== 0) throw new Error(`curl of ${path} failed`);
    return size;
  };
  const sizes = await Promise.all(Array.from({ length: clients }, read));
  const seconds = (performance.now() - startedAt) / 1000;
  return `${(sizes[0]! / 1e6).toFixed(2)} MB each in ${seconds.toFixed(2)} s`;
}

async function referrerPages({ server }: Scene, path: string): Promise<string> {
  let [count, pages, longestMs] = [0, 0, 0];
  for (let next: string | undefined = path; next !== undefined; pages++) {
    const startedAt = performance.now();
    const reply: Response = await fetch(new URL(next, server.url));
    const page = (await reply.json()) as { readonly manifests: readonly unknown[] };
    longestMs = Math.max(longestMs, performance.now() - startedAt);
    count += page.manifests.length;
    next = /<([^>]+)>/.exec(reply.headers.get("link") ?? "")?.[1];
  }
  return `${count} in ${pages} pages, the longest ${Math.round(longestMs)} ms`;
}

const DESCRIPTORS = 27_590;

async function putLargeManifest({ server, sizes }: Scene, areHere: boolean): Promise<string> {
  const count = Math.min(DESCRIPTORS, areHere ? sizes.unreferenced : DESCRIPTORS);
  const layers = Array.from({ length: count }, (_, at) => {
    const digest = digestOf(areHere ? blobPayload("large/unreferenced", at) : `absent ${at}`);
    return { mediaType: "application/octet-stream", digest, size: 512 };
  });
  const config = { mediaType: OCI_EMPTY, digest: layers[0]!.digest, size: 512 };
  const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers });
  const startedAt = performance.now();
  const reply = await fetch(`${server.url}/v2/large/unreferenced/manifests/large`, {
    method: "PUT",
    body,
    headers: { "content-type": OCI_MANIFEST },
  });
  const text = await reply.text();
  const ms = Math.round(performance.now() - startedAt);
  await Bun.sleep(1000);
  return `${reply.status} after ${ms} ms, a body of ${(text.length / 1000).toFixed(1)} kB`;
}

async function deleteImage({ server }: Scene, repository: string): Promise<string> {
  const startedAt = performance.now();
  const reply = await fetch(`${server.url}/v2/${repository}/manifests/${imageOf(repository)}`, { method: "DELETE" });
  const ms = Math.round(performance.now() - startedAt);
  await Bun.sleep(AFTERWARDS_MS);
  return `${reply.status} after ${ms} ms`;
}

/** Another process that reads the state of the database that there is now, until it is disposed of. */
class LongReader implements Disposable {
  readonly #database: Database;

  constructor(data: string) {
    this.#database = new Database(join(data, "registry.db"), { readonly: true });
    this.#database.run("begin");
    this.#database.query("select count(*) from (select 1 from repo limit 1)").get();
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
