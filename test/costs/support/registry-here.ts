/** A registry on a folder inside of this process, where what it asks of its database can be counted. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../../../src/create-registry.ts";
import type { Registry } from "../../../src/create-registry.ts";
import { descriptorOf, digestOf, imageManifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "../../support/content.ts";
import type { TestDescriptor } from "../../support/content.ts";

type Bytes = Uint8Array<ArrayBuffer> | string;

export interface Image {
  readonly manifest: TestDescriptor;
  readonly config: TestDescriptor;
  readonly layer: TestDescriptor;
}

export class RegistryHere implements AsyncDisposable {
  readonly dataDir: string;
  readonly #registry: Registry;

  private constructor(dataDir: string, registry: Registry) {
    this.dataDir = dataDir;
    this.#registry = registry;
  }

  static async open(): Promise<RegistryHere> {
    const folder = await mkdtemp(join(tmpdir(), "stowage-costs-"));
    return new RegistryHere(folder, await createRegistry({ storage: { folder } }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry.close();
    await rm(this.dataDir, { recursive: true });
  }

  /** Gives the reply, which must be a success. `path` begins behind `/v2/`. */
  async send(method: string, path: string, body?: Bytes): Promise<Response> {
    const headers = path.includes("/manifests/") ? { "content-type": OCI_MANIFEST } : {};
    const init = body === undefined ? { method } : { method, headers, body };
    const reply = await this.#registry.fetch(new Request(`http://registry/v2/${path}`, init));
    if (!reply.ok) throw new Error(`${method} ${path} answered ${reply.status}: ${await reply.text()}`);
    return reply;
  }

  /** Asks for something and gives the reply, whatever it is. */
  async ask(path: string, headers: Readonly<Record<string, string>>): Promise<Response> {
    return await this.#registry.fetch(new Request(`http://registry/v2/${path}`, { headers }));
  }

  /** Begins an upload and gives the path that its bytes go to. */
  async beginUpload(repository: string, digest: string): Promise<string> {
    const begun = await this.send("POST", `${repository}/blobs/uploads/`);
    return `${begun.headers.get("location")?.slice("/v2/".length)}?digest=${digest}`;
  }

  /** Pushes a blob in two requests. */
  async pushBlob(repository: string, bytes: Bytes): Promise<void> {
    await this.send("PUT", await this.beginUpload(repository, digestOf(bytes)), bytes);
  }

  /** Pushes a config and a layer and the manifest over both: five requests. */
  async pushImage(repository: string, tag: string, layer: Bytes, more: Record<string, unknown> = {}): Promise<Image> {
    const config = JSON.stringify({ tag, layer: digestOf(layer) });
    for (const blob of [config, layer]) await this.pushBlob(repository, blob);
    const descriptors = { config: descriptorOf(OCI_CONFIG, config), layer: descriptorOf(OCI_LAYER, layer) };
    const manifest = imageManifest(descriptors.config, [descriptors.layer], more);
    await this.send("PUT", `${repository}/manifests/${tag}`, manifest);
    return { ...descriptors, manifest: descriptorOf(OCI_MANIFEST, manifest) };
  }
}
