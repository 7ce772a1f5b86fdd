/** Whether a tree of distribution is to be adopted. */
import type { Logger } from "../../observe/logger.ts";
import { DistributionTree, TREE } from "../../storage/distribution-tree.ts";
import type { TreeFiles } from "../../storage/tree-files.ts";
import type { Backend } from "../backend.ts";
import { Adoption } from "./adoption.ts";

/**
 * Begins to adopt the tree among `files`, or goes on with that. Returns undefined when there is no tree, when all of it is adopted, and
 * when the registry had content of its own before it: then the tree is left as it is, with a warning.
 */
export async function openAdoption(backend: Backend, files: TreeFiles, log: Logger): Promise<Adoption | undefined> {
  const { adoptions } = backend.metadata;
  const phase = (await adoptions.phase())?.phase;
  if (phase === "done") return undefined;
  if (phase === undefined) {
    if ((await files.list(TREE)).length === 0) return undefined;
    if ((await adoptions.begin()) === undefined) {
      log.warn(
        `the data folder holds a tree of distribution (${TREE}), which is not adopted: the registry has content of its own`,
      );
      return undefined;
    }
  }
  return new Adoption(backend, new DistributionTree(files));
}
