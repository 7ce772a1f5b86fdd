/**
 * Clients whose connections fail at every point of a push or a pull: what a client gave up it can begin again, and the
 * registry shows nothing that is not whole.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { Client } from "./support/client.ts";
import { ContainerTools } from "./support/container-tools.ts";
import type { FaultyWire } from "./support/faulty-wire.ts";
import type { Fault } from "./support/faulty-wire.ts";
import { expectSoundBlobs, writeSmallLayout } from "./support/oci-layout.ts";
import { requirePrograms } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

interface Mover {
  /** Moves the image `one` of a layout into the registry. */
  readonly push: (layout: string, image: string) => Promise<unknown>;
  /** Moves an image into a layout that is not there yet. */
  readonly pull: (image: string, layout: string) => Promise<unknown>;
}

const PUSH_FAULTS: Readonly<Record<string, Fault>> = {
  "reaches the registry in half": { kind: "request cut" },
  "is answered and the answer is lost": { kind: "reply lost" },
  "reaches the registry twice": { kind: "repeated" },
};

const resources = new AsyncDisposableStack();
const movers = new Map<string, Mover>();
let registry: WatchedRegistry;
let wire: FaultyWire;
let folder: string;

beforeAll(async () => {
  requirePrograms("skopeo", "umount");
  registry = resources.use(await WatchedRegistry.start());
  wire = resources.use(await registry.openFaultyWire());
  folder = resources.use(await makeScratchFolder()).path;
  const crane = resources.use(await Client.of("crane", wire));
  const oras = resources.use(await Client.of("oras", wire));
  const regctl = resources.use(await Client.of("regctl", wire));
  const tools = resources.use(await ContainerTools.setUp({ registry: wire.name }));
  movers.set("crane", {
    push: (layout, image) => crane.run("push", layout, image),
    pull: (image, layout) => crane.run("pull", "--format", "oci", image, layout),
  });
  movers.set("oras", {
    push: (layout, image) => oras.run("cp", "--from-oci-layout", `${layout}:one`, image),
    pull: (image, layout) => oras.run("cp", "--to-oci-layout", image, `${layout}:one`),
  });
  movers.set("regctl", {
    push: (layout, image) => regctl.run("image", "copy", `ocidir://${layout}:one`, image),
    pull: (image, layout) => regctl.run("image", "copy", image, `ocidir://${layout}:one`),
  });
  movers.set("skopeo", {
    push: (layout, image) => tools.skopeo("copy", `oci:${layout}:one`, `docker://${image}`),
    pull: (image, layout) => tools.skopeo("copy", `docker://${image}`, `oci:${layout}:one`),
  });
});

afterAll(() => resources.disposeAsync());

for (const name of ["crane", "oras", "regctl", "skopeo"]) {
  describe(`when a request of ${name}`, () => {
    for (const [what, fault] of Object.entries(PUSH_FAULTS)) {
      test(`${what}, its push is whole, or is when it is tried again`, async () => {
        const { push } = movers.get(name)!;
        const { layout: first } = await made();
        const requests = await wire.during(() => push(first, at(`${name}/count:1.0`)));
        expect(requests.length).toBeGreaterThan(5);
        for (const number of requests.keys()) {
          const { layout, manifest } = await made();
          const repository = `${name}/${fault.kind.replace(" ", "-")}/${number}`;
          const isDone = await wire
            .during(() => push(layout, at(`${repository}:1.0`)), number, fault)
            .then(
              () => true,
              () => false,
            );
          if (isDone || (await registry.manifest(repository, "1.0")) !== undefined) {
            await expectWhole(repository, manifest);
          }
          if (!isDone) await wire.during(() => push(layout, at(`${repository}:1.0`)));
          await expectWhole(repository, manifest);
        }
      });
    }

    test("is answered in half, its pull is whole, or is when it is tried again", async () => {
      const { push, pull } = movers.get(name)!;
      const { layout, manifest } = await made();
      const image = at(`${name}/pull:1.0`);
      await push(layout, image);
      const target = join(folder, randomUUID());
      const requests = await wire.during(() => pull(image, target));
      await expectInLayout(target, manifest);
      expect(requests.length).toBeGreaterThan(2);
      for (const number of requests.keys()) {
        await rm(target, { recursive: true });
        await wire.during(() => pull(image, target).catch(() => rm(target, { recursive: true, force: true })), number, {
          kind: "reply cut",
        });
        await wire.during(() => pull(image, target));
        await expectInLayout(target, manifest);
      }
    });

    test("and its answer take their time, its push succeeds", async () => {
      const { layout, manifest } = await made();
      const { push } = movers.get(name)!;
      await wire.during(() => push(layout, at(`${name}/slow:1.0`)), "every", { kind: "delayed", delayMs: 100 });
      await expectWhole(`${name}/slow`, manifest);
    });
  });
}

test("nothing that is recorded is missing or damaged afterwards", async () => {
  const { exitCode, stdout } = await runProgram(registry.dataDir, ["check", "--deep"]);
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: expect.stringContaining("no findings"),
  });
});

function at(reference: string): string {
  return `${wire.name}/${reference}`;
}

/** A layout of an image that the registry has nothing of. */
async function made(): Promise<{ readonly layout: string; readonly manifest: string }> {
  const layout = join(folder, randomUUID());
  return { layout, manifest: await writeSmallLayout(layout, layout) };
}

/** Fails unless the registry has the image, and each of its blobs with the bytes of its digest. */
async function expectWhole(repository: string, manifest: string): Promise<void> {
  const served = await registry.getManifest(repository, "1.0");
  expect(served.text).toBe(manifest);
  for (const { digest } of [served.json.config!, ...served.json.layers!]) {
    const reply = await fetch(`${registry.url}/v2/${repository}/blobs/${digest}`);
    expect(digestOf(await reply.bytes())).toBe(digest);
  }
}

async function expectInLayout(layout: string, manifest: string): Promise<void> {
  expect(await readFile(join(layout, "blobs", digestOf(manifest).replace(":", "/")), "utf8")).toBe(manifest);
  await expectSoundBlobs(layout);
}
