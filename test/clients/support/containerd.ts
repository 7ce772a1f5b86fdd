/** A containerd of its own, on a socket in a folder. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run, startDaemon, throwWhenEnded } from "./programs.ts";
import type { Daemon, Runnable } from "./programs.ts";
import { until } from "./until.ts";

export interface ContainerdPrograms {
  readonly containerd: Runnable;
  readonly ctr: Runnable;
}

export const DEBIAN: ContainerdPrograms = { containerd: "containerd", ctr: "ctr" };

/** What would use sockets and folders of the machine, in this version or in a newer one. */
const DISABLED = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.internal.v1.opt",
  "io.containerd.nri.v1.nri",
];

/** Containerd with its data in `folder`, and `more` in its settings; resolves when it answers. */
export async function startContainerd(folder: string, { containerd, ctr } = DEBIAN, more = ""): Promise<Daemon> {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "containerd.toml"),
    `version = 2
root = "${folder}/containerd/root"
state = "${folder}/containerd/state"
disabled_plugins = ${JSON.stringify(DISABLED)}
[grpc]
address = "${containerdSocketOf(folder)}"
${more}`,
  );
  const daemon = startDaemon(containerd, ["--config", join(folder, "containerd.toml")]);
  try {
    await until("containerd answers", async () => {
      throwWhenEnded("containerd", daemon);
      await run(ctr, ["--address", containerdSocketOf(folder), "version"]);
      return true;
    });
    return daemon;
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

export function containerdSocketOf(folder: string): string {
  return join(folder, "containerd.sock");
}
