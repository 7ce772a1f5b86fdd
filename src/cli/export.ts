/** `stowage export`: copies images of this registry into a folder or a file. */
import { isIP } from "node:net";
import type { Settings } from "../config/schema.ts";
import { folderPath } from "../lib/folder-path.ts";
import { formatSize } from "../lib/size.ts";
import type { Platform } from "../oci/descriptor.ts";
import { parseDigest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { parseTag } from "../oci/tag.ts";
import { silentLogger } from "../observe/logger.ts";
import { Exporter } from "../registry/export/exporter.ts";
import type { ExportedReference } from "../registry/export/exporter.ts";
import { openLayoutFolder } from "../registry/export/layout-folder.ts";
import { openLayoutTar } from "../registry/export/layout-tar.ts";
import { ExportError } from "../registry/export/layout-writer.ts";
import type { Namespace } from "../registry/namespace.ts";
import { addressOf } from "./address.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print, printError } from "./print.ts";
import { showProgress } from "./progress.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage export [REPOSITORY[:TAG|@DIGEST]…] --to FOLDER|FILE.tar [options]: copies images into an OCI image layout; the server
may be running

  stowage export --to ./layout                              all tags of all repositories, into a folder
  stowage export team/app team/web:v1 --to images.tar       one repository, and one image, into a tar archive
  stowage export team/app:v1 --to image.tar --format docker an archive for docker load, also of old versions

Images come with all their platforms and referrers, byte by byte, and their digests are verified. A folder may hold a layout
already: what is in it stays, and blobs that are there are not written again, so repeat the command when it is interrupted.
stowage import, skopeo (oci:FOLDER:v1, oci-archive:FILE.tar:v1), crane, oras, containerd and docker 25 read what is written.
Names of images begin with the host of http.host, or with localhost and the port.

  --to FOLDER|FILE.tar  where the images are written to
  --format oci|docker   docker: a tar archive that docker load reads, with one platform of each image (oci)
  --platform OS/ARCH    the platform for docker (linux and the architecture of this machine)
  --no-referrers        leave signatures, attestations and other referrers out
  --quiet               print nothing but errors
  --json                print a JSON object

${SETTINGS_HELP}

Exit code: 0 complete, 1 some images could not be copied, each of which is named, or nothing was done.
`;

const MOST_WORDS = 1000;

async function exportImages(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      to: { type: "string" },
      format: { type: "string", default: "oci" },
      platform: { type: "string" },
      "no-referrers": { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    maxWords: MOST_WORDS,
  });
  if (!line) return 0;
  const { values, positionals } = line;
  const wanted = positionals.map(wantedOf);
  const { to, format } = values;
  if (to === undefined)
    throw new CommandError("export takes --to: stowage export team/app --to FOLDER, or --to FILE.tar");
  const target = folderPath(to);
  const isTar = target.endsWith(".tar");
  const docker = dockerPlatform(format, values.platform);
  if (docker && !isTar) throw new CommandError("--format docker writes a tar archive: write --to FILE.tar");
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  await checkWanted(registry.namespace, wanted);
  await using writer = await (isTar ? openLayoutTar(target) : openLayoutFolder(target)).catch(refused);
  const progress = showProgress("exported:");
  const exporter = new Exporter(registry.namespace, writer, {
    host: hostOf(settings),
    referrers: !values["no-referrers"],
    severalRepositories: wanted.length === 0 || new Set(wanted.map(({ name }) => name)).size > 1,
    docker,
    onStep: ({ images, bytes }) => progress.update(images, undefined, (many) => `${many} images, ${formatSize(bytes)}`),
    onFailure: (image, error) => {
      progress.end();
      printError(`stowage: ${image} was not exported: ${error instanceof Error ? error.message : String(error)}\n`);
    },
  });
  try {
    for await (const { name, reference } of wanted.length > 0 ? wanted : all(registry.namespace)) {
      await (reference ? exporter.image(name, reference) : exporter.repository(name));
    }
    await exporter.finish();
  } catch (error) {
    refused(error);
  }
  progress.end();
  const { images, blobs, bytes, unchanged, failures } = exporter.counts;
  if (values.json) print(`${JSON.stringify(exporter.counts)}\n`);
  else if (!values.quiet) {
    print(
      `${images} images were exported to ${target}: ${blobs} blobs and manifests (${formatSize(bytes)}) were written, ` +
        `${unchanged} were there; ${failures} images failed.\n`,
    );
  }
  return failures > 0 ? 1 : 0;
}

interface Wanted {
  readonly name: RepositoryName;
  /** All tags when absent. */
  readonly reference?: ExportedReference;
}

async function* all(namespace: Namespace): AsyncGenerator<Wanted> {
  for await (const name of namespace.repositories()) yield { name };
}

function wantedOf(word: string): Wanted {
  const mark = word.search(/[@:]/);
  if (mark < 0) return { name: repositoryIn(word) };
  const name = repositoryIn(word.slice(0, mark));
  const rest = word.slice(mark + 1);
  const digest = word[mark] === "@" ? parseDigest(rest) : undefined;
  if (digest !== undefined) return { name, reference: { digest } };
  const tag = word[mark] === ":" ? parseTag(rest) : undefined;
  if (tag !== undefined) return { name, reference: { tag } };
  throw new CommandError(`${word} is no image: write team/app:v1, or team/app@sha256:… with 64 digits`);
}

/** A mistyped name is found before anything is written. */
async function checkWanted(namespace: Namespace, wanted: readonly Wanted[]): Promise<void> {
  for (const { name } of wanted) {
    if (await namespace.repository(name).exists()) continue;
    throw new CommandError(`there is no repository ${name}: stowage repo list shows all repositories`);
  }
}

function dockerPlatform(format: string, platform: string | undefined): Platform | undefined {
  if (format !== "oci" && format !== "docker") throw new CommandError("--format is oci or docker");
  if (format === "oci") {
    if (platform === undefined) return undefined;
    throw new CommandError("--platform goes with --format docker: a layout holds all platforms");
  }
  const here = { x64: "amd64", ia32: "386" }[process.arch as string] ?? process.arch;
  const [os, architecture, variant, ...more] = (platform ?? `linux/${here}`).split("/");
  if (!os || !architecture || variant === "" || more.length > 0) {
    throw new CommandError("--platform is written like linux/amd64, or linux/arm/v7");
  }
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** How clients of this machine call the registry: they can push what they have loaded. */
function hostOf({ http }: Settings): string {
  if (http.host !== undefined) return new URL(http.host).host;
  const address = addressOf(http.addr);
  if (address.kind === "unix" || address.port === 0) return "localhost";
  const isLocal = isIP(address.hostname) !== 0 || address.hostname === "localhost";
  return `${isLocal ? "localhost" : address.hostname}:${address.port}`;
}

function refused(error: unknown): never {
  if (!(error instanceof ExportError)) throw error;
  throw new CommandError(error.message, { cause: error });
}

export { exportImages as export };
