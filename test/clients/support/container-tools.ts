/** Podman, buildah and skopeo with storage and settings in a folder of their own. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { certificateFiles, dockerConfig, registriesConf } from "./access.ts";
import { run, runToFailure } from "./programs.ts";
import type { Output, Program, RunOptions } from "./programs.ts";
import { makeScratchFolder } from "./scratch-folder.ts";
import type { ScratchFolder } from "./scratch-folder.ts";

export interface ContainerToolsOptions {
  /** The registry that they speak to, such as `127.0.0.1:40123`. */
  readonly registry: string;
  /** `vfs` works everywhere; only `overlay` can fetch layers file by file. */
  readonly driver?: "vfs" | "overlay";
}

export class ContainerTools implements AsyncDisposable {
  readonly #folder: ScratchFolder;
  readonly #files: string;

  private constructor(folder: ScratchFolder, files: string) {
    this.#folder = folder;
    this.#files = files;
  }

  static async setUp({ registry, driver = "vfs" }: ContainerToolsOptions): Promise<ContainerTools> {
    const folder = await makeScratchFolder();
    const settings = join(folder.path, "home/.config/containers");
    for (const path of [settings, join(folder.path, "tmp"), join(folder.path, "files")]) {
      await mkdir(path, { recursive: true });
    }
    await writeFile(join(settings, "registries.conf"), registriesConf(registry));
    await writeFile(join(settings, "policy.json"), `{ "default": [{ "type": "insecureAcceptAnything" }] }`);
    // These two are taken from the home folder of an ordinary user, but not from root's.
    await writeFile(join(folder.path, "storage.conf"), storageConf(folder.path, driver));
    await writeFile(join(folder.path, "containers.conf"), containersConf(folder.path));
    // Here, for not all of their commands read the file that REGISTRY_AUTH_FILE names.
    await writeFile(join(settings, "auth.json"), dockerConfig(registry));
    const certificates = join(settings, "certs.d", registry);
    await mkdir(certificates, { recursive: true });
    for (const [name, text] of Object.entries(certificateFiles(registry))) {
      await writeFile(join(certificates, name), text);
    }
    return new ContainerTools(folder, join(folder.path, "files"));
  }

  /** A path for a file or a folder of a test, removed with all the rest. */
  file(name: string): string {
    return join(this.#files, name);
  }

  /** Where gpg keeps its keys, for signing. */
  get gnupgHome(): string {
    return join(this.#folder.path, "home/.gnupg");
  }

  podman(...words: readonly string[]): Promise<Output> {
    return run("podman", words, this.#options());
  }

  buildah(...words: readonly string[]): Promise<Output> {
    return run("buildah", words, this.#options());
  }

  skopeo(...words: readonly string[]): Promise<Output> {
    return run("skopeo", words, this.#options());
  }

  /** Runs one of the tools and expects it to fail. */
  fails(program: Program, ...words: readonly string[]): Promise<Output> {
    return runToFailure(program, words, this.#options());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }

  #options(): RunOptions {
    const folder = this.#folder.path;
    return {
      env: {
        HOME: join(folder, "home"),
        TMPDIR: join(folder, "tmp"),
        CONTAINERS_CONF: join(folder, "containers.conf"),
        CONTAINERS_STORAGE_CONF: join(folder, "storage.conf"),
        BUILDAH_ISOLATION: "chroot",
      },
    };
  }
}

function storageConf(folder: string, driver: string): string {
  return `[storage]
driver = "${driver}"
runroot = "${folder}/run"
graphroot = "${folder}/graph"
[storage.options]
pull_options = { enable_partial_images = "true", use_hard_links = "false", ostree_repos = "" }
`;
}

/** Locks in files, because those in shared memory are the machine's. */
function containersConf(folder: string): string {
  return `[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
static_dir = "${folder}/libpod"
tmp_dir = "${folder}/libpod-tmp"
volume_path = "${folder}/volumes"
[network]
network_config_dir = "${folder}/networks"
`;
}
