/** What refers to a manifest over HTTP (distribution-spec, "Listing Referrers", end-12a and 12b). */
import { OciError } from "../../oci/error.ts";
import { OCI_INDEX } from "../../oci/media-type.ts";
import type { Context } from "../context.ts";
import { LIMITS } from "../http/limits.ts";
import { nextPage } from "../http/links.ts";
import { jsonText } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import type { Route } from "../routes.ts";

export async function getReferrers(
  { namespace, parameters }: Context,
  route: Extract<Route, { kind: "referrers" }>,
): Promise<Representation> {
  const { name, digest: subject } = route;
  // A space cannot stand in a media type: it is a plus sign that the client did not encode.
  const artifactTypes = parameters.getAll("artifactType").map((type) => type.replaceAll(" ", "+"));
  if (artifactTypes.join().length > LIMITS.maxFilterCharacters) throw filterTooLong();
  const after = parameters.getAll("last").at(-1);
  const filter = {
    ...(artifactTypes.length > 0 ? { artifactTypes } : {}),
    ...(after === undefined ? {} : { after }),
  };
  // "the registry … MUST NOT return a 404": no subject, no repository, no referrers.
  const steps = namespace.repository(name).referrers.steps(subject, filter, LIMITS.maxReferrersBytes);
  const descriptors: string[] = [];
  let last: string | undefined;
  let step = await steps.next();
  for (; !step.done; step = await steps.next()) {
    descriptors.push(JSON.stringify(step.value).slice(1, -1));
    last = step.value.at(-1)?.digest;
  }
  const headers = {
    // "If filtering is requested and applied, the response MUST include a header OCI-Filters-Applied: artifactType".
    ...(artifactTypes.length > 0 ? { "oci-filters-applied": "artifactType" } : {}),
    ...(step.value ? { link: nextPage(`/v2/${name}/referrers/${subject}`, parameters, { last }) } : {}),
  };
  const index = `{"schemaVersion":2,"mediaType":${JSON.stringify(OCI_INDEX)},"manifests":[${descriptors.join(",")}]}`;
  return jsonText(index, { type: OCI_INDEX, headers, cacheable: {} });
}

/** The link to the next page repeats the filter. */
function filterTooLong(): OciError {
  return new OciError("UNSUPPORTED", {
    status: 414,
    message: `the artifact types of one request may have at most ${LIMITS.maxFilterCharacters} characters: ask for some at a time`,
  });
}
