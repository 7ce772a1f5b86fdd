/** What is not there: is it the thing, or the whole repository? */
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Backend } from "./backend.ts";

/** Refuses with `code`, or with `NAME_UNKNOWN` when nothing at all is in the repository. */
export async function absent(
  { metadata }: Backend,
  name: RepositoryName,
  code: "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN",
  detail: Readonly<Record<string, unknown>>,
): Promise<never> {
  if (await metadata.repositoryExists(name)) throw new OciError(code, { detail: { name, ...detail } });
  throw new OciError("NAME_UNKNOWN", { detail: { name } });
}
