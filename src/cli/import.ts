/** `stowage import`: copies images of another registry, of a folder or of a file into this one. */
import { existsSync } from "node:fs";
import { formatSize } from "../lib/size.ts";
import { TarError } from "../lib/tar-archive.ts";
import { parseRepositoryName } from "../oci/repository-name.ts";
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import { silentLogger } from "../observe/logger.ts";
import { Importer } from "../registry/import/importer.ts";
import { openImageArchive } from "../registry/import/image-archive.ts";
import { SourceError } from "../registry/import/image-source.ts";
import type { ArchivedImage, ImageSource } from "../registry/import/image-source.ts";
import { RegistryClient } from "../registry/import/registry-client.ts";
import type { RegistryCredentials } from "../registry/import/registry-client.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print, printError } from "./print.ts";
import { showProgress } from "./progress.ts";
import { readForeignPassword } from "./read-password.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage import URL|PATH [REPOSITORY[:TAG]…] [options]: copies images of another registry, or of a folder or file, into
this one; the server may be running

  stowage import https://registry.example.com                       all repositories of its catalog
  stowage import https://registry.example.com team/app team/web:v1  one repository, and one image
  stowage import https://ghcr.io owner/app --below mirror           to mirror/owner/app
  stowage import ./layout                                           all images of an OCI image layout, by their names
  stowage import images.tar                                         the same of a tar archive, also one of docker save
  stowage import image.tar team/app:v2                              its only image, under this name

Images come with all their platforms and referrers, byte by byte, and their digests are verified. What is here already is not
transferred again: when the command is interrupted, or to bring a copy up to date, repeat it. Limits of the other registry are
waited for (Retry-After). Names in files lose the host of a registry: registry.example.com/team/app becomes team/app. Of a file
with one REPOSITORY all images go there, under their own tags; with REPOSITORY:TAG the one image, or the one with that tag.

  --below PREFIX        put the prefix before the names of repositories
  --username NAME       log in; the password is read from standard input
  --parallel COUNT      images of a registry that are copied at the same time (4)
  --quiet               print nothing but errors
  --json                print a JSON object

${SETTINGS_HELP}

Exit code: 0 complete, 1 some images could not be copied, each of which is named, or nothing was done.
`;

const MOST_PARALLEL = 32;
const MOST_WORDS = 1000;

async function importImages(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, {
    help: HELP,
    options: {
      ...SETTINGS_OPTIONS,
      below: { type: "string" },
      username: { type: "string" },
      parallel: { type: "string", default: "4" },
      quiet: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    maxWords: MOST_WORDS,
  });
  if (!line) return 0;
  const { values, positionals } = line;
  const { settings } = settingsFrom(values, environment);
  const [address, ...words] = positionals;
  const wanted = words.map(imageOf);
  const parallel = Number(values.parallel);
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > MOST_PARALLEL) {
    throw new CommandError(`--parallel is a number from 1 to ${MOST_PARALLEL}`);
  }
  const prefix = values.below === undefined ? "" : `${repositoryIn(values.below)}/`;
  const credentials =
    values.username === undefined ? undefined : { username: values.username, password: await readForeignPassword() };
  const origin = await originOf(address, { wanted, prefix, credentials });
  await using registry = await openRegistry(settings, silentLogger());
  const progress = showProgress("imported:");
  const importer = new Importer(registry.namespace, origin.source, {
    parallel,
    onStep: ({ tags, bytes }) => progress.update(tags, undefined, (many) => `${many} tags, ${formatSize(bytes)}`),
    onFailure: (image, error) => {
      progress.end();
      printError(`stowage: ${image} was not copied: ${error instanceof Error ? error.message : String(error)}\n`);
    },
  });
  await origin.copy(importer);
  progress.end();
  await recordOperation(registry, "import", origin.name, ...words);
  const { tags, unchanged, manifests, blobs, bytes, failures } = importer.counts;
  if (values.json) print(`${JSON.stringify(importer.counts)}\n`);
  else if (!values.quiet) {
    print(
      `${tags} tags (${unchanged} unchanged), ${manifests} manifests and ${blobs} blobs (${formatSize(bytes)}) were copied ` +
        `from ${origin.name}; ${failures} failed.\n`,
    );
  }
  return failures > 0 ? 1 : 0;
}

interface Wanted {
  readonly from: string;
  /** All when absent. */
  readonly tags?: readonly Tag[];
}

interface Request {
  readonly wanted: readonly Wanted[];
  /** Stands before the names of repositories. */
  readonly prefix: string;
  readonly credentials: RegistryCredentials | undefined;
}

/** Where images come from, and how they are copied from there. */
interface Origin {
  readonly name: string;
  readonly source: ImageSource;
  copy(importer: Importer): Promise<void>;
}

async function originOf(word: string | undefined, request: Request): Promise<Origin> {
  if (word !== undefined && /^https?:\/\//.test(word)) return registryAt(word, request);
  if (word !== undefined && existsSync(word)) return await archiveAt(word, request);
  throw new CommandError(
    `import takes the URL of a registry, or the path of a folder or a file of images${word === undefined ? "" : `, and ${word} is neither`}: ` +
      "stowage import https://registry.example.com team/app",
  );
}

function registryAt(word: string, { wanted, prefix, credentials }: Request): Origin {
  const url = URL.canParse(word) ? new URL(word) : undefined;
  if (!url || url.pathname !== "/" || url.username !== "") {
    throw new CommandError(
      `${word} is no URL of a registry: write it without path and user, and then names of repositories`,
    );
  }
  const source = new RegistryClient(url, credentials);
  return {
    name: url.origin,
    source,
    async copy(importer) {
      try {
        for await (const { from, tags } of wanted.length > 0 ? wanted : repositoriesOf(source)) {
          await importer.repository(from, repositoryIn(`${prefix}${from}`), tags);
        }
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        throw new CommandError(`the repositories of ${url.origin} could not be listed: ${error.message}; name them`, {
          cause: error,
        });
      }
    },
  };
}

async function* repositoriesOf(source: RegistryClient): AsyncGenerator<Wanted> {
  for await (const from of source.repositories()) yield { from };
}

/** The names of all images are known before the first one is copied. */
async function archiveAt(path: string, { wanted, prefix, credentials }: Request): Promise<Origin> {
  const [only, ...more] = wanted;
  if (more.length > 0)
    throw new CommandError("a folder or file of images is imported under one name, or their own names");
  if (credentials !== undefined)
    throw new CommandError("--username is for registries: a folder or a file needs no login");
  const { source, images } = await openImageArchive(path).catch((error: unknown) => {
    if (!(error instanceof SourceError || error instanceof TarError)) throw error;
    throw new CommandError(`${path} cannot be imported: ${error.message}`, { cause: error });
  });
  const copies = selected(images, only, path).map(({ repository = "", tag, digest }) => {
    return { name: repositoryIn(`${prefix}${repository}`), tag, digest };
  });
  return {
    name: path,
    source,
    async copy(importer) {
      for (const { name, tag, digest } of copies) await importer.image(name, digest, tag);
    },
  };
}

/** The images that are to be copied, each with the name that it gets. */
function selected(images: readonly ArchivedImage[], only: Wanted | undefined, path: string): readonly ArchivedImage[] {
  if (images.length === 0) throw new CommandError(`${path} holds no image`);
  if (!only) {
    const nameless = images.find(({ repository }) => repository === undefined);
    if (!nameless) return images;
    const what = nameless.tag === undefined ? nameless.digest : `its image ${nameless.tag}`;
    throw new CommandError(`${path} does not say the repository of ${what}: name it, stowage import ${path} team/app`);
  }
  const { from: repository, tags: [tag] = [] } = only;
  if (tag === undefined) return images.map((image) => ({ ...image, repository }));
  const digests = new Set(images.map(({ digest }) => digest));
  const image = digests.size === 1 ? images[0] : images.find((each) => each.tag === tag);
  if (image) return [{ repository, tag, digest: image.digest }];
  const names = images.slice(0, 10).map((each) => each.tag ?? each.digest);
  throw new CommandError(`${path} holds several images, and none with the tag ${tag}: it has ${names.join(", ")}`);
}

function imageOf(word: string): Wanted {
  const [from = "", tagText, ...more] = word.split(":");
  const tag = tagText === undefined ? undefined : parseTag(tagText);
  if (parseRepositoryName(from) === undefined || more.length > 0 || (tagText !== undefined && tag === undefined)) {
    throw new CommandError(`${word} is no repository and no image: write team/app, or team/app:v1`);
  }
  return tag === undefined ? { from } : { from, tags: [tag] };
}

export { importImages as import };
