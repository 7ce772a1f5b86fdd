/** `stowage import`: copies images of another registry into this one. */
import { text } from "node:stream/consumers";
import { formatSize } from "../lib/size.ts";
import { parseRepositoryName, repositoryName } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import { silentLogger } from "../observe/logger.ts";
import { Importer } from "../registry/import/importer.ts";
import { RegistryClient, SourceError } from "../registry/import/registry-client.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print, printError } from "./print.ts";
import { showProgress } from "./progress.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage import URL [REPOSITORY[:TAG]…] [options]: copies images of another registry into this one; the server
may be running

  stowage import https://registry.example.com                       all repositories of its catalog
  stowage import https://registry.example.com team/app team/web:v1  one repository, and one image
  stowage import https://ghcr.io owner/app --below mirror           to mirror/owner/app

Images come with all their platforms and referrers, byte by byte. What is here already is not transferred again: when the
command is interrupted, or to bring a copy up to date, repeat it. Limits of the other registry are waited for (Retry-After).

  --below PREFIX        put the prefix before the names of repositories
  --username NAME       log in; the password is read from standard input
  --parallel COUNT      images that are copied at the same time (4)
  --quiet               print nothing but errors
  --json                print a JSON object

${SETTINGS_HELP}

Exit code: 0 complete, 1 some images could not be copied, each of which is named.
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
  const url = registryUrl(address);
  const wanted = words.map(imageOf);
  const parallel = Number(values.parallel);
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > MOST_PARALLEL) {
    throw new CommandError(`--parallel is a number from 1 to ${MOST_PARALLEL}`);
  }
  const prefix = values.below === undefined ? "" : `${repositoryName(values.below)}/`;
  const credentials =
    values.username === undefined
      ? undefined
      : { username: values.username, password: (await text(process.stdin)).replace(/\r?\n$/, "") };
  await using registry = await openRegistry(settings, silentLogger());
  const progress = showProgress("imported:");
  const source = new RegistryClient(url, credentials);
  const importer = new Importer(registry.namespace, source, {
    parallel,
    onStep: ({ tags, bytes }) => progress.update(tags, undefined, (many) => `${many} tags, ${formatSize(bytes)}`),
    onFailure: (image, error) => {
      progress.end();
      printError(`stowage: ${image} was not copied: ${error instanceof Error ? error.message : String(error)}\n`);
    },
  });
  try {
    for await (const { from, tags } of wanted.length > 0 ? wanted : repositoriesOf(source)) {
      await importer.repository(from, targetOf(`${prefix}${from}`), tags);
    }
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    throw new CommandError(`the repositories of ${url.origin} could not be listed: ${error.message}; name them`, {
      cause: error,
    });
  }
  progress.end();
  await recordOperation(registry, "import", url.origin, ...words);
  const { tags, unchanged, manifests, blobs, bytes, failures } = importer.counts;
  if (values.json) print(`${JSON.stringify(importer.counts)}\n`);
  else if (!values.quiet) {
    print(
      `${tags} tags (${unchanged} unchanged), ${manifests} manifests and ${blobs} blobs (${formatSize(bytes)}) were copied ` +
        `from ${url.origin}; ${failures} failed.\n`,
    );
  }
  return failures > 0 ? 1 : 0;
}

interface Wanted {
  readonly from: string;
  /** All when absent. */
  readonly tags?: readonly Tag[];
}

async function* repositoriesOf(source: RegistryClient): AsyncGenerator<Wanted> {
  for await (const from of source.repositories()) yield { from };
}

function registryUrl(address: string | undefined): URL {
  const isUrl = address !== undefined && /^https?:\/\//.test(address) && URL.canParse(address);
  const url = isUrl ? new URL(address) : undefined;
  if (!url || url.pathname !== "/" || url.username !== "") {
    throw new CommandError(
      "import takes the URL of a registry, and then names of repositories: stowage import https://registry.example.com team/app",
    );
  }
  return url;
}

function imageOf(word: string): Wanted {
  const [from = "", tagText, ...more] = word.split(":");
  const tag = tagText === undefined ? undefined : parseTag(tagText);
  if (parseRepositoryName(from) === undefined || more.length > 0 || (tagText !== undefined && tag === undefined)) {
    throw new CommandError(`${word} is no repository and no image: write team/app, or team/app:v1`);
  }
  return tag === undefined ? { from } : { from, tags: [tag] };
}

function targetOf(name: string): RepositoryName {
  const parsed = parseRepositoryName(name);
  if (parsed === undefined) throw new CommandError(`${name} is no name of a repository here`);
  return parsed;
}

export { importImages as import };
