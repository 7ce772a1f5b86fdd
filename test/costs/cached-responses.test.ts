/** What a cached response keeps in memory: nothing of the requests that it was served to. */
import { heapStats } from "bun:jsc";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bytesOf } from "../support/content.ts";
import { RegistryHere } from "./support/registry-here.ts";
import type { Image } from "./support/registry-here.ts";

const TIMES = 500;

let registry: RegistryHere;
let image: Image;

beforeAll(async () => {
  registry = await RegistryHere.open();
  image = await registry.pushImage("app", "v1", bytesOf("layer", 50_000));
});
afterAll(() => registry[Symbol.asyncDispose]());

function requestsInMemory(): number {
  Bun.gc(true);
  return heapStats().objectTypeCounts["Request"] ?? 0;
}

test.each([
  ["a manifest", "app/manifests/v1", {}],
  ["a blob in the database", "app/blobs/CONFIG", {}],
  ["a blob in a file", "app/blobs/LAYER", {}],
  ["a part of a blob", "app/blobs/LAYER", { range: "bytes=0-9" }],
  ["the referrers", "app/referrers/MANIFEST", {}],
  ["a page of tags", "app/tags/list", {}],
  ["the repositories", "_catalog", {}],
] as const)("%s: no request outlives its reply", async (_what, where, headers) => {
  const { config, layer, manifest } = image;
  const path = where
    .replace("CONFIG", config.digest)
    .replace("LAYER", layer.digest)
    .replace("MANIFEST", manifest.digest);
  const before = requestsInMemory();
  for (let at = 0; at < TIMES; at++) await (await registry.ask(`${path}?n=10&at=${at}`, headers)).arrayBuffer();
  expect(requestsInMemory() - before).toBeLessThan(TIMES / 10);
});
