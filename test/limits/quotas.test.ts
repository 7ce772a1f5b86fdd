/** Quotas over HTTP: what is refused, when, and what a client is told. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import { OCI_CONFIG, bytesOf, descriptorOf, digestOf, imageManifest } from "../support/content.ts";
import { queryFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import { sendRaw } from "../support/raw.ts";
import { RepositoryClient, streamOf } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";

const QUOTAS = [
  { prefix: "small", bytes: 2000 },
  { prefix: "none", bytes: 0 },
  { prefix: "tagged", tags: 2 },
  { prefix: "few", repositories: 1 },
  { prefix: "large", bytes: 1_000_000 },
  { prefix: "announced", bytes: 1_000_000 },
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
  test("where an upload begins, before a byte of it flows", async () => {
    const repository = at("small/uploads");
    await pushBlob(running().url, repository.name, bytesOf("first", 1900));
    const begun = await repository.send("POST", "blobs/uploads/");
    const body = bytesOf("second", 200);
    const words = "the quota of small is exceeded";
    await expectFull(repository.send("POST", `blobs/uploads/?digest=${digestOf(body)}`, { body }), words);
    const location = begun.headers.get("location") ?? "";
    for (const sent of [(): typeof body => body, () => streamOf(body)]) {
      await expectFull(repository.send("PATCH", location, { body: sent() }), words);
      await expectFull(repository.send("PUT", `${location}&digest=${digestOf(body)}`, { body: sent() }), words);
    }
    expect((await repository.get(location)).headers.get("range")).toBe("0-0");
    const rest = bytesOf("what fits", 100);
    expect((await repository.send("PUT", `${location}&digest=${digestOf(rest)}`, { body: rest })).status).toBe(201);
    await expectFull(repository.send("POST", "blobs/uploads/"), "2.0 KiB of 2.0 KiB");
    const manifest = imageManifest(descriptorOf(OCI_CONFIG, rest), []);
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

async function beginIn(repository: RepositoryClient): Promise<string> {
  return (await repository.send("POST", "blobs/uploads/")).headers.get("location") ?? "";
}

describe("bytes of unfinished uploads count", () => {
  test("those that were received, until they are cancelled", async () => {
    const [one, other] = [at("large/one"), at("large/other")];
    const [first, second] = [await beginIn(one), await beginIn(other)];
    const half = bytesOf("half", 600_000);
    expect((await one.send("PATCH", first, { body: half })).status).toBe(202);
    await expectFull(other.send("PATCH", second, { body: half }), "the quota of large");
    await expectFull(other.send("PATCH", second, { body: streamOf(half) }), "the quota of large");
    expect((await other.get(second)).headers.get("range")).toBe("0-0");
    expect((await one.delete(first)).status).toBe(204);
    expect((await other.send("PATCH", second, { body: half })).status).toBe(202);
    const closed = await other.send("PUT", `${second}&digest=${digestOf(half)}`);
    expect(closed.status).toBe(201); // they were counted
    expect((await other.delete(`blobs/${digestOf(half)}`)).status).toBe(202);
  });

  test("those that a request is about to bring, before they have come: of two that do not fit together one is refused", async () => {
    const client = at("announced/app");
    const [one, other] = [await beginIn(client), await beginIn(client)];
    const socket = connect(Number(new URL(running().url).port), "127.0.0.1");
    try {
      socket.write(`PATCH ${one} HTTP/1.1\r\nHost: registry\r\nContent-Length: 600000\r\n\r\n`);
      socket.write(bytesOf("a part", 100_000));
      const { dataDir } = running();
      while (queryFolder(dataDir, "select id from upload where counted = 600000").length === 0) await Bun.sleep(5);
      await expectFull(client.send("PATCH", other, { body: bytesOf("other", 500_000) }), "the quota of announced");
    } finally {
      socket.destroy();
    }
    // What the broken request brought is kept.
    let reply = await client.send("PATCH", other, { body: bytesOf("other", 500_000) });
    while (reply.status === 403) {
      await Bun.sleep(20);
      reply = await client.send("PATCH", other, { body: bytesOf("other", 500_000) });
    }
    expect(reply.status).toBe(202);
  });

  test.each([
    ["PATCH", 3_000_000_000, ""],
    ["PUT", 3_000_000_000, `&digest=${digestOf("x")}`],
    ["PATCH", 3_000_000, ""], // few enough to be waited for, for a moment
  ])("%s that announces %d bytes is refused before it sends them", async (method, size, query) => {
    const client = at("announced/large");
    const location = await beginIn(client);
    const head = `${method} ${location}${query} HTTP/1.1\r\nHost: registry\r\nContent-Length: ${size}\r\n\r\n`;
    const { status, body } = await sendRaw(Number(new URL(running().url).port), head, { timeoutMs: 30_000 });
    expect([status, body]).toEqual([403, expect.stringContaining("the quota of announced")]);
    expect((await client.get(location)).headers.get("range")).toBe("0-0");
  });
});

describe("the unfinished uploads of one client are bounded", () => {
  const bounded = useRegistry({ env: { REGISTRY_LIMITS_UPLOADS: "3" } });

  test("beyond the limit POST returns 429, until one is closed or cancelled", async () => {
    const client = new RepositoryClient(bounded().url, "uploads/bounded");
    const begin = (): Promise<Response> => client.send("POST", "blobs/uploads/");
    const locations = [];
    for (let count = 0; count < 3; count++) locations.push((await begin()).headers.get("location") ?? "");
    for (const query of ["", `?digest=${digestOf("x")}`, `?mount=${digestOf("y")}&from=not/here`]) {
      const refused = await client.send("POST", `blobs/uploads/${query}`, { body: "x" });
      expect(refused.status).toBe(429);
      const { errors } = (await refused.json()) as { readonly errors: readonly unknown[] };
      expect(errors).toMatchObject([{ code: "TOOMANYREQUESTS", message: expect.stringContaining("limits.uploads") }]);
    }
    expect((await client.delete(locations[0]!)).status).toBe(204);
    expect((await begin()).status).toBe(202);
    expect((await begin()).status).toBe(429);
    const closed = await client.send("PUT", `${locations[1]}&digest=${digestOf("z")}`, { body: "z" });
    expect(closed.status).toBe(201);
    // A blob that comes with the POST leaves nothing unfinished.
    for (let count = 0; count < 5; count++) await pushBlob(bounded().url, client.name, bytesOf(`at once ${count}`, 50));
    expect((await begin()).status).toBe(202);
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
