/**
 * The resources of the JSON API (`/api/v1`): their paths, their methods, and the permission that each requires. It is all that the
 * server knows of the API before the first request to it; what answers is in `api/`, and is loaded then.
 */
import type { Action } from "../auth/identity.ts";

/**
 * An action in the repository that the path names; the list of repositories; everything everywhere; any credentials or none;
 * nothing.
 */
export type ApiPermission = Action | "catalog" | "administration" | "anyone" | "nothing";

export interface ApiMethod {
  readonly requires: ApiPermission;
  /** Whether it deletes content, which the setting `storage.delete.enabled` allows. */
  readonly deletes?: boolean;
}

export type ApiMethodName = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface ApiResourceRecord {
  /** Below `/api/v1`, with `{parts}`. `{name}` is the name of a repository, slashes and all, and ends at `/-/`. */
  readonly path: string;
  readonly methods: Readonly<Partial<Record<ApiMethodName, ApiMethod>>>;
}

/** Where the API is. */
export const API_PATH = "/api/v1";

const PULL = { requires: "pull" } as const;
const PUSH = { requires: "push" } as const;
const DELETE = { requires: "delete", deletes: true } as const;
const ADMINISTRATION = { requires: "administration" } as const;

export const API_RESOURCES = {
  description: { path: "/openapi.json", methods: { GET: { requires: "nothing" } } },
  session: { path: "/me", methods: { GET: { requires: "anyone" } } },
  repositories: { path: "/repositories", methods: { GET: { requires: "catalog" } } },
  repository: {
    path: "/repositories/{name}",
    methods: { GET: PULL, DELETE: { requires: "admin", deletes: true } },
  },
  deletions: { path: "/repositories/{name}/-/deletions", methods: { POST: DELETE } },
  copies: { path: "/repositories/{name}/-/copies", methods: { POST: PUSH } },
  uploads: { path: "/repositories/{name}/-/uploads", methods: { GET: PUSH } },
  upload: { path: "/repositories/{name}/-/uploads/{id}", methods: { DELETE: PUSH } },
  shares: { path: "/repositories/{name}/-/shares", methods: { GET: PULL } },
  tags: { path: "/repositories/{name}/-/tags", methods: { GET: PULL } },
  tag: { path: "/repositories/{name}/-/tags/{tag}", methods: { GET: PULL, PUT: PUSH, DELETE } },
  tagHistory: { path: "/repositories/{name}/-/tags/{tag}/history", methods: { GET: PULL } },
  manifests: { path: "/repositories/{name}/-/manifests", methods: { GET: PULL } },
  manifest: { path: "/repositories/{name}/-/manifests/{digest}", methods: { GET: PULL, DELETE } },
  image: { path: "/repositories/{name}/-/manifests/{digest}/image", methods: { GET: PULL } },
  referrers: { path: "/repositories/{name}/-/manifests/{digest}/referrers", methods: { GET: PULL } },
  collection: { path: "/collection", methods: { GET: ADMINISTRATION, POST: ADMINISTRATION } },
  collectionPreview: { path: "/collection/preview", methods: { GET: ADMINISTRATION } },
  jobs: { path: "/jobs", methods: { GET: ADMINISTRATION } },
  users: { path: "/users", methods: { GET: ADMINISTRATION } },
  user: { path: "/users/{user}", methods: { PATCH: ADMINISTRATION, DELETE: ADMINISTRATION } },
  tokens: { path: "/tokens", methods: { GET: ADMINISTRATION, POST: ADMINISTRATION } },
  token: { path: "/tokens/{id}", methods: { DELETE: ADMINISTRATION } },
  explain: { path: "/policies/explain", methods: { GET: ADMINISTRATION } },
  quotas: { path: "/quotas", methods: { GET: ADMINISTRATION } },
  events: { path: "/events", methods: { GET: ADMINISTRATION } },
} as const satisfies Readonly<Record<string, ApiResourceRecord>>;

export type ApiResource = keyof typeof API_RESOURCES;

/** What a path names: a resource and the parts of its path, percent signs decoded. */
export interface SpelledApiPath {
  readonly resource: ApiResource;
  readonly parts: Readonly<Record<string, string>>;
}

/** Returns the resource that a path names; undefined when it names none. */
export function spellApiPath(path: string): SpelledApiPath | undefined {
  const below = path.slice(API_PATH.length);
  const named = repositoryIn(below);
  const given = (named ? named.rest : below).split("/").slice(1);
  for (const { resource, pattern, isNamed } of PATTERNS) {
    if (isNamed !== (named !== undefined) || pattern.length !== given.length) continue;
    const parts: Record<string, string> = named ? { name: named.name } : {};
    if (pattern.every((word, at) => matchesWord(word, given[at] ?? "", parts))) return { resource, parts };
  }
  return undefined;
}

/** The methods of a resource with HEAD, which every GET has. */
export function methodsOf(resource: ApiResource): readonly string[] {
  const methods = Object.keys(API_RESOURCES[resource].methods);
  return methods.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
}

/** What a request with this method requires; undefined when the resource does not have it. */
export function apiMethod(resource: ApiResource, method: string): ApiMethod | undefined {
  const methods: Readonly<Record<string, ApiMethod>> = API_RESOURCES[resource].methods;
  const name = method === "HEAD" ? "GET" : method;
  return Object.hasOwn(methods, name) ? methods[name] : undefined;
}

const REPOSITORIES = "/repositories/";

/** Ends the name of a repository: none of its path components is a dash. */
const END_OF_NAME = "/-/";

/** The name in a path below that of all repositories, its slashes raw or encoded, and what comes behind it. */
function repositoryIn(below: string): { readonly name: string; readonly rest: string } | undefined {
  if (!below.startsWith(REPOSITORIES)) return undefined;
  const text = below.slice(REPOSITORIES.length);
  const end = text.indexOf(END_OF_NAME);
  return end < 0
    ? { name: decoded(text), rest: "" }
    : { name: decoded(text.slice(0, end)), rest: text.slice(end + END_OF_NAME.length - 1) };
}

const PATTERNS = Object.entries(API_RESOURCES).map(([resource, { path }]) => {
  const isNamed = path.startsWith(`${REPOSITORIES}{name}`);
  const words = isNamed ? path.slice(`${REPOSITORIES}{name}/-`.length) : path;
  return { resource: resource as ApiResource, isNamed, pattern: words.split("/").slice(1) };
});

/** Whether a segment is the word, or the part that stands for any text but the empty one. */
function matchesWord(word: string, segment: string, parts: Record<string, string>): boolean {
  if (!word.startsWith("{")) return word === segment;
  if (segment === "") return false;
  parts[word.slice(1, -1)] = decoded(segment);
  return true;
}

/** A text without its percent signs; one that is malformed stays as it is, and no parser takes it. */
function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
