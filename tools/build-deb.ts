/**
 * Builds the Debian package: `npm run build:deb -- [amd64] [arm64] [--out FOLDER]`; for this machine when no architecture is
 * named. Needs dpkg-deb. The same commit gives the same bytes.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import manifest from "../package.json";
import { HELP } from "../src/cli/run.ts";
import { buildExecutable } from "./build-executable.ts";
import type { Target } from "./build-executable.ts";
import { currentCommit } from "./commit.ts";
import type { Commit } from "./commit.ts";
import { runProgram } from "./image/run-program.ts";

const ROOT = resolve(import.meta.dir, "..");
const PACKAGING = join(ROOT, "packaging");

const TARGETS = { amd64: "linux-x64", arm64: "linux-arm64" } as const satisfies Record<string, Target>;

export type DebianArchitecture = keyof typeof TARGETS;

/** By the path in the package: the file below packaging/ that lies there. */
const FILES: Readonly<Record<string, string>> = {
  "usr/bin/stowage": "debian/stowage",
  "etc/stowage/config.yml": "debian/config.yml",
  "lib/systemd/system/stowage.service": "debian/stowage.service",
  "usr/share/bash-completion/completions/stowage": "completions/stowage.bash",
  "usr/share/zsh/vendor-completions/_stowage": "completions/_stowage",
  "usr/share/fish/vendor_completions.d/stowage.fish": "completions/stowage.fish",
  "usr/share/lintian/overrides/stowage": "debian/lintian-overrides",
  "DEBIAN/postinst": "debian/postinst",
  "DEBIAN/prerm": "debian/prerm",
  "DEBIAN/postrm": "debian/postrm",
};

const EXECUTABLES: readonly string[] = [
  "usr/bin/stowage",
  "usr/lib/stowage/stowage",
  "DEBIAN/postinst",
  "DEBIAN/prerm",
  "DEBIAN/postrm",
];

/** Writes the package into `folder` and returns its path. */
export async function buildDeb(architecture: DebianArchitecture, folder: string, commit: Commit): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "stowage-deb-"));
  try {
    const put = async (path: string, content: string | Uint8Array): Promise<void> => {
      await mkdir(join(root, dirname(path)), { recursive: true });
      await writeFile(join(root, path), content);
    };
    for (const [path, from] of Object.entries(FILES)) await put(path, await readFile(join(PACKAGING, from)));
    const { time } = commit;
    await put("usr/share/man/man1/stowage.1.gz", gzipSync(await manualPage(commit), { level: 9 }));
    await put("usr/share/doc/stowage/changelog.gz", gzipSync(changelog(time), { level: 9 }));
    await put("usr/share/doc/stowage/copyright", COPYRIGHT);
    await mkdir(join(root, "usr/lib/stowage"), { recursive: true });
    await buildExecutable(TARGETS[architecture], join(root, "usr/lib/stowage/stowage"), commit);

    const paths = (await readdir(root, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
      .filter((path) => !path.startsWith("DEBIAN/"))
      .toSorted();
    const sums = await Promise.all(paths.map(async (path) => `${await md5Of(join(root, path))}  ${path}\n`));
    await put("DEBIAN/md5sums", sums.join(""));
    await put("DEBIAN/conffiles", "/etc/stowage/config.yml\n");
    const sizes = await Promise.all(paths.map(async (path) => (await stat(join(root, path))).size));
    await put(
      "DEBIAN/control",
      control(
        architecture,
        sizes.reduce((sum, size) => sum + size, 0),
      ),
    );
    await runProgram(["chmod", "-R", "u=rwX,go=rX", root]);
    for (const path of EXECUTABLES) await chmod(join(root, path), 0o755);

    await mkdir(folder, { recursive: true });
    const file = join(folder, `stowage_${manifest.version}_${architecture}.deb`);
    const env = { SOURCE_DATE_EPOCH: String(time) };
    // xz would save a quarter of the size and take ten times as long.
    await runProgram(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", root, file], { env });
    return file;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

function control(architecture: DebianArchitecture, bytes: number): string {
  return `Package: stowage
Version: ${manifest.version}
Architecture: ${architecture}
Maintainer: The Stowage authors <stowage@localhost>
Installed-Size: ${Math.ceil(bytes / 1024)}
Depends: adduser, libc6 (>= 2.17)
Section: net
Priority: optional
Description: OCI container registry
 The server behind docker push and docker pull, with one data folder and no
 other service. A push is acknowledged only when its bytes are safe on the disk.
 .
 It replaces registry:2 and registry:3, reads their settings file, and adds
 users, policies, online garbage collection, integrity checks and backup.
`;
}

const COPYRIGHT = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Stowage

Files: *
Copyright: 2026 The Stowage authors
License: Apache-2.0
 On Debian systems the text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
Comment: /usr/lib/stowage/stowage contains Bun, which is under the MIT License
 and linked with JavaScriptCore under the LGPL 2.1
 (/usr/share/common-licenses/LGPL-2.1).
`;

/** In Debian's format, as a package of its own has it. */
function changelog(time: number): string {
  const date = new Date(time * 1000).toUTCString().replace("GMT", "+0000");
  return `stowage (${manifest.version}) unstable; urgency=medium

  * See CHANGELOG.md of the project.

 -- The Stowage authors <stowage@localhost>  ${date}
`;
}

/** The commands are those that `stowage --help` lists. */
async function manualPage({ time }: Commit): Promise<string> {
  const page = await readFile(join(PACKAGING, "stowage.1"), "utf8");
  const commands = [...HELP.matchAll(/^ {2}stowage ([a-z].*?) {2,}(.*)$/gm)].map(
    ([, usage = "", text = ""]) => `.TP\n.B ${roff(usage)}\n${roff(text)}`,
  );
  return page
    .replace("@DATE@", new Date(time * 1000).toISOString().slice(0, 10))
    .replace("@VERSION@", manifest.version)
    .replace("@COMMANDS@", () => commands.join("\n"));
}

function roff(text: string): string {
  return text.replaceAll("-", "\\-").replaceAll("…", "...");
}

async function md5Of(path: string): Promise<string> {
  return createHash("md5")
    .update(await readFile(path))
    .digest("hex");
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ options: { out: { type: "string" } }, allowPositionals: true });
  const architectures = positionals.length > 0 ? positionals : [process.arch === "x64" ? "amd64" : process.arch];
  for (const architecture of architectures) {
    if (!Object.hasOwn(TARGETS, architecture))
      throw new Error(`no package can be built for ${architecture}: name amd64 or arm64`);
    const folder = resolve(values.out ?? join(ROOT, "release"));
    console.log(await buildDeb(architecture as DebianArchitecture, folder, currentCommit()));
  }
}
