/** Whether a tree of distribution is to be adopted. */
import type { Logger } from "../../observe/logger.ts";
import { DATABASE_IN_USE, DistributionTree, TREE } from "../../storage/distribution-tree.ts";
import type { TreeFiles } from "../../storage/tree-files.ts";
import type { Backend } from "../backend.ts";
import { Adoption } from "./adoption.ts";

/** A tree is there which this program may not take over. The message is for the person who starts it. */
export class AdoptionError extends Error {
  override readonly name = "AdoptionError";
}

export interface AdoptionOptions {
  /** Whether an adoption may begin; one that has begun goes on anyhow. */
  readonly mayBegin: boolean;
}

/**
 * Begins to adopt the tree among `files`, or goes on with that. Returns undefined when there is no tree, when all of it is adopted, and
 * when the registry had content of its own before it: then the tree is left as it is, with a warning. Throws `AdoptionError` when the
 * tree may not be adopted.
 */
export async function openAdoption(
  backend: Backend,
  files: TreeFiles,
  { mayBegin }: AdoptionOptions,
  log: Logger,
): Promise<Adoption | undefined> {
  const { adoptions } = backend.metadata;
  const phase = (await adoptions.phase())?.phase;
  if (phase === "done") return undefined;
  if (phase === undefined) {
    if ((await files.list(TREE)).length === 0) return undefined;
    if (await adoptions.hasContent()) return notAdopted(files, log);
    if (!mayBegin) {
      throw new AdoptionError(
        `the ${files.place} holds a tree of distribution (${TREE}), which stowage serve takes over as it is: start the server on it ` +
          "once (docs/migrating.md)",
      );
    }
    if (await files.stat(DATABASE_IN_USE)) {
      throw new AdoptionError(
        `the ${files.place} belongs to a GitLab registry whose database is in use (it holds ${DATABASE_IN_USE}): the tree does not ` +
          "say what is in it. Copy the images over HTTP into a new registry with stowage import",
      );
    }
    if ((await adoptions.begin()) === undefined) return notAdopted(files, log);
  }
  return new Adoption(backend, new DistributionTree(files));
}

function notAdopted({ place }: TreeFiles, log: Logger): undefined {
  log.warn(
    `the ${place} holds a tree of distribution (${TREE}), which is not adopted: the registry has content of its own`,
  );
}
