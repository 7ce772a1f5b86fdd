/** Names of repositories (distribution-spec, "Pulling manifests": `<name>`). */
import { OciError } from "./error.ts";

declare const brand: unique symbol;

/** A name whose grammar and length have been checked, such as `team/app`. */
export type RepositoryName = string & { readonly [brand]: "RepositoryName" };

/** The spec's grammar. Each repetition begins with another character, so that no text makes it slow. */
const GRAMMAR = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

/** What names consist of, in byte order. */
export const NAME_CHARACTERS = "-./0123456789_abcdefghijklmnopqrstuvwxyz";

/** A text behind all names, by bytes. */
export const BEHIND_ALL_NAMES = "~";

/** Bytes. "Many clients impose a limit of 255 characters" on host and name together; distribution's limit is this. */
export const MAX_NAME_LENGTH = 255;

/** The name that `text` spells, or undefined when it spells none. */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  return text.length <= MAX_NAME_LENGTH && GRAMMAR.test(text) ? (text as RepositoryName) : undefined;
}

/** As `parseRepositoryName`, but a text that is no name is refused with `NAME_INVALID`. */
export function repositoryName(text: string): RepositoryName {
  const parsed = parseRepositoryName(text);
  if (parsed === undefined) {
    throw new OciError("NAME_INVALID", {
      message:
        "invalid repository name: it consists of path components of lowercase letters and digits, with '.', '_', '__' or dashes inside, " +
        `separated by '/', and has at most ${MAX_NAME_LENGTH} characters`,
      detail: { name: text.slice(0, 512) },
    });
  }
  return parsed;
}
