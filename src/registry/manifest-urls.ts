/** The addresses in a manifest, where a registry lets only some of them in. */
import { parseUrl } from "../lib/parse-url.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { invalidManifest } from "../oci/invalid-manifest.ts";

/** Whether a manifest may name an address. */
export type UrlRule = (url: string) => boolean;

/** Characters. Longer ones are cut off by clients and proxies, and every one of them has to be matched. */
const MAX_URL_LENGTH = 2048;

/** So many addresses of a manifest are matched; an image has a few for each of its layers. */
const MAX_URLS = 1000;

/**
 * Refuses with `MANIFEST_INVALID` what names an address that `allows` does not allow, or that is none of http or https, or
 * has a fragment: clients would fetch content from there.
 */
export function checkUrls(descriptors: Iterable<readonly [path: string, Descriptor]>, allows: UrlRule): void {
  let count = 0;
  for (const [path, { urls = [] }] of descriptors) {
    for (const [at, url] of urls.entries()) {
      const place = `${path}.urls[${at}]`;
      if (++count > MAX_URLS) throw invalidManifest(place, `is one too many: at most ${MAX_URLS} addresses are taken`);
      if (url.length > MAX_URL_LENGTH) throw invalidManifest(place, `must have at most ${MAX_URL_LENGTH} characters`);
      if (!isWebAddress(url)) throw invalidManifest(place, "must be an http:// or https:// address without a fragment");
      if (!allows(url)) {
        throw invalidManifest(place, "is not an address that this registry allows (validation.manifests.urls)");
      }
    }
  }
}

function isWebAddress(text: string): boolean {
  const url = parseUrl(text);
  // What a parser mends could be read otherwise by another one.
  return url !== undefined && /^https?:\/\/[^\s#\\]+$/i.test(text) && url.hash === "";
}
