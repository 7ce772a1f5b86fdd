/** `stowage cat`: prints the bytes of a blob or a manifest, wherever they lie. */
import { once } from "../lib/byte-location.ts";
import { parseDigest } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import { silentLogger } from "../observe/logger.ts";
import type { Repository } from "../registry/repository.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage cat REPOSITORY@DIGEST | REPOSITORY:TAG [options]: prints a blob or a manifest

  stowage cat team/app:latest
  stowage cat team/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 > layer.tar.gz

${SETTINGS_HELP}
`;

export async function cat(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: 1 });
  if (!line) return 0;
  const { values, positionals } = line;
  const [reference] = positionals;
  if (reference === undefined) {
    throw new CommandError("cat takes one reference: stowage cat team/app@sha256:… or stowage cat team/app:latest");
  }
  const { repository, object } = parseReference(reference);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  const bytes = await find(registry.namespace.repository(repository), object);
  if (!bytes) throw new CommandError(`there is no ${reference} in this registry`);
  await print(bytes);
  return 0;
}

interface Reference {
  readonly repository: RepositoryName;
  readonly object: { readonly digest: Digest } | { readonly tag: Tag };
}

function parseReference(reference: string): Reference {
  const mark = reference.includes("@") ? reference.indexOf("@") : reference.lastIndexOf(":");
  if (mark < 0) throw new CommandError(`${reference} has neither a tag nor a digest: try ${reference}:latest`);
  const repository = repositoryIn(reference.slice(0, mark));
  const rest = reference.slice(mark + 1);
  const digest = parseDigest(rest);
  if (digest !== undefined) return { repository, object: { digest } };
  const tag = parseTag(rest);
  if (tag !== undefined) return { repository, object: { tag } };
  throw new CommandError(`${rest} is neither a digest nor a tag: a digest looks like sha256:… with 64 digits`);
}

/** Undefined when the repository has no such manifest or blob. */
async function find(
  repository: Repository,
  object: Reference["object"],
): Promise<AsyncIterable<Uint8Array> | undefined> {
  if ("tag" in object) {
    const manifest = await repository.tags.find(object.tag);
    return manifest && once(manifest.payload);
  }
  const manifest = await repository.manifests.find(object.digest);
  return manifest ? once(manifest.payload) : (await repository.blobs.find(object.digest))?.read();
}

/** Resolves when everything is written, or the reader has seen enough (`| head`). */
async function print(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const failed = Promise.withResolvers<never>();
  process.stdout.on("error", failed.reject);
  try {
    for await (const piece of bytes) {
      const written = new Promise<void>((resolve, reject) => {
        process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
      });
      await Promise.race([written, failed.promise]);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EPIPE") throw new CommandError(`printing failed: ${message}`, { cause: error });
  } finally {
    process.stdout.off("error", failed.reject);
  }
}
