/** The peers that are written in Go. `go.mod` pins their versions; each is built once. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cached, make } from "../../test/clients/support/cache.ts";

const PACKAGES = {
  distribution: "github.com/distribution/distribution/v3/cmd/registry",
  olareg: "github.com/olareg/olareg/cmd/olareg",
} as const;

export type GoPeer = keyof typeof PACKAGES;

/** The path of its program, which is built when this version has not been yet. */
export async function goPeer(name: GoPeer): Promise<string> {
  const folder = await cached(`${name}-${versionOf(name)}`, (target) =>
    make("go", ["build", "-buildvcs=false", "-o", join(target, name), PACKAGES[name]], import.meta.dir, {
      CGO_ENABLED: "0",
    }),
  );
  return join(folder, name);
}

/** The version that is pinned, such as `v3.1.1`. */
export function versionOf(name: GoPeer): string {
  const pins = readFileSync(join(import.meta.dir, "go.mod"), "utf8").matchAll(/^\s+(\S+) (v\S+)/gm);
  for (const [, module = "", version = ""] of pins) if (PACKAGES[name].startsWith(`${module}/`)) return version;
  throw new Error(`go.mod does not pin ${PACKAGES[name]}`);
}

/** The path of a program that the machine must have. */
export function systemProgram(name: "nginx" | "wrk"): string {
  const path = Bun.which(name, { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` });
  if (path === null) throw new Error(`The program ${name} is missing: apt-get install --no-install-recommends ${name}`);
  return path;
}
