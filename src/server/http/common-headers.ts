/** Headers that every reply has unless it says otherwise itself: the server's, and those that its operator adds. */
import { CrossOrigin } from "./cross-origin.ts";

/** Values of headers by their names. */
export type ConfiguredHeaders = Readonly<Record<string, readonly string[]>>;

/** Headers by their names in lower case. */
export type HeaderMap = Readonly<Record<string, string>>;

/** Made once for a server: a request costs a choice between two of them. */
export class CommonHeaders {
  readonly crossOrigin: CrossOrigin | undefined;
  readonly #registry: HeaderMap;
  readonly #others: HeaderMap;

  /** Throws a `TypeError` for a name or a value that no header can have. */
  constructor(headers: ConfiguredHeaders = {}) {
    const configured = Object.fromEntries(
      Object.entries(headers).map(([name, values]) => [name.toLowerCase(), values]),
    );
    this.crossOrigin = CrossOrigin.of(configured);
    const { "access-control-allow-origin": _, ...plain } = configured;
    const joined = Object.fromEntries(Object.entries(plain).map(([name, values]) => [name, values.join(", ")]));
    this.#others = withDefaults({ "x-content-type-options": "nosniff", ...joined }, this.crossOrigin?.headers() ?? {});
    this.#registry = { "docker-distribution-api-version": "registry/2.0", ...this.#others };
    void new Headers(this.#registry); // rather here than with the first request
  }

  /** Those of a path below the prefix. */
  at(path: string): HeaderMap {
    return path.startsWith("/v2") || path.startsWith("/extensions/v2/") ? this.#registry : this.#others;
  }
}

/** `headers`, and those of `defaults` that they do not say otherwise. Both of `Vary` count. */
export function withDefaults(headers: HeaderMap, defaults: HeaderMap): HeaderMap {
  const both = { ...defaults, ...headers };
  return headers["vary"] !== undefined && defaults["vary"] !== undefined
    ? { ...both, vary: `${headers["vary"]}, ${defaults["vary"]}` }
    : both;
}
