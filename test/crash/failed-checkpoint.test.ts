/** A disk that cannot sync the database's file: what the log held may be lost with it, so nothing more is promised. */
import { expect, test } from "bun:test";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pushBlob, putManifest } from "../support/client.ts";
import { descriptorOf, imageManifest, OCI_CONFIG } from "../support/content.ts";
import { startServerGroup } from "../support/program.ts";

const CONFIG = "{}";

test("after a checkpoint whose sync failed no push is answered 201, and the registry is not ready", async () => {
  const dataDir = await realpath(await mkdtemp(join(tmpdir(), "stowage-checkpoint-")));
  try {
    await (await startServerGroup(dataDir)).stop();
    // Checkpoints alone sync that file; commits sync the log.
    const failing = ["strace", "-f", "-o", "/dev/null", "-P", join(dataDir, "registry.db")];
    const calls = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];
    const server = await startServerGroup(dataDir, {}, [...failing, ...calls]);
    await using _stopped = { [Symbol.asyncDispose]: () => server.stop() };
    const config = descriptorOf(OCI_CONFIG, CONFIG);
    await pushBlob(server.url, "app", CONFIG);
    const statuses: number[] = [];
    // More than a checkpoint waits for.
    for (let pushed = 0; pushed < 60 && statuses.at(-1) !== 500; pushed++) {
      const manifest = imageManifest(config, [], { annotations: { filler: `${pushed}`.padEnd(1_000_000) } });
      const { status } = await putManifest(server.url, "app", `v${pushed}`, manifest);
      statuses.push(status);
    }
    expect([statuses[0], statuses.at(-1)]).toEqual([201, 500]);
    expect((await fetch(`${server.url}/readyz`)).status).toBeGreaterThanOrEqual(500);
    expect((await fetch(`${server.url}/v2/app/manifests/v0`)).status).toBe(200);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});
