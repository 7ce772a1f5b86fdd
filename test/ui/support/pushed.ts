/** Images and artifacts for the page, pushed as clients do. */
import {
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  bytesOf,
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
} from "../../support/content.ts";
import type { TestDescriptor } from "../../support/content.ts";
import { RepositoryClient } from "../../support/repository-client.ts";

/** A text that would run in a page that shows it as HTML. */
export const SCRIPT = `<img src=x onerror="alert(1)"><script>alert(2)</script>`;

/** Pushes to one repository; `headers` hold the credentials. */
export class Pusher {
  readonly #client: RepositoryClient;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string, name: string, headers: Readonly<Record<string, string>> = {}) {
    this.#client = new RepositoryClient(url, name);
    this.#headers = headers;
  }

  /** Pushes an image of two layers; its config has every text that the page shows. Returns its manifest's text. */
  async image(seed: string, architecture = "amd64"): Promise<string> {
    const layers = [bytesOf("base", 3000), bytesOf(seed + architecture, 500)];
    const config = JSON.stringify({
      architecture,
      os: "linux",
      created: "2026-01-01T00:00:00Z",
      config: { Entrypoint: ["/app"], Env: [`HOSTILE=${SCRIPT}`], Labels: { hostile: SCRIPT, [SCRIPT]: "x" } },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) },
      history: [
        { created_by: "/bin/sh -c #(nop) ADD file:0 in / " },
        { created_by: `/bin/sh -c #(nop)  ENV HOSTILE=${SCRIPT}`, empty_layer: true },
        { created_by: "RUN /bin/sh -c make install # buildkit" },
      ],
    });
    for (const blob of [config, ...layers]) await this.#blob(blob);
    return imageManifest(
      descriptorOf(OCI_CONFIG, config),
      layers.map((layer) => descriptorOf(OCI_LAYER, layer)),
    );
  }

  /** Pushes an index of two platforms under the tag. */
  async index(tag: string, seed = tag): Promise<TestDescriptor> {
    const children: TestDescriptor[] = [];
    for (const architecture of ["amd64", "arm64"]) {
      const child = await this.manifest(undefined, await this.image(seed, architecture));
      children.push({ ...child, platform: { os: "linux", architecture } });
    }
    return await this.manifest(tag, imageIndex(children, { annotations: { hostile: SCRIPT } }), OCI_INDEX);
  }

  /** Pushes an artifact, which may refer to another manifest. */
  async artifact(tag: string | undefined, artifactType: string, subject?: TestDescriptor): Promise<TestDescriptor> {
    const file = `a file of ${artifactType}`;
    for (const blob of ["{}", file]) await this.#blob(blob);
    const layers = [descriptorOf("text/plain", file, { annotations: { "org.opencontainers.image.title": SCRIPT } })];
    const text = imageManifest(descriptorOf(OCI_EMPTY, "{}"), layers, { artifactType, ...(subject && { subject }) });
    return await this.manifest(tag, text);
  }

  /** Pushes a manifest by its tag, or by its digest when there is none. */
  async manifest(tag: string | undefined, text: string, type: string = OCI_MANIFEST): Promise<TestDescriptor> {
    const reply = await this.#client.send("PUT", `manifests/${tag ?? digestOf(text)}`, {
      body: text,
      headers: { ...this.#headers, "content-type": type },
    });
    if (reply.status !== 201) throw new Error(`PUT of a manifest answered ${reply.status}: ${await reply.text()}`);
    return descriptorOf(type, text);
  }

  async #blob(body: Uint8Array<ArrayBuffer> | string): Promise<void> {
    const reply = await this.#client.send("POST", `blobs/uploads/?digest=${digestOf(body)}`, {
      body,
      headers: { ...this.#headers, "content-type": "application/octet-stream" },
    });
    if (reply.status !== 201) throw new Error(`POST of a blob answered ${reply.status}: ${await reply.text()}`);
  }
}
