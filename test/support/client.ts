/** The few requests that most tests over HTTP begin with. */
import { digestOf, descriptorOf, imageManifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, bytesOf } from "./content.ts";
import type { TestDescriptor } from "./content.ts";

/** Pushes a blob by POST and PUT and gives its digest; throws when the registry does not answer 201. */
export async function pushBlob(
  base: string,
  repository: string,
  bytes: Uint8Array<ArrayBuffer> | string,
): Promise<string> {
  const digest = digestOf(bytes);
  const opened = await fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  if (opened.status !== 202) throw new Error(`POST answered ${opened.status}: ${await opened.text()}`);
  const location = new URL(opened.headers.get("location") ?? "", base);
  location.searchParams.set("digest", digest);
  const closed = await fetch(location, { method: "PUT", body: bytes });
  if (closed.status !== 201) throw new Error(`PUT answered ${closed.status}: ${await closed.text()}`);
  return digest;
}

/** Puts a manifest and gives the reply, whatever it is. */
export function putManifest(
  base: string,
  repository: string,
  reference: string,
  body: string | Uint8Array<ArrayBuffer>,
  mediaType: string = OCI_MANIFEST,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${base}/v2/${repository}/manifests/${reference}`, {
    method: "PUT",
    body,
    headers: { "content-type": mediaType, ...headers },
  });
}

export interface PushedImage {
  readonly digest: string;
  readonly body: string;
  readonly config: TestDescriptor;
  readonly layers: readonly TestDescriptor[];
}

/** Pushes a small image (a config and one layer that depend on `seed`) under `reference`. */
export async function pushImage(
  base: string,
  repository: string,
  reference: string | undefined,
  seed: string | number = 1,
  more: Record<string, unknown> = {},
): Promise<PushedImage> {
  const configText = JSON.stringify({ architecture: "amd64", os: "linux", seed });
  const layerBytes = bytesOf(seed, 600);
  await pushBlob(base, repository, configText);
  await pushBlob(base, repository, layerBytes);
  const config = descriptorOf(OCI_CONFIG, configText);
  const layers = [descriptorOf(OCI_LAYER, layerBytes)];
  const body = imageManifest(config, layers, more);
  const reply = await putManifest(base, repository, reference ?? digestOf(body), body);
  if (reply.status !== 201) throw new Error(`PUT manifest answered ${reply.status}: ${await reply.text()}`);
  return { digest: digestOf(body), body, config, layers };
}
