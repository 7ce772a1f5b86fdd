/**
 * The files that the executable needs in a container besides itself, out of Debian packages:
 *
 * - the C library, which Bun is linked with, also in its build for musl;
 * - certificates of authorities, for `NODE_USE_SYSTEM_CA=1`; Bun has its own;
 * - BusyBox: health checks of compose files run `wget`, and people look around with `docker exec -it registry sh`.
 *
 * Time zones are in Bun. apt brings the packages from where this machine has its own, checked by Debian's signatures.
 */
import { createHash } from "node:crypto";
import { copyFile, lstat, mkdir, readFile, readdir, readlink, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { runProgram, outputOf } from "./run-program.ts";

/** As Debian calls them. */
export type Architecture = "amd64" | "arm64";

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: string;
}

/** What is taken out of each package; `TRIPLET` stands for the folder of the architecture's libraries. */
const FILES: Readonly<Record<string, readonly RegExp[]>> = {
  "base-files": [/^etc\/(?:debian_version|os-release)$/, /^usr\/lib\/os-release$/],
  libc6: [
    /^lib(?:64)?\/(?:[\w-]+\/)?ld-linux-[\w-]+\.so\.\d$/,
    /^lib\/[\w-]+\/lib(?:c|m|mvec|dl|pthread|rt|resolv|nss_dns|nss_files)\.so\.\d$/,
  ],
  "ca-certificates": [],
  "busybox-static": [/^bin\/busybox$/],
};

/** Commands of BusyBox that have a name of their own. */
const COMMANDS =
  "cat chmod chown cp cut date df du echo env false find grep gunzip gzip head hostname id kill less ln ls md5sum mkdir mv " +
  "nslookup od ping ps pwd readlink rm sed sh sha256sum sleep sort stat tail tar test touch tr true uname vi wc wget which xargs";

const ACCOUNTS: Readonly<Record<string, string>> = {
  // The group is root's: any user ID works then that a platform such as OpenShift chooses.
  "etc/passwd":
    "root:x:0:0:root:/root:/bin/sh\nstowage:x:1000:0:Stowage:/var/lib/registry:/bin/sh\n" +
    "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
  "etc/group": "root:x:0:\nstowage:x:1000:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

/**
 * Lays the files out in the empty folder `root` and returns the packages that they are of; `cache` keeps what apt downloads.
 * Rejects without apt and dpkg.
 */
export async function layOutBase(
  root: string,
  architecture: Architecture,
  cache: string,
): Promise<readonly DebianPackage[]> {
  const archives = await download(Object.keys(FILES), architecture, cache);
  for (const folder of ["bin", "sbin", "lib", "lib64"]) {
    await mkdir(join(root, "usr", folder), { recursive: true });
    await symlink(`usr/${folder}`, join(root, folder));
  }
  for (const folder of ["etc", "root", "run", "tmp", "var/lib/dpkg/status.d"]) {
    await mkdir(join(root, folder), { recursive: true });
  }
  const packages: DebianPackage[] = [];
  for (const archive of archives) packages.push(await unpack(archive, root, cache));
  for (const command of COMMANDS.split(" ")) await symlink("busybox", join(root, "usr/bin", command));
  for (const [path, text] of Object.entries(ACCOUNTS)) await writeFile(join(root, path), text);
  return packages;
}

/** The newest packages of the Debian release that apt is set up for here, whatever the architecture of this machine. */
async function download(
  names: readonly string[],
  architecture: Architecture,
  cache: string,
): Promise<readonly string[]> {
  const state = join(cache, architecture);
  const folder = join(state, "packages");
  for (const each of [folder, join(state, "lists/partial"), join(state, "archives/partial")]) {
    await mkdir(each, { recursive: true });
  }
  await writeFile(join(state, "status"), "");
  const options = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State=${state}`,
    `Dir::State::status=${join(state, "status")}`,
    `Dir::Cache=${state}`,
    "APT::Sandbox::User=root", // apt's own user cannot write into the folder of another one
  ].flatMap((option) => ["-o", option]);
  await runProgram(["apt-get", ...options, "update", "-qq"]);
  await runProgram(["apt-get", ...options, "download", "-qq", ...names], { cwd: folder });
  const versions = await outputOf(["apt-cache", ...options, "--no-all-versions", "show", ...names]);
  const expected = new Set([...versions.matchAll(/^Filename: (.*)$/gm)].map(([, path = ""]) => basename(path)));
  const files = await readdir(folder);
  // A name on disk has the epoch of the version, one in the list has none.
  const found = files.filter((file) => expected.has(file.replace(/_\d+%3a/, "_")));
  if (found.length !== names.length) throw new Error(`apt downloaded ${found.join(", ")}, and not ${names.join(", ")}`);
  return found.toSorted().map((file) => join(folder, file));
}

async function unpack(archive: string, root: string, cache: string): Promise<DebianPackage> {
  const control = await outputOf(["dpkg-deb", "--field", archive]);
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1] ?? "";
  const name = field("Package");
  const unpacked = join(cache, "unpacked", basename(archive));
  await mkdir(unpacked, { recursive: true });
  await runProgram(["dpkg-deb", "--extract", archive, unpacked]);
  for (const path of (await readdir(unpacked, { recursive: true })).toSorted()) {
    const isWanted = path === `usr/share/doc/${name}/copyright` || FILES[name]?.some((pattern) => pattern.test(path));
    if (isWanted) await copyInto(root, path, join(unpacked, path));
  }
  if (name === "ca-certificates") await bundleCertificates(join(unpacked, "usr/share/ca-certificates/mozilla"), root);
  // Where programs that look for known vulnerabilities find out what is installed.
  await writeFile(join(root, "var/lib/dpkg/status.d", name), `${control.trim()}\n`);
  const sha256 = createHash("sha256")
    .update(await readFile(archive))
    .digest("hex");
  return { name, version: field("Version"), architecture: field("Architecture"), sha256 };
}

/** The folders at the top are links into usr/ in the image, as Debian has them. */
async function copyInto(root: string, path: string, from: string): Promise<void> {
  const to = join(root, path.replace(/^(?=(?:bin|sbin|lib|lib64)\/)/, "usr/"));
  await mkdir(dirname(to), { recursive: true });
  if ((await lstat(from)).isSymbolicLink()) await symlink(await readlink(from), to);
  else await copyFile(from, to);
}

/** As update-ca-certificates does it. */
async function bundleCertificates(folder: string, root: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".crt")).toSorted();
  const certificates = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  const path = join(root, "etc/ssl/certs/ca-certificates.crt");
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, certificates.map((text) => `${text.trim()}\n`).join(""));
}
