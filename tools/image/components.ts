/** What is in the image besides Stowage's own code, as the SBOM and the provenance name it. */
import lock from "../../package-lock.json";
import type { DebianPackage } from "./debian-base.ts";

export interface Component {
  readonly name: string;
  readonly version: string;
  /** As package URLs spell it (https://github.com/package-url/purl-spec). */
  readonly purl: string;
  /** An SPDX expression; undefined when only the package's own files tell. */
  readonly license: string | undefined;
  readonly checksum: { readonly algorithm: "sha256" | "sha512"; readonly hex: string };
}

interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
}

const PACKAGES: Readonly<Record<string, LockedPackage>> = lock.packages;

/** The npm packages whose code is in the program, by package-lock.json: all but those for development. */
export function bundledPackages(): readonly Component[] {
  return Object.entries(PACKAGES)
    .filter(([path, { dev = false }]) => path !== "" && !dev)
    .map(([path]) => npmComponent(path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length), path))
    .toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
}

/** The npm package with the runtime of an executable, such as `@oven/bun-linux-x64`. */
export function runtimeComponent(name: string): Component {
  return npmComponent(name, `node_modules/${name}`);
}

function npmComponent(name: string, path: string): Component {
  const { version = "", integrity = "", license } = PACKAGES[path] ?? {};
  const [algorithm = "", base64 = ""] = integrity.split("-");
  if (version === "" || algorithm !== "sha512") throw new Error(`package-lock.json has no SHA-512 of ${path}`);
  const hex = Buffer.from(base64, "base64").toString("hex");
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  return { name, version, purl, license, checksum: { algorithm, hex } };
}

export function debianComponent({ name, version, architecture, sha256 }: DebianPackage): Component {
  return {
    name,
    version,
    purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`,
    license: undefined,
    checksum: { algorithm: "sha256", hex: sha256 },
  };
}
