/** Quotas over HTTP: what is refused, when, and what a client is told. */
import { describe, expect, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import { OCI_CONFIG, bytesOf, descriptorOf, digestOf, imageManifest } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";

const QUOTAS = [
  { prefix: "small", bytes: 2000 },
  { prefix: "none", bytes: 0 },
  { prefix: "tagged", tags: 2 },
  { prefix: "few", repositories: 1 },
];

const running = useRegistry({ env: { REGISTRY_QUOTAS: JSON.stringify(QUOTAS) } });

const at = (name: string): RepositoryClient => new RepositoryClient(running().url, name);

async function expectFull(asked: Promise<Response>, words: string): Promise<void> {
  const reply = await asked;
  expect(reply.status).toBe(403);
  const { errors } = (await reply.json()) as { readonly errors: readonly unknown[] };
  expect(errors).toMatchObject([{ code: "DENIED", message: expect.stringContaining(words) }]);
}

describe("bytes are bounded", () => {
  test("where an upload begins, before a byte of it flows; one that has begun is taken", async () => {
    const repository = at("small/uploads");
    await pushBlob(running().url, repository.name, bytesOf("first", 1900));
    const begun = await repository.send("POST", "blobs/uploads/");
    const body = bytesOf("second", 200);
    const words = "the quota of small does not allow more (quotas): 1.9 KiB of 2.0 KiB are used";
    await expectFull(repository.send("POST", `blobs/uploads/?digest=${digestOf(body)}`, { body }), words);
    const location = begun.headers.get("location") ?? "";
    const stored = await repository.send("PUT", `${location}?digest=${digestOf(body)}`, { body });
    expect(stored.status).toBe(201);
    await expectFull(repository.send("POST", "blobs/uploads/"), "2.1 KiB of 2.0 KiB");
    const manifest = imageManifest(descriptorOf(OCI_CONFIG, body), []);
    await expectFull(putManifest(running().url, repository.name, "latest", manifest), "the quota of small");
    // Names that only begin with the same letters are others.
    expect((await at("smaller/uploads").send("POST", "blobs/uploads/")).status).toBe(202);
  });

  test("where a blob of another repository is mounted", async () => {
    const digest = await pushBlob(running().url, "source/app", bytesOf("mounted", 300));
    const query = `?mount=${digest}&from=source/app`;
    await expectFull(at("none/app").send("POST", `blobs/uploads/${query}`), "the quota of none");
    expect((await at("free/app").send("POST", `blobs/uploads/${query}`)).status).toBe(201);
  });
});

test("tags are bounded where a manifest is pushed, and make room when they are deleted", async () => {
  const { url } = running();
  const { body } = await pushImage(url, "tagged/app", "one");
  expect((await putManifest(url, "tagged/app", "two", body)).status).toBe(201);
  await expectFull(putManifest(url, "tagged/app", "three", body), "2 of 2 tags are used");
  expect((await putManifest(url, "tagged/app", "two", body)).status).toBe(201);
  expect((await at("tagged/app").delete("manifests/one")).status).toBe(202);
  expect((await putManifest(url, "tagged/app", "three", body)).status).toBe(201);
  expect(await at("tagged/app").tags()).toEqual(["three", "two"]);
});

test("repositories are bounded where the first thing comes into a new one", async () => {
  const { url } = running();
  await pushImage(url, "few/first", "latest");
  await expectFull(at("few/second").send("POST", "blobs/uploads/"), "1 of 1 repositories are used");
  await pushImage(url, "few/first", "next", 2);
  expect((await at("few/second").get("tags/list")).status).toBe(404);
});

test("quotas and their use are listed by stowage quota list", async () => {
  const { url, dataDir } = running();
  await pushImage(url, "tagged/listed", undefined);
  const env = { REGISTRY_QUOTAS: JSON.stringify(QUOTAS) };
  const listed = await runProgram(dataDir, ["quota", "list", "--json"], env);
  const lines = listed.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  expect(lines.slice(0, 2)).toMatchObject([{ prefix: "small", limits: { bytes: 2000 } }, { prefix: "none" }]);
  const { exitCode, stdout } = await runProgram(dataDir, ["quota", "list"], env);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^BELOW +BYTES +TAGS +REPOSITORIES$/m);
  expect(stdout).toMatch(/^tagged +.*\d of 2 \(\d+%\)/m);
});
