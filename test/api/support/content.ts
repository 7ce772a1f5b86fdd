/** Content for tests of the API, pushed as clients push it. */
import { expect } from "bun:test";
import type { Registry } from "../../../src/create-registry.ts";
import { OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, descriptorOf, digestOf, imageManifest } from "../../support/content.ts";
import type { TestDescriptor } from "../../support/content.ts";

type Fetching = Pick<Registry, "fetch">;

const BASE = "http://registry.test/v2";

export async function pushManifest(registry: Fetching, path: string, type: string, body: string): Promise<void> {
  const init = { method: "PUT", headers: { "content-type": type }, body };
  expect((await registry.fetch(new Request(`${BASE}/${path}`, init))).status).toBe(201);
}

export async function pushBlob(registry: Fetching, repository: string, bytes: string): Promise<void> {
  const url = `${BASE}/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`;
  expect((await registry.fetch(new Request(url, { method: "POST", body: bytes }))).status).toBe(201);
}

export interface Image {
  readonly config: string;
  readonly layers: readonly string[];
  /** Pushed by digest when absent. */
  readonly tag?: string;
  /** Members of the manifest. */
  readonly more?: Record<string, unknown>;
}

/** Pushes an image and returns its descriptor. */
export async function pushImage(
  registry: Fetching,
  repository: string,
  { config, layers, tag, more }: Image,
): Promise<TestDescriptor> {
  for (const blob of [config, ...layers]) await pushBlob(registry, repository, blob);
  const manifest = imageManifest(
    descriptorOf(OCI_CONFIG, config),
    layers.map((layer) => descriptorOf(OCI_LAYER, layer)),
    more,
  );
  await pushManifest(registry, `${repository}/manifests/${tag ?? digestOf(manifest)}`, OCI_MANIFEST, manifest);
  return descriptorOf(OCI_MANIFEST, manifest);
}

/** The config of an image for Linux. */
export function configOf(architecture: string, more: object = {}): string {
  return JSON.stringify({ os: "linux", architecture, config: { Cmd: ["/bin/sh"], Labels: { a: "<b>" } }, ...more });
}
