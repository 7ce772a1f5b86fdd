/** Skopeo reads what `stowage export` wrote, and `stowage import` what skopeo wrote. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { pushImage } from "../../src/registry/push-image.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { requirePrograms, run } from "./support/programs.ts";

setDefaultTimeout(120_000);
requirePrograms("skopeo");

test("skopeo reads layouts and docker archives of export, and import reads its docker archive", async () => {
  const scratch = await scratchFolder();
  const [data, folder, tar, docker, old] = ["data", "layout", "layout.tar", "docker.tar", "old.tar"].map(
    (name) => `${scratch}/${name}`,
  ) as [string, string, string, string, string];
  await using registry = await createRegistry({ storage: { folder: data } });
  const index = await pushImage(registry.namespace, "team/app:v1", { platforms: ["linux/amd64", "linux/arm64"] });
  await pushImage(registry.namespace, "team/web:v1");
  for (const words of [
    ["team/app", "--to", folder],
    ["--to", tar],
    ["--to", docker, "--format", "docker"],
  ]) {
    expect((await runProgram(data, ["export", ...words])).exitCode).toBe(0);
  }
  const raw = await registry.fetch(new Request(`http://registry/v2/team/app/manifests/${index.digest}`));
  const text = await raw.text();
  for (const reference of [`oci:${folder}:v1`, `oci-archive:${tar}:team/app:v1`]) {
    expect((await run("skopeo", ["inspect", "--raw", reference])).stdout).toBe(text);
  }
  await run("skopeo", ["copy", "--all", `oci:${folder}:v1`, `oci:${scratch}/copy:v1`]);
  const loaded = `docker-archive:${docker}:localhost:5000/team/web:v1`;
  await run("skopeo", ["copy", "--insecure-policy", loaded, `docker-archive:${old}:team/old:v1`]);
  expect((await runProgram(data, ["import", old])).exitCode).toBe(0);
  expect((await registry.fetch(new Request("http://registry/v2/team/old/manifests/v1"))).status).toBe(200);
});
