/**
 * The registry with one defect at a time, of which each has stopped a client somewhere: it shows that the tests of these
 * clients can fail. Without a defect the same push and pull go through the same wire.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { Client } from "./support/client.ts";
import { ContainerTools } from "./support/container-tools.ts";
import { DockerEngine } from "./support/docker-engine.ts";
import type { FaultyWire } from "./support/faulty-wire.ts";
import type { Change } from "./support/faulty-wire.ts";
import { writeRandomArchive } from "./support/image-files.ts";
import { writeSmallLayout } from "./support/oci-layout.ts";
import { requirePrograms } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

type Stopped = "crane" | "docker" | "oras" | "skopeo";

interface Defect {
  readonly what: string;
  readonly change: Change;
  /** The clients that it stops. */
  readonly stops: readonly Stopped[];
}

const DEFECTS: readonly Defect[] = [
  {
    what: "a chunk is answered without its range",
    change: (request, head) => (request.startsWith("PATCH ") ? without(head, "range") : head),
    stops: ["docker"],
  },
  {
    what: "a chunk is answered without a location",
    change: (request, head) => (request.startsWith("PATCH ") ? without(head, "location") : head),
    stops: ["skopeo"],
  },
  {
    what: "a manifest is served as any JSON",
    change: (request, head) =>
      /^(?:GET|HEAD) \S+\/manifests\//.test(request)
        ? head.replace(/^content-type: .*$/im, "content-type: application/json")
        : head,
    stops: ["docker", "oras", "skopeo"],
  },
  {
    what: "HEAD is answered without a length",
    change: (request, head) => (request.startsWith("HEAD ") ? without(head, "content-length") : head),
    stops: ["docker"],
  },
  {
    what: "an upload begins with 200",
    change: (request, head) => (request.startsWith("POST ") ? withStatus(head, 202, "200 OK") : head),
    stops: ["docker", "oras", "skopeo"],
  },
  {
    what: "a blob is taken with 204",
    change: (request, head) =>
      /^PUT \S+\/blobs\//.test(request) ? withStatus(without(head, "content-length"), 201, "204 No Content") : head,
    stops: ["crane", "oras", "skopeo"],
  },
  {
    what: "a push is answered without the digest",
    change: (request, head) => (request.startsWith("PUT ") ? without(head, "docker-content-digest") : head),
    stops: ["docker"],
  },
];

const resources = new AsyncDisposableStack();
const walks = new Map<Stopped, () => Promise<unknown>>();
let wire: FaultyWire;

beforeAll(async () => {
  requirePrograms("containerd", "docker", "dockerd", "skopeo", "tar", "umount");
  const registry = resources.use(await WatchedRegistry.start());
  wire = resources.use(await registry.openFaultyWire());
  const folder = resources.use(await makeScratchFolder()).path;
  const crane = resources.use(await Client.of("crane", wire));
  const oras = resources.use(await Client.of("oras", wire));
  const engine = resources.use(await DockerEngine.start(wire.name));
  const tools = resources.use(await ContainerTools.setUp({ registry: wire.name }));
  const made = async (): Promise<{ readonly layout: string; readonly image: string; readonly back: string }> => {
    const name = randomUUID();
    const layout = join(folder, name);
    await writeSmallLayout(name, layout);
    return { layout, image: `${wire.name}/regressions/${name}:1.0`, back: join(folder, `${name}-back`) };
  };
  walks.set("crane", async () => {
    const { layout, image, back } = await made();
    await crane.run("push", layout, image);
    await crane.run("digest", image);
    await crane.run("pull", "--format", "oci", image, back);
  });
  walks.set("oras", async () => {
    const { layout, image, back } = await made();
    await oras.run("cp", "--from-oci-layout", `${layout}:one`, image);
    await oras.run("cp", "--to-oci-layout", image, `${back}:one`);
  });
  walks.set("skopeo", async () => {
    const { layout, image, back } = await made();
    await tools.skopeo("copy", `oci:${layout}:one`, `docker://${image}`);
    await tools.skopeo("copy", `docker://${image}`, `oci:${back}:one`);
  });
  walks.set("docker", async () => {
    const image = `${wire.name}/regressions/docker-${randomUUID()}:1.0`;
    await engine.docker("import", (await writeRandomArchive(folder, 200_000)).tar, image);
    await engine.pushAtOnce(image);
    await engine.docker("rmi", image);
    await engine.docker("pull", image);
  });
});

afterAll(() => resources.disposeAsync());

describe("without a defect", () => {
  for (const client of ["crane", "docker", "oras", "skopeo"] as const) {
    test(`${client} pushes and pulls`, async () => {
      await walks.get(client)?.();
    });
  }
});

for (const { what, change, stops } of DEFECTS) {
  describe(`when ${what}`, () => {
    for (const client of stops) {
      test(`${client} stops`, async () => {
        const walk = walks.get(client)!;
        expect(await wire.changing(change, walk).then(String, () => "stopped")).toBe("stopped");
      });
    }
  });
}

function without(head: string, name: string): string {
  const lines = head.split("\r\n").filter((line) => !line.toLowerCase().startsWith(`${name}:`));
  return lines.join("\r\n");
}

function withStatus(head: string, from: number, to: string): string {
  return head.replace(new RegExp(`^HTTP/1\\.1 ${from} [^\\r]*`), `HTTP/1.1 ${to}`);
}
