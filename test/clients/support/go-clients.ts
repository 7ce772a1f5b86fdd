/** Clients written in Go. `tools/go.mod` pins their versions; each is built once. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cached, make } from "./cache.ts";

const MODULE = join(import.meta.dir, "../tools");

const PACKAGES = {
  buildx: "github.com/docker/buildx/cmd/buildx",
  containerd: "github.com/containerd/containerd/v2/cmd/containerd",
  cosign2: "github.com/sigstore/cosign/v2/cmd/cosign",
  cosign3: "github.com/sigstore/cosign/v3/cmd/cosign",
  crane: "github.com/google/go-containerregistry/cmd/crane",
  ctr: "github.com/containerd/containerd/v2/cmd/ctr",
  helm: "helm.sh/helm/v4/cmd/helm",
  notation: "github.com/notaryproject/notation/cmd/notation",
  oras: "oras.land/oras/cmd/oras",
  pebble: "github.com/letsencrypt/pebble/v2/cmd/pebble",
  regctl: "github.com/regclient/regclient/cmd/regctl",
} as const;

/** Without cgo and btrfs, so that a compiler of C and its headers are not needed. */
const BUILD = ["build", "-buildvcs=false", "-tags", "no_btrfs"];

export type GoProgram = keyof typeof PACKAGES;

/** All but the authority for certificates. */
export type GoClient = Exclude<GoProgram, "pebble">;

/** The path of a client's program, which is built when this version has not been yet. */
export async function goClient(name: GoProgram): Promise<`/${string}`> {
  const folder = await cached(`${name}-${versionOf(name)}`, (target) =>
    make("go", [...BUILD, "-o", join(target, name), PACKAGES[name]], MODULE, { CGO_ENABLED: "0" }),
  );
  return join(folder, name) as `/${string}`;
}

/** The version that is pinned, such as `v0.21.9`. */
export function versionOf(name: GoProgram): string {
  const pins = readFileSync(join(MODULE, "go.mod"), "utf8").matchAll(/^\s+(\S+) (v\S+)/gm);
  for (const [, module = "", version = ""] of pins) if (PACKAGES[name].startsWith(`${module}/`)) return version;
  throw new Error(`tools/go.mod does not pin ${PACKAGES[name]}`);
}
