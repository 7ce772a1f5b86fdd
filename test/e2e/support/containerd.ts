/** A containerd of its own, on a socket in a folder. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run, startDaemon, throwWhenEnded } from "./programs.ts";
import type { Daemon } from "./programs.ts";
import { until } from "./until.ts";

/** Containerd with its data in `folder`; resolves when it answers. */
export async function startContainerd(folder: string): Promise<Daemon> {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "containerd.toml"),
    `version = 2
root = "${folder}/containerd/root"
state = "${folder}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${containerdSocketOf(folder)}"
`,
  );
  const containerd = startDaemon("containerd", ["--config", join(folder, "containerd.toml")]);
  try {
    await until("containerd answers", async () => {
      throwWhenEnded("containerd", containerd);
      await run("ctr", ["--address", containerdSocketOf(folder), "version"]);
      return true;
    });
    return containerd;
  } catch (error) {
    await containerd[Symbol.asyncDispose]();
    throw error;
  }
}

export function containerdSocketOf(folder: string): string {
  return join(folder, "containerd.sock");
}
