/** Files harmed under two running servers: neither serves one as good, and a push through one heals it for both. */
import { describe, expect, test } from "bun:test";
import { open, rename, rm, truncate, writeFile } from "node:fs/promises";
import { pushBlob, putManifest } from "../support/client.ts";
import { bytesOf, descriptorOf, digestOf, imageManifest, OCI_CONFIG, OCI_LAYER } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startReading } from "../support/slow-reader.ts";
import { useRegistry } from "../support/use-registry.ts";
import { storedFile } from "./support/stored-file.ts";

const SIZE = 300_000;
const CONFIG = "{}";

const dataDir = await scratchFolder();
const one = useRegistry({ dataDir });
const other = useRegistry({ dataDir });

const HARM: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "has a byte flipped": flipByte,
  "is shortened": (path) => truncate(path, SIZE - 1),
  "is emptied": (path) => truncate(path, 0),
  "is deleted": (path) => rm(path),
  "is replaced by another of its size": async (path) => {
    await writeFile(`${path}.new`, bytesOf("something else", SIZE));
    await rename(`${path}.new`, path);
  },
};

for (const [what, harm] of Object.entries(HARM)) {
  describe(`a file that ${what}`, () => {
    const content = bytesOf(what, SIZE);
    const digest = digestOf(content);
    const layer = descriptorOf(OCI_LAYER, content);

    test("is missing on both servers, and keeps new images out", async () => {
      const repository = repositoryOf(what, "missing");
      await pushImage(one().url, repository, content);
      await expectGood(repository, content);
      await harm(storedFile(dataDir, digest));
      await expectMissing(repository, digest);
      const body = imageManifest(descriptorOf(OCI_CONFIG, CONFIG), [layer], { annotations: { another: "image" } });
      for (const { url } of [one(), other()]) {
        const put = await putManifest(url, repository, "another", body);
        expect({ status: put.status, text: await put.text() }).toEqual({
          status: 400,
          text: expect.stringContaining("MANIFEST_BLOB_UNKNOWN"),
        });
        const mount = await fetch(`${url}/v2/elsewhere/blobs/uploads/?mount=${digest}&from=${repository}`, {
          method: "POST",
        });
        expect(mount.status).toBe(202); // an upload: there is nothing to mount
      }
    });

    // The other client of the pair looks before it pushes, as all do, or does not.
    for (const looks of [true, false]) {
      test(`is put right for the one server by a push through the other, ${looks ? "after a look" : "without a look"}`, async () => {
        const repository = repositoryOf(what, looks ? "looks" : "blind");
        await pushImage(one().url, repository, content);
        await expectGood(repository, content);
        await harm(storedFile(dataDir, digest));
        if (looks) expect((await clientOf(other().url, repository).head(`blobs/${digest}`)).status).toBe(404);
        await pushBlob(other().url, repository, content);
        await expectGood(repository, content);
      });
    }
  });
}

test("two files that were swapped are both missing, until each is pushed again", async () => {
  const contents = ["left", "right"].map((seed) => bytesOf(seed, SIZE));
  for (const content of contents) await pushImage(one().url, "swapped", content);
  const [left = "", right = ""] = contents.map((content) => storedFile(dataDir, digestOf(content)));
  await rename(left, `${left}.aside`);
  await rename(right, left);
  await rename(`${left}.aside`, right);
  for (const content of contents) await expectMissing("swapped", digestOf(content));
  for (const content of contents) {
    await pushBlob(one().url, "swapped", content);
    await expectGood("swapped", content);
  }
});

test("a byte that flipped in silence is found by check --deep, and a push heals it after --repair", async () => {
  const content = bytesOf("silent", SIZE);
  const digest = digestOf(content);
  await pushImage(one().url, "silent", content);
  const path = storedFile(dataDir, digest);
  const reference = `${path}.time`;
  await writeFile(reference, "");
  await copyTime(path, reference);
  await flipByte(path);
  await copyTime(reference, path);
  await rm(reference);

  expect(await runProgram(dataDir, ["check"])).toMatchObject({ exitCode: 0 }); // nothing shows in size or time
  const { exitCode, stdout } = await runProgram(dataDir, ["check", "--deep"]);
  expect(exitCode).toBe(1);
  expect(stdout).toStartWith(`wrong content   ${digest}`);
  expect(stdout).toContain("referenced by silent:image\n1 finding:");

  expect(await runProgram(dataDir, ["check", "--deep", "--repair"])).toMatchObject({ exitCode: 1 });
  await expectMissing("silent", digest);
  await pushBlob(one().url, "silent", content);
  await expectGood("silent", content);
  expect(await runProgram(dataDir, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
});

test("a file that is shortened while both servers send it ends their replies early", async () => {
  const content = new Uint8Array(Buffer.alloc(16 * 1024 * 1024, bytesOf("read", 65_536))); // more than sockets hold
  const digest = await pushBlob(one().url, "read", content);
  const readers = await Promise.all([one(), other()].map(({ port }) => startReading(port, `/v2/read/blobs/${digest}`)));
  await truncate(storedFile(dataDir, digest), content.length / 2);
  for (const reader of readers) {
    const { length, body } = await reader.finish();
    expect(length).toBe(content.length);
    expect(body.length).toBeLessThan(content.length);
  }
  await expectMissing("read", digest);
  await pushBlob(other().url, "read", content);
  await expectGood("read", content);
});

test("nothing of all this was a fault of the servers", () => {
  for (const server of [one(), other()]) expect(server.output()).not.toMatch(/"level":"(?:error|fatal)"/);
});

function repositoryOf(what: string, why: string): string {
  return `${what.replaceAll(" ", "-")}/${why}`;
}

function clientOf(url: string, repository: string): RepositoryClient {
  return new RepositoryClient(url, repository);
}

async function pushImage(url: string, repository: string, layer: Uint8Array<ArrayBuffer>): Promise<void> {
  await pushBlob(url, repository, CONFIG);
  await pushBlob(url, repository, layer);
  const body = imageManifest(descriptorOf(OCI_CONFIG, CONFIG), [descriptorOf(OCI_LAYER, layer)]);
  expect((await putManifest(url, repository, "image", body)).status).toBe(201);
}

async function expectGood(repository: string, content: Uint8Array): Promise<void> {
  for (const { url } of [one(), other()]) {
    const reply = await clientOf(url, repository).get(`blobs/${digestOf(content)}`);
    const bytes = await reply.bytes();
    expect({ status: reply.status, digest: digestOf(bytes) }).toEqual({ status: 200, digest: digestOf(content) });
  }
}

/** Both servers are asked at once, in every way in which bytes could be served. */
async function expectMissing(repository: string, digest: string): Promise<void> {
  const asked = [one(), other()].flatMap(({ url }) => {
    const client = clientOf(url, repository);
    const path = `blobs/${digest}`;
    return [client.get(path), client.head(path), client.get(path, { range: "bytes=0-9" })];
  });
  const replies = await Promise.all(asked);
  expect(replies.map((reply) => reply.status)).toEqual(asked.map(() => 404));
}

async function flipByte(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, SIZE / 2);
    await file.write(Uint8Array.of((byte[0] ?? 0) ^ 1), 0, 1, SIZE / 2);
  } finally {
    await file.close();
  }
}

/** As exact as the file system has it, which no number of ours is. */
async function copyTime(from: string, to: string): Promise<void> {
  const touch = Bun.spawn(["touch", "-r", from, to]);
  expect(await touch.exited).toBe(0);
}
