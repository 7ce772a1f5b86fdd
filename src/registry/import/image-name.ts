/** What images are called in files: `v1`, `team/app:v1`, `registry.example.com/team/app:v1@sha256:…`. */
import { parseRepositoryName } from "../../oci/repository-name.ts";
import { parseTag } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";

export interface ImageName {
  readonly repository?: string | undefined;
  readonly tag?: Tag | undefined;
}

/** The repository and the tag of a name, without the host of a registry; each undefined when it has none that is valid. */
export function imageNameOf(text: string): ImageName {
  const [name = ""] = text.split("@");
  const [first = "", ...rest] = name.split("/");
  // As docker tells a host from a part of a repository's name.
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const path = isHost ? rest.join("/") : name;
  const colon = path.lastIndexOf(":");
  return {
    repository: parseRepositoryName(colon === -1 ? path : path.slice(0, colon)),
    tag: colon === -1 ? undefined : parseTag(path.slice(colon + 1)),
  };
}
