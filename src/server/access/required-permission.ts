/** Which permission each request requires. */
import type { ResourceActions } from "../../auth/scope.ts";
import type { Action } from "../../auth/identity.ts";
import { parseRepositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { apiMethod } from "../api-resources.ts";
import { parametersOf, targetOf } from "../http/request-target.ts";
import type { InvalidRoute, Route } from "../routes.ts";

/** None, valid credentials or none at all, any login, an action in a repository, or all actions everywhere. */
export type RequiredPermission =
  | { readonly kind: "nothing" | "anyone" | "credentials" | "catalog" | "administration" }
  | RequiredAction;

export interface RequiredAction {
  readonly kind: "action";
  readonly action: Action;
  readonly repository: RepositoryName;
  /** Where a blob is to be mounted from. */
  readonly from?: RepositoryName | undefined;
}

/** Returns the permission that a route requires. It depends on the repository's name, and on nothing else of the path. */
export function requiredPermission(request: Request, route: Route | InvalidRoute<RepositoryName>): RequiredPermission {
  const { method } = request;
  const reads = method === "GET" || method === "HEAD";
  switch (route.kind) {
    case "welcome":
    case "page":
    case "page-file":
    case "health":
    case "ready":
    case "token":
    case "keys":
      return { kind: "nothing" };
    case "base":
      return { kind: "credentials" };
    case "catalog":
      return { kind: "catalog" };
    case "api":
      return permissionOfApi(request, route);
    case "tags":
    case "referrers":
      return rightTo(route.name, "pull");
    case "blob":
      return rightTo(route.name, reads ? "pull" : "delete");
    case "manifest":
      return rightTo(route.name, reads ? "pull" : method === "DELETE" ? "delete" : "push");
    case "signatures":
      return rightTo(route.name, reads ? "pull" : "push");
    // Push includes reading the state of an upload, and cancelling it.
    case "upload":
      return rightTo(route.name, "push");
    case "uploads":
      return { ...rightTo(route.name, "push"), from: mountedFrom(request) };
  }
}

function permissionOfApi({ method }: Request, route: Route | InvalidRoute<RepositoryName>): RequiredPermission {
  const requires = "resource" in route ? apiMethod(route.resource, method)?.requires : undefined;
  switch (requires) {
    case undefined:
      return { kind: "administration" };
    case "nothing":
    case "anyone":
    case "catalog":
    case "administration":
      return { kind: requires };
    default:
      return "name" in route ? rightTo(route.name, requires) : { kind: "administration" };
  }
}

function rightTo(repository: RepositoryName, action: Action): RequiredAction {
  return { kind: "action", action, repository };
}

/** What a token would have to allow, most important first. */
export function scopesOf(required: RequiredPermission): readonly ResourceActions[] {
  if (required.kind === "catalog") return [{ type: "registry", name: "catalog", actions: ["*"] }];
  if (required.kind !== "action") return [];
  const { action, repository, from } = required;
  const actions = action === "push" ? ["pull", "push"] : [action];
  const own = { type: "repository", name: repository, actions };
  return from === undefined ? [own] : [own, { type: "repository", name: from, actions: ["pull"] }];
}

function mountedFrom({ url }: Request): RepositoryName | undefined {
  if (!url.includes("from=")) return undefined;
  return parseRepositoryName(parametersOf(targetOf(url)).get("from") ?? "");
}

const VERBS: Readonly<Record<Action, string>> = {
  pull: "pull from",
  push: "push to",
  delete: "delete from",
  admin: "administer",
};

/** For messages: "alice may not …". */
export function wordsFor(required: RequiredPermission): string {
  if (required.kind === "administration") return "administer the registry";
  return required.kind === "action" ? `${VERBS[required.action]} ${required.repository}` : "list repositories";
}
