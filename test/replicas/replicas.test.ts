/**
 * Three replicas behind a round-robin proxy, which are killed and frozen while clients push, with a database and a bucket that
 * fail: what was acknowledged is there, and after garbage collection nothing else is.
 * STOWAGE_REPLICAS_SECONDS=600 goes on for longer than the ordinary run; STOWAGE_REPLICAS_SEED repeats the choices of a run (not
 * its timing), STOWAGE_REPLICAS_READS=10000 reads more tags. The folder of a run that failed is kept, and named in the message.
 */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createRegistry } from "../../src/create-registry.ts";
import { FilesystemBlobStore } from "../../src/storage/filesystem/filesystem-blob-store.ts";
import { Objects } from "../../src/storage/s3/objects.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { S3Client } from "../../src/storage/s3/s3-client.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import type { S3Options } from "../../src/storage/s3-options.ts";
import { PostgresServer } from "../postgres/support/postgres-server.ts";
import { FaultyS3 } from "../s3/support/faulty-s3.ts";
import { startS3 } from "../s3/support/s3-server.ts";
import { descriptorOf, digestOf, imageManifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { Replicas } from "./support/replicas.ts";
import type { Replica } from "./support/replicas.ts";
import { Trouble } from "./support/trouble.ts";
import { Writer, blobOf } from "./support/writer.ts";

const SECONDS = Number(process.env["STOWAGE_REPLICAS_SECONDS"] ?? 0);
const SEED = Number(process.env["STOWAGE_REPLICAS_SEED"] ?? randomInt(2 ** 31));
const WRITERS = 6;
/** Of tags: how many clients, and how often each is read by another replica than the one that it was pushed to. */
const CLIENTS = 64;
const READS = Number(process.env["STOWAGE_REPLICAS_READS"] ?? 512);

setDefaultTimeout(300_000 + SECONDS * 2000);

const postgres = await PostgresServer.start({ settings: { autovacuum: "on" } });
afterAll(() => postgres.end());
const s3 = await startS3();

/** Of a blob in a row, a small file, and a large one: in S3 that is a multipart upload. */
const SIZES = [100, 20_000, 400_000];
const LARGE = MIN_PART_BYTES * 2 + 700_000;

test(`what replicas on files acknowledged outlives all that happens to them (${SECONDS} s)`, () => endure("files"));

test(`what replicas on S3 acknowledged outlives all that happens to them (${SECONDS} s)`, () => endure("s3"));

test(`${CLIENTS} writers on three replicas lose no tag, and each is seen by every replica at once (${READS} reads)`, async () => {
  await using subject = await openSubject();
  const { replicas } = subject;
  const urls = replicas.all.map(({ url }) => url);
  const blob = blobOf("shared", 300);
  await new Writer({
    url: replicas.url,
    repository: "tags",
    name: "first",
    random: new Random(SEED),
    sizes: [100],
  }).pushBlob(blob);
  const rounds = Math.ceil(READS / CLIENTS);
  const pushed = new Map<string, string>();
  let readings = 0;
  const write = async (client: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const layer = descriptorOf(OCI_LAYER, blob.bytes);
      const body = imageManifest(descriptorOf(OCI_CONFIG, blob.bytes), [layer], {
        annotations: { at: `${client}/${round}` },
      });
      const tag = `c${client}-${round}`;
      const [here, there] = [
        urls[(client + round) % urls.length],
        urls[(client + round + 1 + (round % 2)) % urls.length],
      ];
      const headers = { "content-type": OCI_MANIFEST };
      const put = await fetch(`${here}/v2/tags/manifests/${digestOf(body)}?tag=${tag}&tag=latest`, {
        method: "PUT",
        body,
        headers,
      });
      expect(put.status).toBe(201);
      pushed.set(tag, digestOf(body));
      const read = await fetch(`${there}/v2/tags/manifests/${tag}`, { headers: { accept: OCI_MANIFEST } });
      expect({ tag, status: read.status, digest: digestOf(await read.bytes()) }).toEqual({
        tag,
        status: 200,
        digest: digestOf(body),
      });
      readings++;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, client) => write(client)));
  expect(readings).toBe(rounds * CLIENTS);
  const latest = new Set<string | null>();
  for (const url of urls) {
    const listed = await allTags(url, "tags");
    expect(listed.toSorted()).toEqual([...pushed.keys(), "latest"].toSorted());
    latest.add(
      (await fetch(`${url}/v2/tags/manifests/latest`, { method: "HEAD" })).headers.get("docker-content-digest"),
    );
  }
  expect(latest.size).toBe(1);
  expect(replicas.errors()).toEqual([]);
});

test("an upload of a replica on S3 that was killed goes on at another one, whatever its lease says", async () => {
  await using proxy = await FaultyS3.open(s3.url);
  const options = s3.options({ partBytes: MIN_PART_BYTES });
  await using subject = await openSubject({ storage: bucketSettings(options, proxy.url) });
  const [one, other] = subject.replicas.all as [Replica, Replica];
  const { bytes, digest } = blobOf("large", LARGE);
  const half = MIN_PART_BYTES + 300_000;
  const begun = await fetch(`${one.url}/v2/app/blobs/uploads/`, { method: "POST" });
  const path = new URL(begun.headers.get("location") ?? "", one.url).pathname;
  const first = { method: "PATCH", body: bytes.slice(0, half) };
  expect((await fetch(`${one.url}${path}`, first)).status).toBe(202);
  const held = proxy.held("PUT part");
  const lost = fetch(`${one.url}${path}`, { method: "PATCH", body: bytes.slice(half) }).catch(() => undefined);
  await held;
  const database = new URL(subject.databaseUrl).pathname.slice(1);
  await postgres.query("update holder set until = until + 3600000", database);
  await subject.replicas.kill(one);
  await lost;
  proxy.reset();
  expect((await fetch(`${other.url}${path}`)).headers.get("range")).toBe(`0-${half - 1}`);
  const close = { method: "PUT", body: bytes.slice(half), headers: { "content-range": `${half}-${LARGE - 1}` } };
  let closed = await fetch(`${other.url}${path}?digest=${digest}`, close);
  // PostgreSQL sees a moment later that its client is gone.
  while (closed.status === 409) closed = await fetch(`${other.url}${path}?digest=${digest}`, close);
  expect(closed.status).toBe(201);
  expect(digestOf(await (await fetch(`${other.url}/v2/app/blobs/${digest}`)).bytes())).toBe(digest);
});

test("replicas that are restarted one after the other collect each thing once", async () => {
  await using subject = await openSubject();
  const { replicas, databaseUrl } = subject;
  const writer = new Writer({
    url: replicas.url,
    repository: "team/app",
    name: "w",
    random: new Random(SEED),
    sizes: [20_000],
  });
  for (let image = 0; image < 20; image++) await writer.pushImage();
  // From now on nothing is kept for an hour; while each is away, the others serve.
  for (const replica of replicas.all) {
    await replicas.kill(replica);
    await replica.configure({ gc: { interval: "1s", lease: "0s", grace: "0s", undo: "0s" } });
    const { tag } = writer.images[0]!;
    expect((await fetch(`${replicas.url}/v2/team/app/manifests/${tag}`)).status).toBe(200);
    await replicas.startAgain(replica);
  }
  const blobs = new Set(writer.images.flatMap((image) => image.blobs.map(({ digest }) => digest)));
  await deleteAll(replicas, [writer]);
  const database = new URL(databaseUrl).pathname.slice(1);
  while ((await postgres.query("select 1 from blob limit 1", database)).length > 0) await sleep(100);
  const deleted = (): number => replicas.all.reduce((sum, replica) => sum + replica.collected(), 0);
  while (deleted() < blobs.size) await sleep(100);
  expect(deleted()).toBe(blobs.size);
  expect(replicas.errors()).toEqual([]);
});

test("three replicas let a client read, and guess passwords, at most three times as much as one", async () => {
  const [perMinute, guesses] = [20, 10];
  const passwords = join(await mkdtemp(join(tmpdir(), "stowage-htpasswd-")), "htpasswd");
  await writeFile(passwords, `alice:${await Bun.password.hash("right", { algorithm: "bcrypt", cost: 4 })}\n`);
  await using subject = await openSubject({
    auth: { htpasswd: { realm: "tests", path: passwords } },
    limits: { reads: { perminute: perMinute } },
  });
  const { url } = subject.replicas;
  const countOf = async (credentials: string, path: string, status: number, times: number): Promise<number> => {
    let found = 0;
    for (let each = 0; each < times; each++) {
      const headers = { authorization: `Basic ${btoa(credentials)}` };
      if ((await fetch(`${url}${path}`, { headers })).status === status) found++;
    }
    return found;
  };
  let started = performance.now();
  const passed = await countOf("alice:right", "/v2/app/tags/list", 404, 100);
  const refilled = ((performance.now() - started) / 60_000) * perMinute;
  expect(passed).toBeGreaterThanOrEqual(perMinute);
  expect(passed).toBeLessThanOrEqual(3 * (perMinute + refilled + 1));

  started = performance.now();
  const verified = await countOf("alice:wrong", "/v2/", 401, 100);
  // However full the buckets are, each process verifies one attempt a second.
  const seconds = (performance.now() - started) / 1000;
  expect(verified).toBeGreaterThanOrEqual(guesses);
  expect(verified).toBeLessThanOrEqual(3 * (guesses + 1.2 * seconds + 1));
  await rm(dirname(passwords), { recursive: true });
});

interface Subject extends AsyncDisposable {
  readonly replicas: Replicas;
  readonly databaseUrl: string;
}

/** Replicas on files that no harm is done to; one has a clock that is two hours off. */
async function openSubject(settings: Readonly<Record<string, unknown>> = {}): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-replicas-"));
  const databaseUrl = await postgres.createDatabase();
  const clocks = [undefined, "+2h", undefined];
  const replicas = await Replicas.start({ folder, databaseUrl, databasePort: postgres.port, clocks, settings });
  return {
    replicas,
    databaseUrl,
    async [Symbol.asyncDispose]() {
      await replicas[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

async function allTags(url: string, repository: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (let next: string | undefined = `/v2/${repository}/tags/list`; next !== undefined;) {
    const page: Response = await fetch(`${url}${next}`);
    found.push(...((await page.json()) as { readonly tags: readonly string[] }).tags);
    next = /<([^>]+)>/.exec(page.headers.get("link") ?? "")?.[1];
  }
  return found;
}

async function endure(kind: "files" | "s3"): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-replicas-"));
  const random = new Random(SEED);
  await using proxy = kind === "s3" ? await FaultyS3.open(s3.url) : undefined;
  const options = s3.options({ partBytes: MIN_PART_BYTES });
  const databaseUrl = await postgres.createDatabase();
  const troubles: string[] = [];
  try {
    await using replicas = await Replicas.start({
      folder,
      databaseUrl,
      databasePort: postgres.port,
      settings: proxy ? { storage: bucketSettings(options, proxy.url) } : {},
      clocks: [undefined, "+2h", undefined],
    });
    const writers = Array.from(
      { length: WRITERS },
      (_, at) =>
        new Writer({
          url: replicas.url,
          repository: `team/app${at % 3}`,
          name: `w${at}`,
          random: random.fork(),
          sizes: at === 0 ? [...SIZES, LARGE] : SIZES,
        }),
    );
    const trouble = new Trouble({ replicas, postgres, s3: proxy, random: random.fork() });
    const stop = new AbortController();
    const work = Promise.all(
      writers.map((writer) =>
        writer.run(stop.signal).catch((error: unknown) => {
          stop.abort();
          throw error;
        }),
      ),
    );
    await trouble.run(performance.now() + SECONDS * 1000).finally(() => {
      troubles.push(...trouble.done);
      stop.abort();
    });
    await work;
    proxy?.reset();
    expect(replicas.proxy.moves).toBeGreaterThan(writers.length);
    await inspect(replicas, writers);
    // That the database was away for long, or the bucket refused, belongs in the log.
    expect(replicas.errors().filter((line) => !/"type":"(?:BusyError|S3Error)"/.test(line))).toEqual([]);
    await deleteAll(replicas, writers);
    await collectAll(replicas, join(folder, "blobs"), databaseUrl);
    if (proxy) await repair(options, databaseUrl);
    await expectEmpty(kind === "s3" ? options : join(folder, "blobs"), databaseUrl);
  } catch (error) {
    throw new Error(
      `seed ${SEED} (${kind}; ${folder}; ${troubles.length} troubles, at last ${troubles.slice(-3).join(", ")}): ${String(error)}`,
      { cause: error },
    );
  }
  await rm(folder, { recursive: true });
}

/** Every replica has all that was acknowledged, and nothing that was deleted. */
async function inspect(replicas: Replicas, writers: readonly Writer[]): Promise<void> {
  for (const { url } of replicas.all) {
    for (const { repository, images, deleted } of writers) {
      const get = (path: string): Promise<Response> => fetch(`${url}/v2/${repository}/${path}`);
      for (const { tag, digest, blobs } of images) {
        const manifest = await get(`manifests/${tag}`);
        expect({ tag, status: manifest.status, digest: digestOf(await manifest.bytes()) }).toEqual({
          tag,
          status: 200,
          digest,
        });
        for (const blob of blobs) {
          const reply = await get(`blobs/${blob.digest}`);
          const read = digestOf(await reply.bytes());
          expect({ tag, status: reply.status, digest: read }).toEqual({ tag, status: 200, digest: blob.digest });
        }
      }
      for (const digest of deleted) expect((await get(`manifests/${digest}`)).status).toBe(404);
    }
  }
}

async function deleteAll(replicas: Replicas, writers: readonly Writer[]): Promise<void> {
  for (const { repository, images } of writers) {
    for (const { digest } of images) {
      const path = `${replicas.url}/v2/${repository}/manifests/${digest}`;
      expect((await fetch(path, { method: "DELETE" })).status).toBe(202);
    }
  }
}

/** What a client left in doubt is deleted too: uploads that it began anew, and manifests that were carried out late. */
async function collectAll({ config }: Replicas, blobs: string, databaseUrl: string): Promise<void> {
  const database = new URL(databaseUrl).pathname.slice(1);
  const collect = async (): Promise<void> => {
    expect(await runProgram(blobs, ["gc", config, "--grace", "0"])).toMatchObject({ exitCode: 0 });
  };
  await collect();
  await postgres.query("update upload set expires_at = 1, claimed_by = null", database);
  await postgres.query("update trash set after = 1", database);
  await collect();
  await postgres.query("update trash set after = 1", database);
  await collect();
}

/**
 * Does what the scrub does in the background: aborts multipart uploads whose begin S3 did not answer, and deletes tails that a
 * process which died had no more need of.
 */
async function repair(bucket: S3Options, databaseUrl: string): Promise<void> {
  await using registry = await createRegistry({
    storage: { folder: tmpdir(), database: { url: databaseUrl, connections: 2 }, s3: bucket },
  });
  for await (const finding of registry.check({ deep: false, repair: true, unknownAfterMs: 0 })) {
    expect(finding).toMatchObject({ kind: "unknown file", key: expect.stringMatching(/^(?:multiparts|uploads)\//) });
  }
}

async function expectEmpty(place: string | S3Options, databaseUrl: string): Promise<void> {
  const database = new URL(databaseUrl).pathname.slice(1);
  for (const table of ["manifest", "tag", "repo_blob", "upload", "blob", "trash"]) {
    expect({ table, rows: await postgres.query(`select * from ${table} limit 5`, database) }).toEqual({
      table,
      rows: [],
    });
  }
  const store = typeof place === "string" ? await FilesystemBlobStore.open(place) : new S3BlobStore(place);
  expect(await Array.fromAsync(store.list())).toEqual([]);
  await store.close();
  if (typeof place === "string") return;
  const client = new S3Client(place);
  expect(await Array.fromAsync(new Objects(client).listUploads(""))).toEqual([]);
  client.close();
}

function bucketSettings(options: S3Options, url: string): object {
  const { bucket, region, prefix, credentials } = options;
  return {
    redirect: { disable: true },
    s3: {
      bucket,
      region,
      regionendpoint: url,
      rootdirectory: prefix,
      chunksize: MIN_PART_BYTES,
      accesskey: credentials?.accessKeyId,
      secretkey: credentials?.secretAccessKey,
    },
  };
}
