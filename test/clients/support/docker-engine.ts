/** A docker engine of its own: containerd and dockerd in a folder, reached over a socket there. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { certificateFiles, dockerConfig, wordsForDocker } from "./access.ts";
import { containerdSocketOf, startContainerd } from "./containerd.ts";
import { run, runToFailure, startDaemon, throwWhenEnded } from "./programs.ts";
import type { Output, RunOptions } from "./programs.ts";
import { makeScratchFolder } from "./scratch-folder.ts";
import { until } from "./until.ts";

export class DockerEngine implements AsyncDisposable {
  readonly #registry: string;
  readonly #folder: string;
  readonly #resources: AsyncDisposableStack;

  private constructor(registry: string, folder: string, resources: AsyncDisposableStack) {
    this.#registry = registry;
    this.#folder = folder;
    this.#resources = resources;
  }

  /** Resolves when the engine answers; it is told how `registry`, such as `127.0.0.1:40123`, is reached. */
  static async start(registry: string): Promise<DockerEngine> {
    await using starting = new AsyncDisposableStack();
    const folder = starting.use(await makeScratchFolder()).path;
    starting.use(await startContainerd(folder));
    await writeFile(join(folder, "daemon.json"), "{}");
    await mkdir(join(folder, "client"));
    await writeFile(join(folder, "client/config.json"), dockerConfig(registry));
    starting.defer(await shareCertificates(registry));
    const dockerd = starting.use(startDaemon("dockerd", wordsOfDockerd(folder)));
    await until("dockerd answers", async () => {
      throwWhenEnded("dockerd", dockerd);
      const reply = await fetch("http://docker/_ping", { unix: socketOf(folder) });
      return reply.ok;
    });
    return new DockerEngine(registry, folder, starting.move());
  }

  /** Runs the docker client against this engine; rejects when it fails. */
  docker(...words: readonly string[]): Promise<Output> {
    return run("docker", wordsForDocker(words, this.#registry), this.#options());
  }

  /** Pushes an image; rejects where the engine would try again, up to a minute later. */
  pushAtOnce(image: string): Promise<Output> {
    return run("docker", ["push", image], { ...this.#options(), givesUpAt: /Retrying in/ });
  }

  /** Runs the docker client and expects it to fail. */
  dockerFails(...words: readonly string[]): Promise<Output> {
    return runToFailure("docker", words, this.#options());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  #options(): RunOptions {
    const client = join(this.#folder, "client");
    return { env: { DOCKER_HOST: `unix://${socketOf(this.#folder)}`, DOCKER_CONFIG: client, HOME: client } };
  }
}

/** The engine looks for certificates in one folder of the machine. Gives what takes them away again. */
async function shareCertificates(registry: string): Promise<() => Promise<void>> {
  const folder = join("/etc/docker/certs.d", registry);
  const files = Object.entries(certificateFiles(registry));
  if (files.length > 0) await mkdir(folder, { recursive: true });
  for (const [name, text] of files) await writeFile(join(folder, name), text);
  return () => rm(folder, { recursive: true, force: true });
}

function socketOf(folder: string): string {
  return join(folder, "docker.sock");
}

/** Everything in the folder, and no network: neither rules nor a bridge, which would be the machine's. */
function wordsOfDockerd(folder: string): string[] {
  return [
    `--config-file=${join(folder, "daemon.json")}`,
    `--data-root=${join(folder, "data")}`,
    `--exec-root=${join(folder, "exec")}`,
    `--pidfile=${join(folder, "pid")}`,
    `--host=unix://${socketOf(folder)}`,
    `--containerd=${containerdSocketOf(folder)}`,
    "--iptables=false",
    "--ip6tables=false",
    "--bridge=none",
    "--storage-driver=vfs",
  ];
}
