/** Responses that are served again: most of what a registry is asked, it is asked again. */
import { LruCache, textBytes } from "../lib/lru.ts";
import type { Namespace, RevisionScope } from "../registry/namespace.ts";
import { asksForAll, replyTo } from "./http/representation.ts";
import type { Representation } from "./http/representation.ts";
import type { Reply } from "./http/reply.ts";
import { hasHostOfUrl } from "./http/request-target.ts";
import type { ParsedRequest } from "./parsed-request.ts";
import type { CachedResponse, ScopeRevision } from "./cached-response.ts";
import { TagResponses } from "./tag-responses.ts";

/** Bytes of all entries with short bodies together. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Bytes of a body from which on it is long: such entries are cached apart, so that they evict each other and no short ones. */
const LONG_BODY_BYTES = 512 * 1024;

/** Bytes of all entries with long bodies together: two of the longest. */
const MAX_LONG_BYTES = 10 * 1024 * 1024;

/** Bytes of the longest body that is cached: the largest manifest, and the largest page of referrers. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Of so many responses that are found by tag, one is cached under its address too: of a tag that is often pulled, soon. */
const FOUND_BY_TAG = 64;

/** Bytes that an entry costs beside its address and its body, about: two kinds of headers, and what was parsed. */
const ENTRY_BYTES = 2048;

/** Copies of the URL in memory: the key, and two in each of the log lines for GET and HEAD. */
const ADDRESS_COPIES = 5;

/** Says whether a cached response still holds. */
export type Validator = Pick<Namespace, "revision" | "isUnchanged">;

export class ResponseCache {
  readonly #validator: Validator;
  readonly #short = new LruCache<string, CachedResponse>(MAX_BYTES);
  readonly #long = new LruCache<string, CachedResponse>(MAX_LONG_BYTES);
  readonly #byTag = new TagResponses();
  #foundByTag = 0;

  constructor(validator: Validator) {
    this.#validator = validator;
  }

  /**
   * Returns what is cached for the address of a GET or HEAD, valid or not: what the address says is parsed, and never changes.
   */
  find(request: Request): CachedResponse | undefined {
    const { method } = request;
    if (method !== "GET" && method !== "HEAD") return undefined;
    const cached = this.#ofAddress(request.url) ?? this.#findByTag(request.url);
    if (!cached || !hasHostOfUrl(request)) return undefined;
    return method === "HEAD" || cached.representation.body !== undefined ? cached : undefined;
  }

  /**
   * Returns the revision, as of now, that responses at a route rest on. Taken before a response is made: what changes meanwhile
   * makes it invalid.
   */
  async currentRevision({ route }: ParsedRequest): Promise<ScopeRevision> {
    const scope = scopeOf(route);
    return { scope, revision: scope && (await this.#validator.revision(scope)) };
  }

  /** Whether the same would be answered now: at once, where the revision is known at once. */
  isValid({
    madeFrom: { scope, revision },
    representation: { cacheable },
  }: CachedResponse): boolean | Promise<boolean> {
    const unchanged = cacheable?.file ? this.#validator.isUnchanged(cacheable.file) : true;
    if (unchanged === false) return false;
    const current = scope && this.#validator.revision(scope);
    if (unchanged === true && !(current instanceof Promise)) return current === revision;
    return Promise.all([unchanged, current]).then(([holds, known]) => holds && known === revision);
  }

  /** Caches the response to a GET or HEAD, unless it is too long or rests on more than can be compared. */
  set({ url }: Request, response: CachedResponse): void {
    const { body, cacheable } = response.representation;
    if (cacheable === undefined || (typeof body === "object" && "kind" in body && body.kind === "stream")) return;
    const bodyBytes = bytesInMemory(body);
    const isKept = bodyBytes < LONG_BODY_BYTES && this.#byTag.set(url, response, bodyBytes);
    if (!isKept || this.#ofAddress(url) !== undefined) this.#setByAddress(url, response);
  }

  #ofAddress(url: string): CachedResponse | undefined {
    return this.#short.get(url) ?? this.#long.get(url);
  }

  #findByTag(url: string): CachedResponse | undefined {
    const found = this.#byTag.find(url);
    if (found && ++this.#foundByTag % FOUND_BY_TAG === 0) this.#setByAddress(url, found);
    return found;
  }

  #setByAddress(url: string, response: CachedResponse): void {
    const { body } = response.representation;
    const bodyBytes = bytesInMemory(body);
    const [cache, other] = bodyBytes < LONG_BODY_BYTES ? [this.#short, this.#long] : [this.#long, this.#short];
    other.delete(url);
    if (bodyBytes <= MAX_BODY_BYTES)
      cache.set(url, response, ENTRY_BYTES + ADDRESS_COPIES * textBytes(url) + bodyBytes);
    else cache.delete(url);
  }
}

/** Returns the reply to a request out of its cached response; throws the refusal with 412 or 416. */
export function replyFrom({ full, representation }: CachedResponse, request: Request): Reply {
  return asksForAll(request) ? full : replyTo(request, representation);
}

/** Returns what has to change before a response at a route may change; undefined when it is always the same. */
function scopeOf(route: ParsedRequest["route"]): RevisionScope | undefined {
  if ("name" in route) return { repository: route.name };
  return route.kind === "catalog" ? "everything" : undefined;
}

/** Of a file nothing is cached but its location. */
function bytesInMemory(body: Representation["body"]): number {
  if (typeof body === "string") return textBytes(body);
  return body instanceof Blob ? body.size : 0;
}
