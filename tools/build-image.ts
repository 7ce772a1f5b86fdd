/**
 * Builds the container image as an OCI layout, without a container engine:
 * `npm run build:image -- [--platform linux/amd64,linux/arm64] [--out FOLDER]`. Needs apt, dpkg and GNU tar, so a Debian.
 *
 * ```
 * index                       one image for each platform
 *   image linux/amd64         <- SBOM (SPDX)
 *     layer 1                 the C library and a few tools, out of Debian packages
 *     layer 2                 the executable, and the settings
 *     layer 3                 the empty data folder
 * <- provenance (SLSA)
 * ```
 *
 * The same commit and the same versions of the Debian packages, which the SBOM names, give the same bytes.
 */
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import manifest from "../package.json";
import { TARGETS, buildExecutable } from "./build-executable.ts";
import type { Target } from "./build-executable.ts";
import { currentCommit } from "./commit.ts";
import type { Commit } from "./commit.ts";
import { bundledPackages, debianComponent, runtimeComponent } from "./image/components.ts";
import type { Component } from "./image/components.ts";
import { layOutBase } from "./image/debian-base.ts";
import type { Architecture } from "./image/debian-base.ts";
import { INDEX, OciLayout } from "./image/oci-layout.ts";
import type { Descriptor, Layer } from "./image/oci-layout.ts";
import { IN_TOTO, SLSA_PROVENANCE, provenanceOf } from "./image/provenance.ts";
import { runProgram } from "./image/run-program.ts";
import { SPDX, sbomOf } from "./image/sbom.ts";

const ROOT = resolve(import.meta.dir, "..");

interface Platform {
  readonly target: Target;
  readonly architecture: Architecture;
  readonly variant?: string;
}

const PLATFORMS: Readonly<Record<string, Platform>> = {
  "linux/amd64": { target: "linux-x64", architecture: "amd64" },
  "linux/arm64": { target: "linux-arm64", architecture: "arm64", variant: "v8" },
};

/** The user and group of the server; the group is root's, so that any user without a group of its own can write. */
const USER = { id: 1000, group: 0 } as const;

const ROOT_USER = { id: 0, group: 0 } as const;

const DATA = "var/lib/registry";

/** Where distribution looks in its second and in its third version. The first one is a link, so that a file at either counts. */
const SETTINGS = { second: "etc/docker/registry/config.yml", third: "etc/distribution/config.yml" } as const;

/** Writes the layout into `folder`, which is deleted first, tagged with the version and `latest`. */
export async function buildImage(folder: string, platforms: readonly string[], commit: Commit): Promise<Descriptor> {
  await rm(folder, { recursive: true, force: true });
  const layout = await OciLayout.create(folder);
  const images: Descriptor[] = [];
  const components = new Map<string, Component>();
  for (const name of platforms) {
    const platform = PLATFORMS[name];
    if (!platform) throw new Error(`${name} is no platform: name some of ${Object.keys(PLATFORMS).join(", ")}`);
    const { image, contents } = await addPlatform(layout, platform, commit);
    const document = sbomOf(name, contents, commit);
    await layout.attach(image, { mediaType: SPDX, document, annotations: createdAt(commit) });
    images.push(image);
    for (const component of contents) components.set(component.purl, component);
  }
  const annotations = annotationsOf(commit);
  const index = await layout.addJson(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests: images, annotations });
  await layout.attach(index, {
    mediaType: IN_TOTO,
    document: provenanceOf(index, [...components.values()], commit),
    annotations: { ...createdAt(commit), "in-toto.io/predicate-type": SLSA_PROVENANCE },
  });
  layout.tag(index, manifest.version, "latest");
  await layout.finish();
  return index;
}

async function addPlatform(layout: OciLayout, { target, architecture, variant }: Platform, commit: Commit) {
  const scratch = await mkdtemp(join(tmpdir(), "stowage-image-"));
  try {
    const [base, program, data] = [join(scratch, "base"), join(scratch, "program"), join(scratch, "data")];
    const packages = await layOutBase(base, architecture, join(scratch, "apt"));
    await layOutProgram(program, target, commit);
    await mkdir(join(data, DATA), { recursive: true });
    const archives = [
      await archiveOf(base, { owner: ROOT_USER, members: await readdir(base), modes: { tmp: "1777" } }, commit),
      await archiveOf(program, { owner: ROOT_USER, members: await readdir(program) }, commit),
      await archiveOf(data, { owner: USER, members: [DATA], modes: { [DATA]: "0770" } }, commit),
    ];
    const layers: Layer[] = [];
    for (const archive of archives) layers.push(await layout.addLayer(archive));
    const platform = { architecture, os: "linux", ...(variant === undefined ? {} : { variant }) };
    const created = timeOf(commit);
    const config = {
      created,
      ...platform,
      config: configOf(commit),
      history: ["Debian packages", "Stowage", "data folder"].map((created_by) => ({ created, created_by })),
    };
    const image = await layout.addImage(config, layers, annotationsOf(commit));
    const contents = [
      runtimeComponent(TARGETS[target].runtime),
      ...bundledPackages(),
      ...packages.map((each) => debianComponent(each)),
    ];
    return { image: { ...image, platform }, contents };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function layOutProgram(root: string, target: Target, commit: Commit): Promise<void> {
  for (const each of ["usr/bin", "etc/distribution", "etc/docker/registry", "usr/share/doc/stowage"]) {
    await mkdir(join(root, each), { recursive: true });
  }
  await buildExecutable(target, join(root, "usr/bin/stowage"), commit);
  await symlink("stowage", join(root, "usr/bin/registry"));
  await copyFile(join(ROOT, "tools/image/config.yml"), join(root, SETTINGS.third));
  await symlink("../../distribution/config.yml", join(root, SETTINGS.second));
  await copyFile(join(ROOT, "LICENSE"), join(root, "usr/share/doc/stowage/copyright"));
}

interface Contents {
  readonly owner: { readonly id: number; readonly group: number };
  /** What is packed, with all that lies below it. */
  readonly members: readonly string[];
  /** Modes that are not those of ordinary files and folders. */
  readonly modes?: Readonly<Record<string, string>>;
}

/** Packs files below `root` so that the same files give the same bytes (https://reproducible-builds.org/docs/archives/). */
async function archiveOf(root: string, { owner, members, modes = {} }: Contents, { time }: Commit): Promise<string> {
  const archive = `${root}.tar`;
  // The umask of who builds does not matter: all may read, and run what can be run.
  await runProgram(["chmod", "-R", "u=rwX,go=rX", root]);
  for (const [path, mode] of Object.entries(modes)) await chmod(join(root, path), mode);
  await runProgram([
    "tar",
    "--create",
    `--file=${archive}`,
    `--directory=${root}`,
    "--format=ustar",
    "--sort=name",
    `--mtime=@${time}`,
    `--owner=${owner.id}`,
    `--group=${owner.group}`,
    "--numeric-owner",
    ...members.toSorted(),
  ]);
  return archive;
}

function configOf(commit: Commit): object {
  return {
    User: `${USER.id}:${USER.group}`,
    ExposedPorts: { "5000/tcp": {} },
    Env: ["PATH=/usr/bin:/bin", `REGISTRY_CONFIGURATION_PATH=/${SETTINGS.second}`],
    Entrypoint: ["/usr/bin/stowage"],
    Cmd: ["serve"],
    Volumes: { [`/${DATA}`]: {} },
    WorkingDir: "/",
    Labels: annotationsOf(commit),
    StopSignal: "SIGTERM",
  };
}

/** https://github.com/opencontainers/image-spec/blob/main/annotations.md */
function annotationsOf(commit: Commit): Readonly<Record<string, string>> {
  return {
    ...createdAt(commit),
    "org.opencontainers.image.title": "Stowage",
    "org.opencontainers.image.description": manifest.description,
    "org.opencontainers.image.version": manifest.version,
    "org.opencontainers.image.licenses": manifest.license,
    ...(commit.id === undefined ? {} : { "org.opencontainers.image.revision": commit.id }),
  };
}

function createdAt(commit: Commit): Readonly<Record<string, string>> {
  return { "org.opencontainers.image.created": timeOf(commit) };
}

function timeOf({ time }: Commit): string {
  return new Date(time * 1000).toISOString().replace(/\.\d+/, "");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { out: { type: "string" }, platform: { type: "string", default: Object.keys(PLATFORMS).join(",") } },
  });
  const folder = resolve(values.out ?? join(ROOT, "release/image"));
  const { digest } = await buildImage(folder, values.platform.split(","), currentCommit());
  console.log(`${folder}: ${digest}`);
}
