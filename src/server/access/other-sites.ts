/**
 * Keeps web pages of other sites from using a registry through the browser of who looks at them. Such a page can send a
 * POST to any address: to a registry of this machine that requires no login, and to one whose password the browser has
 * stored, which it attaches. One whose name leads to 127.0.0.1 (DNS rebinding) is of the same origin as the registry to
 * its browser.
 */
import { parseUrl } from "../../lib/parse-url.ts";
import { isIP } from "node:net";
import { OciError } from "../../oci/error.ts";
import type { CrossOrigin } from "../http/cross-origin.ts";

export interface OtherSitesOptions {
  /**
   * `marked pages`: what browsers mark as sent by another site (Sec-Fetch-Site, which they send over HTTPS and to this
   * machine), for a registry that requires a login: a proxy may have changed its Host. `pages`: also what comes from
   * another origin. `names and pages`: also names that are not the registry's.
   */
  readonly refused: "marked pages" | "pages" | "names and pages";
  /** What clients call the registry, such as `https://registry.example.com`. */
  readonly host?: string | undefined;
  /** Pages of other origins that are let in. */
  readonly crossOrigin?: CrossOrigin | undefined;
}

export class OtherSites {
  readonly #refused: OtherSitesOptions["refused"];
  readonly #own: URL | undefined;
  readonly #crossOrigin: CrossOrigin | undefined;

  constructor({ refused, host, crossOrigin }: OtherSitesOptions) {
    this.#refused = refused;
    this.#own = host === undefined ? undefined : new URL(host);
    this.#crossOrigin = crossOrigin;
  }

  /** Throws `DENIED` when a page of another site makes a browser send this, or could. */
  refuse(request: Request): void {
    const url = parseUrl(request.url);
    if (!url) return; // no Host: no browser sends such a request
    if (this.#refused === "names and pages" && !this.#isOwnName(url.hostname)) {
      throw new OciError("DENIED", {
        message:
          `${url.hostname.slice(0, 255)} is not a name of this registry, which serves this machine only and requires no ` +
          "login: use localhost or an address, set http.host to its public URL, or require a login",
      });
    }
    if (isUnsafe(request.method) && this.#isForeign(request, url)) {
      throw new OciError("DENIED", {
        message:
          "a web page of another site may not change this registry: " +
          "add its origin to Access-Control-Allow-Origin (http.headers), or set http.host to the public URL of the registry",
      });
    }
  }

  /** No page of the web can have one of these: an address, or a name that the public DNS does not know. */
  #isOwnName(hostname: string): boolean {
    const name = hostname.replace(/\.$/, "");
    return (
      isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0 ||
      !name.includes(".") || // localhost, and names of machines and containers, such as kind-registry
      name.endsWith(".localhost") || // "name resolution APIs … SHOULD … return the IP loopback address" (RFC 6761, 6.3)
      /^host\.[\w-]+\.internal$/.test(name) || // what containers and virtual machines call the machine that they run on
      name === this.#own?.hostname
    );
  }

  /** Whether a browser says that a page of another origin made it send this; other programs say nothing. */
  #isForeign({ headers, method }: Request, url: URL): boolean {
    const origin = headers.get("origin");
    if (origin !== null && this.#crossOrigin?.allows(origin, method)) return false;
    const site = headers.get("sec-fetch-site");
    if (site !== null) return site !== "same-origin" && site !== "none";
    if (origin === null || this.#refused === "marked pages") return false;
    const host = parseUrl(origin)?.host; // none of an origin that a page hides ("null")
    return host === undefined || (host !== url.host && host !== this.#own?.host);
  }
}

/** Whether a method may change something (RFC 9110, 9.2.1). */
function isUnsafe(method: string): boolean {
  return method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
}
