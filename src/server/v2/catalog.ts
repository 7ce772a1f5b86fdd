/** The list of repositories (Docker's registry API, `_catalog`). */
import { collect } from "../../lib/collect.ts";
import { UNRESTRICTED } from "../../auth/authorization.ts";
import type { Context } from "../context.ts";
import { LIMITS } from "../http/limits.ts";
import { nextPage } from "../http/links.ts";
import { pageParameters } from "../http/page-parameters.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";

export async function getCatalog({ namespace, options, parameters, authorization }: Context): Promise<Representation> {
  const { maxCatalogPage } = options;
  const byDefault = Math.min(LIMITS.defaultCatalogPage, maxCatalogPage);
  const { limit = byDefault, after } = pageParameters(parameters, maxCatalogPage);
  const from = { ...(after === undefined ? {} : { after }), limit: limit + 1 };
  const names = await collect(namespace.repositories(from, authorization.listFilter));
  const page = names.slice(0, limit);
  const last = page.at(-1);
  const more = last !== undefined && names.length > limit;
  const headers = more ? { link: nextPage("/v2/_catalog", parameters, { n: String(limit), last }) } : {};
  // Other principals may see other repositories.
  return jsonDocument({ repositories: page }, { headers, ...(authorization === UNRESTRICTED && { cacheable: {} }) });
}
