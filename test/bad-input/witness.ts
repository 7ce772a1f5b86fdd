/** A registry that holds images, and the watch over them: a refused request leaves all of it as it was. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import { bytesOf, descriptorOf, digestOf, imageIndex, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { startRegistry } from "../support/registry.ts";
import type { RegistryOptions, RunningRegistry } from "../support/registry.ts";

/** The repository that holds an image (`v1` and `stable`), an index of it (`all`) and a referrer of it. */
export const REPOSITORY = "library/witness";

/** A repository with an image and a blob that `REPOSITORY` does not have. */
export const OTHER_REPOSITORY = "library/other";

/** A name that no request may bring into being. */
export const ABSENT = "refused/by-the-registry";

/** A digest that nothing has. */
export const UNKNOWN_DIGEST: string = digestOf("nobody ever pushed this");

const CONFIG_TEXT = JSON.stringify({ architecture: "amd64", os: "linux", seed: "witness" });

/** The image behind `v1`: its content is the same in every run, so that tables can name it. */
export const CONFIG: TestDescriptor = descriptorOf("application/vnd.oci.image.config.v1+json", CONFIG_TEXT);
export const LAYER_BYTES: Uint8Array<ArrayBuffer> = bytesOf("witness", 600);
export const LAYER: TestDescriptor = descriptorOf("application/vnd.oci.image.layer.v1.tar+gzip", LAYER_BYTES);
export const IMAGE_TEXT: string = JSON.stringify({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: CONFIG,
  layers: [LAYER],
});
export const IMAGE: TestDescriptor = descriptorOf(OCI_MANIFEST, IMAGE_TEXT);
export const INDEX_TEXT: string = imageIndex([{ ...IMAGE, platform: { architecture: "amd64", os: "linux" } }]);

/** A blob of `OTHER_REPOSITORY` alone. */
export const OTHER_BLOB: TestDescriptor = descriptorOf(
  "application/octet-stream",
  "only the other repository has this",
);

export interface WitnessOptions extends RegistryOptions {
  readonly withCatalog?: boolean;
}

export class Witness implements AsyncDisposable {
  readonly registry: RunningRegistry;
  #remembered: Readonly<Record<string, unknown>> = {};
  /** How much of the output was looked through, so that an error is told of by the table that caused it. */
  #outputSeen = 0;

  readonly #withCatalog: boolean;

  private constructor(registry: RunningRegistry, withCatalog: boolean) {
    this.registry = registry;
    this.#withCatalog = withCatalog;
  }

  /** Starts a registry and fills it. Without the catalog other repositories may come into being. */
  static async open({ withCatalog = true, ...options }: WitnessOptions = {}): Promise<Witness> {
    const witness = new Witness(await startRegistry(options), withCatalog);
    await fill(witness.registry.url);
    await witness.remember();
    return witness;
  }

  /** Takes what is there now for what has to stay. */
  async remember(): Promise<void> {
    this.#remembered = await this.#look();
  }

  /** Asserts that every image, list and blob is answered byte by byte as before, and that nothing went wrong inside. */
  async expectUnchanged(): Promise<void> {
    expect(await this.#look()).toEqual(this.#remembered);
    const output = this.registry.output().slice(this.#outputSeen);
    this.#outputSeen += output.length;
    expect(loggedErrors(output)).toEqual([]);
  }

  /** Asserts that a repository was not brought into being. */
  async expectNoRepository(name: string = ABSENT): Promise<void> {
    const reply = await fetch(`${this.registry.url}/v2/${name}/tags/list`);
    expect(reply.status).toBe(404);
    expect(await reply.json()).toMatchObject({ errors: [{ code: "NAME_UNKNOWN" }] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
  }

  #lastWords(): string {
    return this.registry.output().slice(-4_000);
  }

  async #look(): Promise<Readonly<Record<string, unknown>>> {
    const targets = [
      ...(this.#withCatalog ? ["_catalog"] : []),
      `${REPOSITORY}/tags/list`,
      `${OTHER_REPOSITORY}/tags/list`,
      ...["v1", "stable", "all", IMAGE.digest, digestOf(INDEX_TEXT)].map((name) => `${REPOSITORY}/manifests/${name}`),
      `${OTHER_REPOSITORY}/manifests/v1`,
      ...[CONFIG.digest, LAYER.digest].map((digest) => `${REPOSITORY}/blobs/${digest}`),
      `${OTHER_REPOSITORY}/blobs/${OTHER_BLOB.digest}`,
      `${REPOSITORY}/referrers/${IMAGE.digest}`,
    ];
    const seen = await Promise.all(targets.map(async (target) => [target, await this.#get(target)] as const));
    return Object.fromEntries(seen);
  }

  async #get(target: string): Promise<unknown> {
    const reply = await fetch(`${this.registry.url}/v2/${target}`).catch((cause: unknown) => {
      throw new Error(`the registry does not answer; the end of what it printed:\n${this.#lastWords()}`, { cause });
    });
    expect(reply.status).toBe(200);
    return {
      type: reply.headers.get("content-type"),
      digest: reply.headers.get("docker-content-digest"),
      body: Buffer.from(await reply.arrayBuffer()).toString("latin1"),
    };
  }
}

/** Has one registry for the tests of a file, filled before the first and stopped after the last. */
export function useWitness(options: WitnessOptions = {}): () => Witness {
  let witness: Witness | undefined;
  setDefaultTimeout(60_000);
  beforeAll(async () => {
    witness = await Witness.open(options);
  });
  afterAll(() => witness?.[Symbol.asyncDispose]());
  return () => {
    if (!witness) throw new Error("the registry has not been started");
    return witness;
  };
}

/** The last test of every table. */
export function testUnchanged(witness: () => Witness, ...absent: readonly string[]): void {
  test("all of this leaves the registry as it was", async () => {
    await witness().expectUnchanged();
    for (const name of absent) await witness().expectNoRepository(name);
  });
}

/** The last test of every file: it stops the registry, to read its output to the end. */
export function testAliveAndQuiet(witness: () => Witness): void {
  test("the registry is alive at the end, and has logged no error", async () => {
    const { registry } = witness();
    await witness().expectUnchanged();
    expect(process.kill(registry.pid, 0)).toBe(true);
    await registry.stop();
    expect(loggedErrors(registry.output())).toEqual([]);
  });
}

async function fill(url: string): Promise<void> {
  await pushBlob(url, REPOSITORY, CONFIG_TEXT);
  await pushBlob(url, REPOSITORY, LAYER_BYTES);
  await expectStored(putManifest(url, REPOSITORY, "v1", IMAGE_TEXT));
  await expectStored(putManifest(url, REPOSITORY, "stable", IMAGE_TEXT));
  await expectStored(putManifest(url, REPOSITORY, "all", INDEX_TEXT, OCI_INDEX));
  await pushBlob(url, REPOSITORY, "{}");
  const referrer = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: "application/vnd.example.witness",
    config: descriptorOf(OCI_EMPTY, "{}"),
    layers: [descriptorOf(OCI_EMPTY, "{}")],
    subject: IMAGE,
  });
  await expectStored(putManifest(url, REPOSITORY, digestOf(referrer), referrer));
  await pushBlob(url, OTHER_REPOSITORY, "only the other repository has this");
  await pushImage(url, OTHER_REPOSITORY, "v1", "other");
}

async function expectStored(reply: Promise<Response>): Promise<void> {
  const { status } = await reply;
  if (status !== 201) throw new Error(`the registry could not be filled: PUT answered ${status}`);
}

/** The lines of an output that tell of an error: entries of a log in JSON by their level, others by how they begin. */
function loggedErrors(output: string): readonly string[] {
  return output.split("\n").filter((line) => {
    const entry = parseEntry(line);
    if (!entry) return /^\s*(?:\w*Error|error|fatal|panic)\b/.test(line);
    return ["error", "fatal"].includes(String(entry.level).toLowerCase()) || Number(entry.level) >= 50;
  });
}

function parseEntry(line: string): { readonly level?: unknown } | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as { readonly level?: unknown };
  } catch {
    return undefined;
  }
}
