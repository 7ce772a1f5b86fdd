/** What one server did the other one says and uses at once: nothing that it remembers is out of date. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createRegistry } from "../../src/index.ts";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startReading } from "../support/slow-reader.ts";
import { useRegistry } from "../support/use-registry.ts";
import { findStorageKey, storedFile } from "./support/stored-file.ts";

const SIZE = 40_000;

const dataDir = await scratchFolder();
const one = useRegistry({ dataDir });
const other = useRegistry({ dataDir });
/** A third process on the folder, which collects when it is told to. */
const collector = await createRegistry({ storage: { folder: dataDir } });
afterAll(() => collector.close());

let [here, there] = [new RepositoryClient("", ""), new RepositoryClient("", "")];
beforeEach(() => {
  here = new RepositoryClient(one().url, "shared");
  there = new RepositoryClient(other().url, "shared");
});

test("a blob that was collected and pushed again is served from its new file by the server that knew the old one", async () => {
  const content = bytesOf("again", SIZE);
  const keys = new Set<string | undefined>();
  for (let time = 0; time < 3; time++) {
    await pushBlob(one().url, "shared", content);
    keys.add(findStorageKey(dataDir, digestOf(content)));
    for (const client of [there, here, there]) await expectBlob(client, content);
    await collect();
    for (const client of [there, here]) {
      expect((await client.head(`blobs/${digestOf(content)}`)).status).toBe(404);
      expect((await client.get(`blobs/${digestOf(content)}`)).status).toBe(404);
    }
  }
  expect(keys.size).toBe(3);
});

test("who had begun to read a blob when it was collected through the other server gets all of it", async () => {
  const content = new Uint8Array(Buffer.alloc(16 * 1024 * 1024, bytesOf("read", 65_536))); // more than sockets hold
  await pushBlob(one().url, "shared", content);
  const path = storedFile(dataDir, digestOf(content));
  const reader = await startReading(other().port, `/v2/shared/blobs/${digestOf(content)}`);
  await collect();
  expect(await stat(path).catch((error: NodeJS.ErrnoException) => error.code)).toBe("ENOENT");
  const { body } = await reader.finish();
  expect(digestOf(body)).toBe(digestOf(content));
});

test("tags and manifests change and go for both at once", async () => {
  const repository = "shared/tags";
  const clients = [one(), other()].map(({ url }) => new RepositoryClient(url, repository));
  const images = [];
  for (const seed of [1, 2]) images.push(await pushImage(one().url, repository, undefined, seed));
  for (let time = 0; time < 20; time++) {
    const [writer, reader] = time % 2 === 0 ? clients : clients.toReversed();
    const image = images[Math.floor(time / 2) % 2];
    const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
    expect((await writer?.send("PUT", "manifests/moved", { headers, body: image?.body ?? "" }))?.status).toBe(201);
    expect(await (await reader?.get("manifests/moved"))?.text()).toBe(image?.body ?? "");
    expect(await reader?.tags()).toEqual(["moved"]);
    if (time % 3 > 0) continue;
    expect((await writer?.delete("manifests/moved"))?.status).toBe(202);
    expect((await reader?.head("manifests/moved"))?.status).toBe(404);
    expect((await reader?.head(`manifests/${image?.digest}`))?.status).toBe(200);
  }
  const [writer, reader] = clients;
  for (const { digest } of images) {
    expect((await writer?.delete(`manifests/${digest}`))?.status).toBe(202);
    expect((await reader?.get(`manifests/${digest}`))?.status).toBe(404);
  }
  const catalog = await fetch(`${other().url}/v2/_catalog`);
  expect(((await catalog.json()) as { repositories: string[] }).repositories).not.toContain(repository);
});

test("a repository that exists for an upload alone ends with it, for both at once", async () => {
  const clients = [one(), other()].map(({ url }) => new RepositoryClient(url, "shared/begun"));
  for (const writer of clients) {
    const begun = await writer.send("POST", "blobs/uploads/");
    for (const reader of [...clients, ...clients]) expect(await reader.tags()).toEqual([]);
    const id = begun.headers.get("docker-upload-uuid") ?? begun.headers.get("location")?.split(/[/?]/).at(-2);
    expect((await writer.delete(`blobs/uploads/${id}`)).status).toBe(204);
    for (const reader of clients) expect((await reader.get("tags/list")).status).toBe(404);
  }
});

test("a folder that the other server made is used, and made again by either after its removal", async () => {
  const contents = inOneFolder(8);
  const folder = join(dataDir, "blobs/sha256/ab");
  const [first, second] = [one(), other()];
  // Pairs: the first push of each makes the folder, and the second finds it; then it is removed.
  const pushers = [first, second, second, first, second, second, first, first];
  for (const [at, content] of contents.entries()) {
    await pushBlob(pushers[at]?.url ?? "", "shared", content);
    expect(dirname(storedFile(dataDir, digestOf(content)))).toBe(folder);
    for (const client of [here, there]) await expectBlob(client, content);
    if (at % 2 === 0) continue;
    await collect();
    await rmdir(folder);
  }
});

test("empty folders that another process removed are made again, whichever server needs them", async () => {
  for (const [at, server] of [one(), other(), other(), one()].entries()) {
    await collect();
    for (const folder of ["blobs", "uploads"]) await rm(join(dataDir, folder), { recursive: true });
    const content = bytesOf(`tidied ${at}`, SIZE);
    await pushBlob(server.url, "shared", content);
    for (const client of [here, there]) await expectBlob(client, content);
  }
});

async function expectBlob(client: RepositoryClient, content: Uint8Array): Promise<void> {
  const reply = await client.get(`blobs/${digestOf(content)}`);
  expect({ status: reply.status, digest: digestOf(await reply.bytes()) }).toEqual({
    status: 200,
    digest: digestOf(content),
  });
}

/** Takes all blobs away: no image needs them. */
async function collect(): Promise<void> {
  await collector.collect({ graceMs: 0, leaseMs: 0 });
}

/** Contents whose files lie in `blobs/sha256/ab`. */
function inOneFolder(count: number): readonly Uint8Array<ArrayBuffer>[] {
  const found = [];
  for (let seed = 0; found.length < count; seed++) {
    const bytes = new Uint8Array(SIZE);
    new DataView(bytes.buffer).setUint32(0, seed);
    if (digestOf(bytes).startsWith("sha256:ab")) found.push(bytes);
  }
  return found;
}
