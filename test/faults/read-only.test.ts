/** A folder that has become read-only, and one that belongs to another user: 503 for pushes, pulls go on, and back. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, chown, mkdir, mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { filesBesideDatabase } from "../support/data-folder.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { sharedScratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import { makeReadOnly } from "./support/system.ts";

setDefaultTimeout(120_000);

const scratch = await sharedScratchFolder();

/** Neither root nor the owner of anything; may read everything, so that it finds the program wherever that lies. */
const NOBODY = 65_534;
const AS_NOBODY = [
  "setpriv",
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  "--clear-groups",
  "--inh-caps=-all,+dac_read_search",
  "--ambient-caps=-all,+dac_read_search",
];
/** Root who has to have the right like everybody else. */
const WITHOUT_PRIVILEGE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"];

/** More than what lies in the database. */
const SIZE = 100_000;
const KEPT = bytesOf("kept", SIZE);

test("a folder that has become read-only refuses pushes with 503 until it is writable again", async () => {
  const dataDir = await mkdtemp(join(scratch, "read-only-"));
  await using server = await startListening({ dataDir });
  const client = new RepositoryClient(server.url, "team/app");
  const kept = await fill(server.url, client.name);
  const begun = await begin(client);
  expect((await client.send("PATCH", begun, { body: bytesOf("chunk", SIZE) })).status).toBe(202);
  {
    await using _readOnly = await makeReadOnly(dataDir);
    await expectUnavailable(await pushAtOnce(client, "refused"));
    await expectUnavailable(await client.send("PUT", `${begun}?digest=${digestOf(bytesOf("chunk", SIZE))}`));
    await expectUnavailable(await client.send("PATCH", begun, { body: bytesOf("more", SIZE) }));
    expect((await client.get(begun)).headers.get("range")).toBe(`0-${SIZE - 1}`);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    await expectKept(client, kept);
    expect(await refusedStart({ dataDir })).toContain("cannot be written");
  }
  while ((await fetch(`${server.url}/readyz`)).status !== 200) await Bun.sleep(50); // after two successes
  expect((await pushAtOnce(client, "again")).status).toBe(201);
  const digest = digestOf(bytesOf("chunk", SIZE));
  expect((await client.send("PUT", `${begun}?digest=${digest}`)).status).toBe(201);
  await expectKept(client, kept);
  await expectNothingLeft(dataDir);
});

describe("a folder that the server's user may not write", () => {
  const refused = digestOf(bytesOf("refused", SIZE)).slice("sha256:".length);
  test.each(["uploads", "blobs/sha256", `blobs/sha256/${refused.slice(0, 2)}`])(
    "%s: 503 until it may",
    async (place) => {
      const dataDir = await mkdtemp(join(scratch, "owned-"));
      await chown(dataDir, NOBODY, NOBODY);
      await using server = await startListening({ dataDir, wrapper: AS_NOBODY });
      const client = new RepositoryClient(server.url, "team/app");
      const kept = await fill(server.url, client.name);
      const folder = join(dataDir, place);
      await mkdir(folder, { recursive: true });
      await chown(folder, 0, 0);
      await expectUnavailable(await pushAtOnce(client, "refused"));
      await expectKept(client, kept);
      await chown(folder, NOBODY, NOBODY);
      expect((await pushAtOnce(client, "refused")).status).toBe(201);
      await expectKept(client, kept);
      await expectNothingLeft(dataDir);
    },
  );

  test("a blob that cannot be read is answered with 503, is not taken for damaged, and is there again", async () => {
    await using server = await startListening({ wrapper: WITHOUT_PRIVILEGE });
    const client = new RepositoryClient(server.url, "team/app");
    const kept = await fill(server.url, client.name);
    const [file = ""] = await filesBesideDatabase(server.dataDir);
    const folder = join(server.dataDir, file, "..");
    for (const [path, mode] of [
      [folder, 0o700],
      [join(server.dataDir, file), 0o600],
    ] as const) {
      await chmod(path, 0);
      await expectUnavailable(await onceItFails(() => client.get(`blobs/${kept.blob}`)));
      await chmod(path, mode);
      await expectKept(client, kept);
    }
  });
});

interface Kept {
  readonly blob: string;
  readonly manifest: string;
}

async function fill(url: string, repository: string): Promise<Kept> {
  const { digest } = await pushImage(url, repository, "kept");
  return { blob: await pushBlob(url, repository, KEPT), manifest: digest };
}

async function expectKept(client: RepositoryClient, { blob, manifest }: Kept): Promise<void> {
  expect(digestOf(await (await client.get(`blobs/${blob}`)).bytes())).toBe(blob);
  expect(digestOf(await (await client.get("manifests/kept")).bytes())).toBe(manifest);
}

/** Neither a finding, nor a part file that no upload will ever resume. */
async function expectNothingLeft(dataDir: string): Promise<void> {
  expect(await runProgram(dataDir, ["gc"])).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await runProgram(dataDir, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await readdir(join(dataDir, "uploads"))).toEqual([]);
}

/** The first reply that is not 200: the server keeps files that it has sent open for a second. */
async function onceItFails(get: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const reply = await get();
    if (reply.status !== 200) return reply;
    await reply.arrayBuffer();
    await Bun.sleep(50);
  }
}

async function expectUnavailable(reply: Response): Promise<void> {
  const [error] = await expectRefused(reply, 503, "UNAVAILABLE");
  expect(error?.message).toContain("try again");
  expect(reply.headers.get("retry-after")).toMatch(/^\d+$/);
}

async function begin(client: RepositoryClient): Promise<string> {
  const reply = await client.send("POST", "blobs/uploads/");
  expect(reply.status).toBe(202);
  return reply.headers.get("location") ?? "";
}

function pushAtOnce(client: RepositoryClient, seed: string): Promise<Response> {
  const body = bytesOf(seed, SIZE);
  return client.send("POST", `blobs/uploads/?digest=${digestOf(body)}`, { body });
}
