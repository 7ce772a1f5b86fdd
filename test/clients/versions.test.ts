/** The table of clients in the README names the versions that these tests run. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/registry.ts";
import { WKG_VERSION } from "./support/clients.ts";
import { versionOf } from "./support/go-clients.ts";
import { run } from "./support/programs.ts";

const README = readFileSync(join(ROOT, "README.md"), "utf8");

const GO = {
  buildx: "buildx imagetools",
  containerd: "containerd and ctr",
  cosign2: "cosign",
  cosign3: "cosign",
  crane: "crane",
  ctr: "containerd and ctr",
  helm: "helm",
  notation: "notation",
  oras: "oras",
  regctl: "regctl",
} as const;

const DEBIAN = {
  buildah: "buildah",
  containerd: "containerd and ctr",
  docker: "docker, engine and CLI",
  dockerd: "docker, engine and CLI",
  podman: "podman",
  skopeo: "skopeo",
} as const;

for (const [client, row] of Object.entries(GO)) {
  test(`${client}, as it is pinned`, () => {
    expect(versionsOf(row)).toContain(versionOf(client as keyof typeof GO).slice(1));
  });
}

for (const [program, row] of Object.entries(DEBIAN)) {
  test(`${program}, as Debian has it`, async () => {
    const { stdout } = await run(program as keyof typeof DEBIAN, ["--version"]);
    expect(versionsOf(row)).toContain(/\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "none");
  });
}

test("oras-py, as it is pinned", () => {
  const pins = readFileSync(join(import.meta.dir, "oras-py/requirements.txt"), "utf8").split("\n");
  expect(pins).toContain(`oras==${versionsOf("oras-py")[0]}`);
});

test("wkg, as it is pinned", () => {
  expect(versionsOf("wkg")).toEqual([WKG_VERSION]);
});

test("@sigstore/oci, as it is pinned", () => {
  const manifest = readFileSync(join(import.meta.dir, "sigstore-oci/package.json"), "utf8");
  expect(manifest).toContain(`"@sigstore/oci": "${versionsOf("@sigstore/oci")[0]}"`);
});

function versionsOf(client: string): readonly string[] {
  const row = README.split("\n").find((line) => line.startsWith(`| ${client} |`)) ?? "";
  return row.split("|")[2]?.trim().split(", ") ?? [];
}
