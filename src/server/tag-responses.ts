/**
 * Responses to pulls by tag: of each tag little more than its name is kept, because all tags of a manifest share one response.
 * So a repository with 100,000 tags fits, where a response for each of them would not.
 */
import { LruCache, textBytes } from "../lib/lru.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { ParsedRequest } from "./parsed-request.ts";
import type { CachedResponse } from "./cached-response.ts";

/** Bytes of all of them. */
const MAX_BYTES = 24 * 1024 * 1024;

/** Bytes of one repository, so that it never evicts all others. */
const MAX_REPOSITORY_BYTES = 16 * 1024 * 1024;

/** Bytes that a tag costs beside its name, measured: its share of a map that has just grown. */
const TAG_BYTES = 64;

/** Bytes that a response costs beside its body, about, and a repository beside its address. */
const RESPONSE_BYTES = 2048;

/** What a response is for every tag of its manifest. */
type SharedResponse = Pick<CachedResponse, "representation" | "full">;

/** All tags of a manifest lead to it. */
interface ManifestResponse {
  /** One to HEAD, which has no bytes, is replaced when a GET brings them. */
  response: SharedResponse;
}

/** The responses of one repository, at one address, as of one of its revisions. */
interface RepositoryResponses extends Pick<CachedResponse, "madeFrom">, Omit<ParsedRequest, "route"> {
  readonly name: RepositoryName;
  /** By digest. */
  readonly manifests: Map<string, ManifestResponse>;
  readonly tags: Map<string, ManifestResponse>;
  readonly bytes: number;
}

export class TagResponses {
  /** By what comes before the tag in the URL: all requests for a tag there require the same permission. */
  readonly #repositories = new LruCache<string, RepositoryResponses>(MAX_BYTES);

  /** Bytes that all of them cost together. */
  get bytes(): number {
    return this.#repositories.bytes;
  }

  find(url: string): CachedResponse | undefined {
    const { place, last } = partsOf(url);
    const repository = this.#repositories.get(place);
    const found = repository?.tags.get(last);
    if (!repository || !found) return undefined;
    const { name, required, commonHeaders, madeFrom } = repository;
    const { representation, full } = found.response;
    return {
      parsed: {
        route: { kind: "manifest", name, reference: { kind: "tag", tag: last as Tag } },
        required,
        commonHeaders,
      },
      representation,
      full: full.shared ? { ...full, shared: { headers: full.shared.headers, answered: {} } } : full, // the log names the tag
      madeFrom,
    };
  }

  /** Keeps a response when it is one to a pull by tag. False when it is not, or when there is no room for it. */
  set(url: string, { parsed, madeFrom, ...response }: CachedResponse, bodyBytes: number): boolean {
    const { route, required, commonHeaders } = parsed;
    const { digest } = response.representation;
    const { place, last } = partsOf(url);
    if (digest === undefined || route.kind !== "manifest" || "refusal" in route) return false;
    if (route.reference.kind !== "tag" || route.reference.tag !== last) return false; // a tag that is spelled otherwise
    const known = this.#repositories.get(place);
    const repository =
      known && known.madeFrom.revision === madeFrom.revision
        ? known
        : { name: route.name, required, commonHeaders, madeFrom, manifests: new Map(), tags: new Map(), bytes: 0 };
    return this.#add(repository, place, last, digest, response, bodyBytes);
  }

  #add(
    repository: RepositoryResponses,
    place: string,
    tag: string,
    digest: string,
    response: SharedResponse,
    bodyBytes: number,
  ): boolean {
    const { manifests, tags } = repository;
    const known = manifests.get(digest);
    const bringsBody = known?.response.representation.body === undefined && response.representation.body !== undefined;
    const bytes =
      (repository.bytes || RESPONSE_BYTES + textBytes(place)) +
      (tags.has(tag) ? 0 : TAG_BYTES + textBytes(tag)) +
      (known ? 0 : RESPONSE_BYTES) +
      (bringsBody ? bodyBytes : 0);
    if (bytes > MAX_REPOSITORY_BYTES) return false;
    const manifest = known ?? { response };
    if (bringsBody) manifest.response = response;
    manifests.set(digest, manifest);
    tags.set(ownCopyOf(tag), manifest);
    this.#repositories.set(ownCopyOf(place), { ...repository, bytes }, bytes);
    return true;
  }
}

/** The last segment of a URL, and all that comes before it. */
function partsOf(url: string): { readonly place: string; readonly last: string } {
  const start = url.lastIndexOf("/") + 1;
  return { place: url.slice(0, start), last: url.slice(start) };
}

/** A text that was cut out of a URL holds on to all of it. */
function ownCopyOf(text: string): string {
  return Buffer.from(text).toString();
}
