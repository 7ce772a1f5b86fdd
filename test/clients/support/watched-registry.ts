/** The registry as the clients of these tests see it: the real program behind a wire that notes what passes. */
import { expect } from "bun:test";
import { join } from "node:path";
import { startRegistry } from "../../support/registry.ts";
import type { RunningRegistry } from "../../support/registry.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../support/content.ts";
import { announce } from "./access.ts";
import { FaultyWire } from "./faulty-wire.ts";
import { guardFor, usualMode } from "./modes.ts";
import type { Guard, Mode } from "./modes.ts";
import { makeScratchFolder } from "./scratch-folder.ts";
import type { ScratchFolder } from "./scratch-folder.ts";
import { Wire } from "./wire.ts";

/** A manifest as the registry serves it. */
export interface ServedManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly text: string;
  readonly json: ManifestJson;
}

export interface ManifestJson {
  readonly mediaType?: string;
  readonly config?: LayerJson;
  readonly layers?: readonly LayerJson[];
  readonly manifests?: readonly LayerJson[];
}

export interface LayerJson {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string };
}

export interface Referrer {
  readonly artifactType: string;
  readonly digest: string;
}

type Environment = Readonly<Record<string, string>>;

export class WatchedRegistry implements AsyncDisposable {
  readonly wire: Wire;
  readonly #folder: ScratchFolder;
  readonly #env: Environment;
  readonly #guard: Guard | undefined;
  #running: RunningRegistry;
  #guarded: RunningRegistry | undefined;

  private constructor(
    wire: Wire,
    folder: ScratchFolder,
    env: Environment,
    running: RunningRegistry,
    guard: Guard | undefined,
    guarded: RunningRegistry | undefined,
  ) {
    this.wire = wire;
    this.#folder = folder;
    this.#env = env;
    this.#running = running;
    this.#guard = guard;
    this.#guarded = guarded;
  }

  /**
   * In a mode with authentication, clients speak to a second program on the same data, which does; the first one is
   * for the tests themselves. `more` is what both find in their environment besides.
   */
  static async start(mode: Mode = usualMode(), more: Environment = {}): Promise<WatchedRegistry> {
    const env = { REGISTRY_STORAGE_DELETE_ENABLED: "true", ...more };
    const folder = await makeScratchFolder();
    const running = await startOn(folder.path, env);
    if (mode === "anonymous") {
      return new WatchedRegistry(await Wire.open(running.port), folder, env, running, undefined, undefined);
    }
    const guard = await guardFor(mode, join(folder.path, "guard"), running.dataDir);
    const guarded = await startOn(folder.path, { ...env, ...guard.env });
    const wire = await Wire.open(guarded.port, guard.wireTls);
    const registry = new WatchedRegistry(wire, folder, env, running, guard, guarded);
    for (const name of [registry.name, registry.nameWithoutWire]) announce(name, guard.access);
    return registry;
  }

  /** What stands before the repository in a reference, such as `127.0.0.1:40123`. */
  get name(): string {
    return this.wire.name;
  }

  /** The same without a wire that stands between, for what is about the registry's own TLS. */
  get nameWithoutWire(): string {
    const { hostname, port } = this.#guarded ?? this.#running;
    return `${hostname}:${port}`;
  }

  /** The program itself, past the wire, open to everybody; without a slash at the end. */
  get url(): string {
    return this.#running.url;
  }

  get port(): number {
    return this.#running.port;
  }

  get dataDir(): string {
    return this.#running.dataDir;
  }

  /**
   * A second way to it, which does harm. Where clients speak TLS it reads none, and leads to the program without
   * authentication.
   */
  async openFaultyWire(): Promise<FaultyWire> {
    if (!this.#guard || !this.#guarded || this.#guard.wireTls) return await FaultyWire.open(this.port);
    const wire = await FaultyWire.open(this.#guarded.port);
    announce(wire.name, this.#guard.access);
    return wire;
  }

  /** Stops the program and starts it again on the same data. Clients see the same address. */
  async restart(): Promise<void> {
    await this.#running.stop();
    this.#running = await startOn(this.#folder.path, this.#env);
    await this.#guarded?.stop();
    if (this.#guard) this.#guarded = await startOn(this.#folder.path, { ...this.#env, ...this.#guard.env });
    this.wire.leadTo((this.#guarded ?? this.#running).port);
  }

  /** Asks the program itself, past the wire. Undefined when it has no such manifest. */
  async manifest(repository: string, reference: string): Promise<ServedManifest | undefined> {
    const reply = await fetch(`${this.#running.url}/v2/${repository}/manifests/${reference}`, {
      headers: { accept: [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].join(", ") },
    });
    const text = await reply.text();
    if (reply.status === 404) return undefined;
    if (reply.status !== 200) throw new Error(`GET manifest answered ${reply.status}: ${text}`);
    return {
      digest: reply.headers.get("docker-content-digest") ?? "",
      mediaType: reply.headers.get("content-type") ?? "",
      text,
      json: JSON.parse(text) as ManifestJson,
    };
  }

  /** Asks the program itself, past the wire; throws when it has no such manifest. */
  async getManifest(repository: string, reference: string): Promise<ServedManifest> {
    const found = await this.manifest(repository, reference);
    if (!found) throw new Error(`The registry has no ${repository} ${reference}`);
    return found;
  }

  /** The tags of a repository, as the program itself lists them. */
  async tags(repository: string): Promise<readonly string[]> {
    const { tags } = (await getJson(`${this.url}/v2/${repository}/tags/list`)) as { readonly tags: readonly string[] };
    return tags;
  }

  /** What the program itself lists as pointing to a manifest. */
  async referrers(repository: string, digest: string): Promise<readonly Referrer[]> {
    const index = await getJson(`${this.url}/v2/${repository}/referrers/${digest}`);
    return (index as { readonly manifests: readonly Referrer[] }).manifests;
  }

  /** Fails when the registry answered a request with an internal error, or authenticated no client where it should. */
  expectNoFaults(): void {
    const { exchanges } = this.wire;
    const faults = exchanges.filter(({ status }) => status >= 500);
    expect(faults.map(({ method, target, status }) => `${method} ${target}: ${status}`)).toEqual([]);
    if (!this.#guard?.access.user || exchanges.length === 0) return;
    expect(exchanges.filter(({ status }) => status === 401)).not.toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.wire[Symbol.asyncDispose]();
    await this.#guarded?.[Symbol.asyncDispose]();
    await this.#running[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

function startOn(folder: string, env: Environment): Promise<RunningRegistry> {
  return startRegistry({ dataDir: join(folder, "data"), env });
}

async function getJson(url: string): Promise<unknown> {
  const reply = await fetch(url);
  if (reply.status !== 200) throw new Error(`GET ${url} answered ${reply.status}: ${await reply.text()}`);
  return await reply.json();
}
