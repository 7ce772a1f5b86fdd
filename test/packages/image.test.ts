/** The container image: built, pushed into a registry, pulled from it, and run as operators of `registry:2` run theirs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import manifest from "../../package.json";
import { buildImage } from "../../tools/build-image.ts";
import { currentCommit } from "../../tools/commit.ts";
import { ContainerTools } from "../clients/support/container-tools.ts";
import { goClient } from "../clients/support/go-clients.ts";
import { requirePrograms, run } from "../clients/support/programs.ts";
import { makeScratchFolder } from "../clients/support/scratch-folder.ts";
import { until } from "../clients/support/until.ts";
import { WatchedRegistry } from "../clients/support/watched-registry.ts";
import { pushBlob } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { freePorts } from "../support/free-ports.ts";

const MIB = 1024 ** 2;
const SPDX = "application/spdx+json";
const IN_TOTO = "application/vnd.in-toto+json";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let tools: ContainerTools;
let folder: string;
/** Where the image was built. */
let layout: string;
let digest: string;
/** The image as podman pulled it. */
let image: string;

beforeAll(async () => {
  requirePrograms("podman", "skopeo", "umount");
  folder = resources.use(await makeScratchFolder()).path;
  registry = resources.use(await WatchedRegistry.start("anonymous"));
  tools = resources.use(await ContainerTools.setUp({ registry: registry.name }));
  layout = join(folder, "image");
  ({ digest } = await buildImage(layout, ["linux/amd64", "linux/arm64"], currentCommit()));
  image = `${registry.name}/stowage/stowage:${manifest.version}`;
  const words = ["cp", "--recursive", "--from-oci-layout", "--to-plain-http"];
  await run(await goClient("oras"), [...words, `${layout}:${manifest.version}`, image], { env: { HOME: folder } });
  await tools.podman("pull", "--quiet", image);
});

afterAll(() => resources.disposeAsync());

/** A container with the ways in which platforms restrict it; `words` are options of podman, the image, and its command. */
function inContainer(...words: readonly string[]) {
  // The network is the machine's, because a bridge needs plugins that need not be there.
  const engine = ["run", "--runtime", "/usr/sbin/runc", "--network", "host", "--ulimit", "nofile=4096:4096"];
  const restrictions = ["--ulimit", "nproc=4096:4096", "--cap-drop", "all", "--security-opt", "no-new-privileges"];
  return tools.podman(...engine, ...restrictions, "--read-only", "--read-only-tmpfs=false", ...words);
}

interface Container extends AsyncDisposable {
  readonly name: string;
  /** Such as `127.0.0.1:40123`. */
  readonly address: string;
  readonly url: string;
  logs(): Promise<string>;
  exec(...words: readonly string[]): Promise<string>;
}

/** Starts the image's server and waits until it answers. */
async function serve(name: string, ...options: readonly string[]): Promise<Container> {
  const [port = 0] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  await inContainer("--detach", "--name", name, "--env", `REGISTRY_HTTP_ADDR=${address}`, ...options, image);
  const logs = async (): Promise<string> => (await tools.podman("logs", name)).stdout;
  await until(`${name} answers`, async () => (await fetch(`http://${address}/v2/`)).ok);
  return {
    name,
    address,
    url: `http://${address}`,
    logs,
    exec: async (...words) => (await tools.podman("exec", name, ...words)).stdout,
    async [Symbol.asyncDispose]() {
      await tools.podman("rm", "--force", "--time", "30", name);
    },
  };
}

describe("the image", () => {
  test("has no more than 120 MB for each platform", async () => {
    const names = await readdir(join(layout, "blobs/sha256"));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(layout, "blobs/sha256", name))).size));
    // Both platforms together, and what is attached.
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2 * 120_000_000);
    const { json } = await registry.getManifest("stowage/stowage", manifest.version);
    expect(json.manifests?.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"]);
  });

  test("has provenance attached, and an SBOM for each platform with the packages that are in it", async () => {
    const attached = await registry.referrers("stowage/stowage", digest);
    expect(attached.map(({ artifactType }) => artifactType)).toEqual([IN_TOTO]);
    const { json } = await registry.getManifest("stowage/stowage", manifest.version);
    for (const each of json.manifests ?? []) {
      const [sbom, ...others] = await registry.referrers("stowage/stowage", each.digest);
      expect([sbom?.artifactType, others]).toEqual([SPDX, []]);
      const [layer] = (await registry.getManifest("stowage/stowage", sbom?.digest ?? "")).json.layers ?? [];
      const response = await fetch(`${registry.url}/v2/stowage/stowage/blobs/${layer?.digest}`);
      const { packages } = (await response.json()) as { packages: readonly { name: string; versionInfo: string }[] };
      const names = packages.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining([...Object.keys(manifest.dependencies), "libc6", "busybox-static"]));
      expect(names).not.toContain("typescript");
      expect(packages.filter(({ versionInfo }) => versionInfo === "")).toEqual([]);
    }
  });

  test("is not run as root", async () => {
    const { stdout } = await tools.podman("image", "inspect", "--format", "{{.Config.User}}", image);
    expect(stdout.trim()).toBe("1000:0");
  });
});

describe("a container", () => {
  test("as any user, with a read-only root, takes an image, keeps it over a restart, and ends within its time", async () => {
    const volume = ["--volume", "kept:/var/lib/registry", "--user"];
    {
      await using container = await serve("first", ...volume, "123456");
      await tools.skopeo(
        "copy",
        "--all",
        "--dest-tls-verify=false",
        `oci:${layout}:latest`,
        `docker://${container.address}/own:1`,
      );
      expect(await container.exec("wget", "-q", "-O-", `${container.url}/v2/_catalog`)).toContain('"own"');
      expect(await container.exec("stowage", "repo", "list")).toContain("own");
      await tools.podman("stop", "--time", "30", container.name);
      const logs = await container.logs();
      expect(logs).toContain('"msg":"stopped"');
      expect(logs).not.toContain("has mode"); // its folder is as private as can be
    }
    // Platforms may choose another user ID with each start.
    await using container = await serve("second", ...volume, "654321");
    const { stdout } = await tools.skopeo(
      "inspect",
      "--raw",
      "--tls-verify=false",
      `docker://${container.address}/own:1`,
    );
    expect(stdout).toBe(await readFile(join(layout, "blobs", digest.replace(":", "/")), "utf8"));
    const other = await tools.podman("pull", "--quiet", "--tls-verify=false", `${container.address}/own:1`);
    expect(other.stdout.trim()).not.toBe("");
  });

  test("collects garbage by distribution's command, in itself and in another container on the volume", async () => {
    const volume = ["--volume", "collected:/var/lib/registry"];
    await using container = await serve("collecting", ...volume);
    const isThere = async (blob: string) =>
      (await fetch(`${container.url}/v2/team/app/blobs/${blob}`, { method: "HEAD" })).ok;
    const first = await pushBlob(container.url, "team/app", bytesOf("first", MIB));
    const command = ["garbage-collect", "--grace=0", "/etc/docker/registry/config.yml"];
    expect(await container.exec("registry", ...command)).toContain("1  blobs deleted");
    expect(await isThere(first)).toBe(false);
    const second = await pushBlob(container.url, "team/app", bytesOf("second", MIB));
    const { stdout } = await inContainer("--rm", ...volume, image, ...command, "-m", "-d");
    expect(stdout).toContain("1  blobs would be deleted");
    expect(await isThere(second)).toBe(true);
    await inContainer("--rm", ...volume, "--entrypoint", "/bin/registry", image, ...command, "-m", "-q");
    expect(await isThere(second)).toBe(false);
  });

  for (const place of ["/etc/docker/registry/config.yml", "/etc/distribution/config.yml"]) {
    test(`reads a settings file of distribution at ${place}`, async () => {
      const settings = join(folder, "config.yml");
      await writeFile(
        settings,
        "version: 0.1\nstorage:\n  filesystem: {rootdirectory: /var/lib/registry}\n  delete: {enabled: false}\n",
      );
      const name = place.split("/")[2] ?? "";
      await using container = await serve(name, "--volume", `${settings}:${place}:ro`);
      const blob = await pushBlob(container.url, "team/app", bytesOf("kept", 1000));
      const deleted = await fetch(`${container.url}/v2/team/app/blobs/${blob}`, { method: "DELETE" });
      expect(deleted.status).toBe(405);
    });
  }
});
