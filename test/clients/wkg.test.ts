/** wkg: components of WebAssembly, in chunks of 4 MiB. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { bytesOf, OCI_MANIFEST } from "../support/content.ts";
import { Client } from "./support/client.ts";
import { usualModeOf } from "./support/modes.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let wkg: Client;
const COMPONENT = component(bytesOf("wkg", 10 << 20));

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start(usualModeOf("wkg")));
  wkg = resources.use(await Client.of("wkg", registry));
  await writeFile(wkg.file("noise.wasm"), COMPONENT);
});

afterAll(() => resources.disposeAsync());

test("a component of 10 MiB goes in chunks, and comes back byte for byte", async () => {
  const requests = await registry.wire.during(() => wkg.run("oci", "push", at("wasm/noise:1.0.0"), "noise.wasm"));
  const chunks = requests.filter(({ method }) => method === "PATCH");
  expect(chunks.length).toBeGreaterThanOrEqual(3);
  expect(chunks.every(({ status }) => status === 202)).toBe(true);
  await wkg.run("oci", "pull", at("wasm/noise:1.0.0"), "-o", wkg.file("back.wasm"));
  expect(Buffer.compare(await readFile(wkg.file("back.wasm")), COMPONENT)).toBe(0);
});

test("what it pushed is an artifact whose layer is the component", async () => {
  await wkg.run("oci", "push", at("wasm/artifact:1.0.0"), "noise.wasm");
  const { mediaType, json } = await registry.getManifest("wasm/artifact", "1.0.0");
  expect(mediaType).toBe(OCI_MANIFEST);
  expect(json.layers?.map((layer) => [layer.mediaType, layer.size])).toEqual([["application/wasm", COMPONENT.length]]);
});

test("a component that is not there is said to be unknown", async () => {
  const refused = await wkg.fails("oci", "pull", at("wasm/noise:2.0.0"), "-o", wkg.file("none.wasm"));
  expect(refused.stderr).toContain("manifest unknown");
});

test("the registry answered nothing with a fault of its own", () => {
  expect(registry.wire.exchanges.length).toBeGreaterThan(0);
  registry.expectNoFaults();
});

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

/** A component that holds nothing but a custom section (component model, "Binary Format": magic, version 13, layer 1). */
function component(noise: Uint8Array): Uint8Array {
  const name = Buffer.from("\x05noise");
  const section = Buffer.concat([Buffer.from([0, ...leb128(name.length + noise.length)]), name, noise]);
  return Buffer.concat([Buffer.from("\0asm\x0d\0\x01\0", "latin1"), section]);
}

function leb128(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb128(value >>> 7)];
}
