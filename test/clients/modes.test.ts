/** Every client under every way of authentication: what it pushes comes back. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SHOW_NO_CERTIFICATE } from "./support/access.ts";
import { MODES } from "./support/modes.ts";
import { requirePrograms } from "./support/programs.ts";
import { ROUND_TRIPS } from "./support/round-trips.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

for (const mode of MODES) {
  // All the other tests run without authentication.
  if (mode === "anonymous") continue;
  describe(`in the mode "${mode}"`, () => {
    let registry: WatchedRegistry;

    beforeAll(async () => {
      requirePrograms(
        "busybox",
        "buildah",
        "containerd",
        "ctr",
        "docker",
        "dockerd",
        "podman",
        "skopeo",
        "tar",
        "umount",
      );
      registry = await WatchedRegistry.start(mode);
    });

    afterAll(() => registry[Symbol.asyncDispose]());

    for (const [client, trip] of Object.entries(ROUND_TRIPS)) {
      if (mode.endsWith("tls") && client in SHOW_NO_CERTIFICATE !== (mode === "tls")) continue;
      test(`${client} pushes and pulls`, async () => {
        await using resources = new AsyncDisposableStack();
        const to = mode.endsWith("tls") ? registry.nameWithoutWire : registry.name;
        // By another name no client has logged in.
        const from = mode === "open pull" ? to.replace("127.0.0.1", "localhost") : to;
        await trip({ registry, to, from }, resources);
      });
    }

    test("the registry authenticated clients, and answered nothing with an internal error", async () => {
      registry.expectNoFaults();
      if (mode.endsWith("tls")) {
        await expect(fetch(`http://${registry.nameWithoutWire}/v2/`)).rejects.toThrow();
      } else {
        expect((await fetch(`http://${registry.name}/v2/`)).status).toBe(401);
      }
    });
  });
}
