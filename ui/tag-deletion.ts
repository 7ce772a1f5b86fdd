/** Deleting tags, as many as a filter matches, and putting them back. */
import { RefusedError, get, repositoryPath, send } from "./api.ts";
import type { Deletion, Tag, TagPage, TagTarget } from "./api-types.ts";
import { TEXTS } from "./texts.ts";

/** The tags that are meant: those that were selected, or all that match a filter. */
export type ChosenTags =
  | { readonly kind: "selected"; readonly tags: readonly TagTarget[] }
  | { readonly kind: "matching"; readonly letters: string; readonly count: number };

/** Tags that one request takes (`docs/api.md`). */
const AT_ONCE = 1000;

/** Every tag there is, where nothing is filtered. */
const ALL = "*";

/** How many tags are meant. */
export function countOf(chosen: ChosenTags): number {
  return chosen.kind === "selected" ? chosen.tags.length : chosen.count;
}

/** Says what would go; of more than a thousand tags, what the first request takes. */
export async function previewDeletion(name: string, chosen: ChosenTags, manifests: boolean): Promise<Deletion> {
  return await request(name, chosen, { manifests, dryRun: true });
}

/** Deletes them. Calls `onProgress` with how many are gone; returns them. */
export async function deleteTags(
  name: string,
  chosen: ChosenTags,
  manifests: boolean,
  onProgress: (deleted: number) => void,
): Promise<readonly TagTarget[]> {
  const gone: TagTarget[] = [];
  for await (const tags of partsOf(name, chosen)) {
    const part = await request(name, { kind: "selected", tags }, { manifests, dryRun: false });
    gone.push(...part.tags);
    onProgress(gone.length);
  }
  return gone;
}

/** The tags with what they point at: one that is pushed meanwhile stays. Rejects when another number matches than was confirmed. */
async function* partsOf(name: string, chosen: ChosenTags): AsyncGenerator<readonly TagTarget[]> {
  if (chosen.kind === "selected") {
    for (let from = 0; from < chosen.tags.length; from += AT_ONCE) yield chosen.tags.slice(from, from + AT_ONCE);
    return;
  }
  const query = { limit: `${AT_ONCE}`, ...(chosen.letters !== "" && { q: chosen.letters }) };
  let cursor: string | null = "";
  while (cursor !== null) {
    const parameters = new URLSearchParams({ ...query, ...(cursor !== "" && { cursor }) });
    const page: TagPage = await get(repositoryPath(name, `tags?${parameters}`));
    if (cursor === "" && page.total !== chosen.count) {
      throw new RefusedError({ status: 409, detail: TEXTS.matchesChanged });
    }
    yield page.items.map(({ name: tag, digest }) => ({ name: tag, digest }));
    cursor = page.next;
  }
}

async function request(
  name: string,
  chosen: ChosenTags,
  options: { readonly manifests: boolean; readonly dryRun: boolean },
): Promise<Deletion> {
  const what =
    chosen.kind === "selected"
      ? { tags: chosen.tags.slice(0, AT_ONCE) }
      : { matching: chosen.letters === "" ? ALL : chosen.letters };
  return await send<Deletion>("POST", repositoryPath(name, "deletions"), { ...what, ...options });
}

/** Points a tag at a manifest, unless it points somewhere meanwhile. Returns whether it does now. */
export async function putBack(name: string, { name: tag, digest }: TagTarget): Promise<boolean> {
  try {
    await send<Tag>("PUT", repositoryPath(name, `tags/${tag}`), { digest }, { "if-none-match": "*" });
    return true;
  } catch (error) {
    // Pushed anew (412), or the manifest was collected (404): the others may come back all the same.
    if (error instanceof RefusedError && (error.problem.status === 412 || error.problem.status === 404)) return false;
    throw error;
  }
}
