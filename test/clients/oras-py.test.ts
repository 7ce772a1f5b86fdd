/** Oras for Python: files, whole and in chunks. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { bytesOf } from "../support/content.ts";
import { Client } from "./support/client.ts";
import { sumOf } from "./support/image-files.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let oras: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  oras = resources.use(await Client.of("oras-py", registry));
  await writeFile(oras.file("large.bin"), bytesOf("oras-py", 3 << 20));
});

afterAll(() => resources.disposeAsync());

test("a file goes whole, and comes back", async () => {
  await oras.run("push", at("oras-py/whole:1.0"), "large.bin");
  await expectPulled("oras-py/whole:1.0");
});

test("a file goes in chunks, and comes back", async () => {
  await writeFile(oras.file("large.bin"), bytesOf("oras-py in chunks", 3 << 20));
  const requests = await registry.wire.during(() => oras.run("push-in-chunks", at("oras-py/chunks:1.0"), "large.bin"));
  // It sends each chunk without a password first, and again with one when it is asked.
  const chunks = requests.filter(({ method, status }) => method === "PATCH" && status !== 401);
  expect(chunks.map(({ status }) => status)).toEqual([202, 202, 202]);
  await expectPulled("oras-py/chunks:1.0");
});

test("tags are listed, and deleted", async () => {
  for (const tag of ["a", "b", "c"]) await oras.run("push", at(`oras-py/tags:${tag}`), "large.bin");
  expect(await oras.says("tags", at("oras-py/tags"))).toBe("a\nb\nc");
  await oras.run("delete", at("oras-py/tags"), "b");
  expect(await registry.tags("oras-py/tags")).not.toContain("b");
});

test("an image that is not there is said to be unknown", async () => {
  await oras.run("push", at("oras-py/unknown:1.0"), "large.bin");
  expect((await oras.fails("pull", at("oras-py/unknown:2.0"), oras.file("none"))).stderr).toContain("manifest unknown");
});

test("the registry answered nothing with a fault of its own", () => {
  expect(registry.wire.exchanges.length).toBeGreaterThan(0);
  registry.expectNoFaults();
});

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

async function expectPulled(reference: string): Promise<void> {
  await oras.run("pull", at(reference), oras.file("pulled"));
  expect(await sumOf(oras.file("pulled/large.bin"))).toBe(await sumOf(oras.file("large.bin")));
}
