/**
 * Cross-origin resource sharing (Fetch standard, "CORS protocol"): pages of other origins that a browser lets read replies,
 * because the operator names them in `Access-Control-Allow-Origin`.
 */

/** The headers of `http.headers`, by their names in lower case. */
type Configured = Readonly<Record<string, readonly string[]>>;

/** What pages may read besides what browsers always show them, when the operator does not say. */
const EXPOSED = [
  "Docker-Content-Digest",
  "Docker-Distribution-Api-Version",
  "Docker-Upload-UUID",
  "ETag",
  "Link",
  "Location",
  "OCI-Filters-Applied",
  "OCI-Subject",
  "OCI-Tag",
  "Range",
  "Retry-After",
  "Warning",
  "WWW-Authenticate",
].join(", ");

/** What pages may send besides what browsers always let them, when the operator does not say. */
const ACCEPTED = [
  "Accept",
  "Authorization",
  "Cache-Control",
  "Content-Range",
  "Content-Type",
  "If-Match",
  "If-None-Match",
  "Range",
].join(", ");

export class CrossOrigin {
  readonly #origins: readonly string[];
  /** Undefined when every method that there is may be used. */
  readonly #methods: readonly string[] | undefined;
  readonly #configured: Configured;

  private constructor(origins: readonly string[], configured: Configured) {
    this.#origins = origins;
    this.#methods = configured["access-control-allow-methods"]
      ?.flatMap((value) => value.split(","))
      .map((method) => method.trim().toUpperCase());
    this.#configured = configured;
  }

  /** Undefined when the operator names no origin. */
  static of(configured: Configured): CrossOrigin | undefined {
    const origins = configured["access-control-allow-origin"];
    return origins && origins.length > 0 ? new CrossOrigin(origins, configured) : undefined;
  }

  /**
   * CORS headers of every response. A single origin is named in all responses, as in distribution; of several
   * origins, the response names the one that sent the request, because browsers accept no list.
   */
  headers(): Readonly<Record<string, string>> {
    const [origin = ""] = this.#origins;
    return {
      ...(this.#origins.length > 1 ? { vary: "Origin" } : { "access-control-allow-origin": origin }),
      ...("access-control-expose-headers" in this.#configured ? {} : { "access-control-expose-headers": EXPOSED }),
    };
  }

  /** Returns CORS headers that depend on the request; undefined when there are none. */
  headersFor(request: Request): Readonly<Record<string, string>> | undefined {
    if (this.#origins.length < 2) return undefined;
    const origin = request.headers.get("origin");
    return origin !== null && this.#origins.includes(origin) ? { "access-control-allow-origin": origin } : undefined;
  }

  /** What answers "may I send this?" (a preflight request) at an endpoint with these methods. */
  preflightHeaders(methods: readonly string[]): Readonly<Record<string, string>> {
    return {
      allow: [...methods, "OPTIONS"].join(", "),
      ...(this.#methods ? {} : { "access-control-allow-methods": methods.join(", ") }),
      ...("access-control-allow-headers" in this.#configured ? {} : { "access-control-allow-headers": ACCEPTED }),
    };
  }

  /** Whether a page of `origin` may send requests of this method. */
  allows(origin: string, method: string): boolean {
    const isNamed = this.#origins.includes("*") || this.#origins.includes(origin);
    return isNamed && (this.#methods === undefined || this.#methods.includes(method) || this.#methods.includes("*"));
  }
}
