/**
 * Where a request comes from, and by which address its client knows the registry. Behind a proxy neither shows on the
 * connection: the proxy reports it in headers, which any client can send. They are used from trusted proxies only.
 */
import { parseUrl } from "../../lib/parse-url.ts";
import { isIP } from "node:net";
import { Networks, parseNetwork, plainAddress } from "../../lib/network.ts";
import type { Network } from "../../lib/network.ts";

/** The client, as the connection and trusted proxies report it. */
export interface Caller {
  /** The client's address; undefined on a Unix socket, and in a program that embeds the registry. */
  readonly address: string | undefined;
  /** Whether the connection comes from a trusted proxy. */
  readonly isProxied?: boolean;
}

/** What the headers of one kind say of the client; undefined where they say nothing, or nothing that can be. */
interface Reported {
  readonly address: string | undefined;
  /** How the client reached the outermost proxy. */
  readonly scheme: "http" | "https" | undefined;
  /** The name, and the port, that the client asked for. */
  readonly host: string | undefined;
}

export interface OriginOptions {
  /** Addresses and networks (`10.0.0.0/8`) that are trusted; `unix` trusts all connections to a Unix socket. */
  readonly trustedProxies?: readonly string[];
  /** What clients call the registry, such as `https://registry.example.com`, whatever a request says. */
  readonly host?: string | undefined;
  /** The path below which the registry is, such as `/registry`: with a slash before it. */
  readonly prefix?: string | undefined;
}

export class Origins {
  readonly #proxies: Networks;
  readonly #trustsSocket: boolean;
  readonly #trustsNobody: boolean;
  readonly #host: string | undefined;
  /** The path below which the registry is; empty at the top of its host. */
  readonly prefix: string;

  constructor({ trustedProxies = [], host, prefix = "" }: OriginOptions = {}) {
    const networks = trustedProxies.filter((proxy) => proxy !== "unix").map(networkOf);
    this.#proxies = new Networks(networks);
    this.#trustsNobody = trustedProxies.length === 0;
    this.#trustsSocket = trustedProxies.includes("unix");
    this.#host = host?.replace(/\/+$/, "");
    this.prefix = prefix.replace(/\/+$/, "");
  }

  /** Who sent `request` over a connection from `peer`, which is undefined on a Unix socket. */
  callerOf(request: Request, peer: string | undefined): Caller {
    if (this.#trustsNobody || !this.#trusts(peer)) return { address: peer };
    return { address: this.#clientAddress(request) ?? peer, isProxied: true };
  }

  /**
   * The registry's address as the caller knows it, such as `https://registry.example.com`: no slash at the end. Empty when
   * nothing tells it, because a request of HTTP/1.0 has no Host.
   */
  baseOf(request: Request, caller: Caller): string {
    if (this.#host !== undefined) return this.#host;
    const said = caller.isProxied ? this.#askedFor(request) : undefined;
    const scheme = said?.scheme ?? schemeOf(request.url);
    const host = said?.host ?? hostIn(request.headers.get("host")) ?? hostIn(parseUrl(request.url)?.host);
    return host === undefined ? "" : `${scheme}://${host}`;
  }

  #trusts(address: string | undefined): boolean {
    return address === undefined ? this.#trustsSocket : this.#proxies.has(address);
  }

  /**
   * The last hop of `X-Forwarded-For` that no trusted proxy made: nearly every proxy appends to that header, so its end is
   * written by ours. `Forwarded` counts only where no header of the older kind came.
   */
  #clientAddress({ headers, url }: Request): string | undefined {
    const hops = listIn(headers.get("x-forwarded-for"))?.map(addressIn);
    if (hops) return hops[this.#outermost(hops)];
    return this.#olderReport(headers, url) ? undefined : this.#forwardedReport(headers)?.address;
  }

  /**
   * By which scheme and name the client asked. A proxy writes one kind of header and may pass on the other, which is then
   * the client's own: where the two contradict each other, neither is believed.
   */
  #askedFor({ headers, url }: Request): Pick<Reported, "scheme" | "host"> | undefined {
    const [older, forwarded] = [this.#olderReport(headers, url), this.#forwardedReport(headers)];
    if (!older) return forwarded;
    return forwarded && contradict(older, forwarded) ? undefined : older;
  }

  /** Hops in `Forwarded` (RFC 7239). Undefined when there is no such header. */
  #forwardedReport(headers: Headers): Reported | undefined {
    const header = headers.get("forwarded");
    if (header === null) return undefined;
    const elements = splitOutsideQuotes(header, ",").map(forwardedParameters);
    const hops = elements.map((element) => addressIn(element.get("for") ?? ""));
    const index = this.#outermost(hops);
    const element = elements[index];
    const scheme = schemeIn(element?.get("proto"));
    return { address: hops[index], scheme, host: hostIn(element?.get("host")) };
  }

  /** `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`; undefined when there is none of them. */
  #olderReport(headers: Headers, url: string): Reported | undefined {
    const list = (name: string): List => listIn(headers.get(`x-forwarded-${name}`));
    const [hops, protos, hosts, ports] = [list("for"), list("proto"), list("host"), list("port")];
    if (!hops && !protos && !hosts && !ports) return undefined;
    const addresses = (hops ?? []).map(addressIn);
    const index = this.#outermost(addresses);
    // Each proxy appends to a list or overwrites it, and the client may have begun it: so a hop's item is counted from the end.
    const fromEnd = Math.min(index - addresses.length, -1);
    const ofHop = (items: List): string | undefined => items?.at(fromEnd) ?? items?.[0];
    const scheme = schemeIn(ofHop(protos));
    const port = portIn(ofHop(ports));
    const host = hostIn(ofHop(hosts)) ?? (port === undefined ? undefined : hostIn(headers.get("host")));
    return { address: addresses[index], scheme, host: host && withPort(host, port, scheme ?? schemeOf(url)) };
  }

  /** Returns the last hop that is not a trusted proxy. Hops before it may be forged. */
  #outermost(hops: readonly (string | undefined)[]): number {
    for (let index = hops.length - 1; index > 0; index--) {
      const hop = hops[index];
      if (hop === undefined || !this.#trusts(hop)) return index;
    }
    return 0;
  }
}

function networkOf(text: string): Network {
  const network = parseNetwork(text);
  if (!network) throw new TypeError(`${text} is neither an address nor a network`);
  return network;
}

/** The address in `203.0.113.7`, `203.0.113.7:1234`, `[2001:db8::1]:1234` or `2001:db8::1`. */
function addressIn(text: string): string | undefined {
  const address = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(address) === 0 ? undefined : plainAddress(address);
}

type List = readonly string[] | undefined;

/** The items of a header that is a list; undefined when there is none. */
function listIn(header: string | null): List {
  return header === null ? undefined : header.split(",").map((item) => item.trim());
}

/** Whether two reports of one request differ where both say something. */
function contradict(one: Reported, other: Reported): boolean {
  return (["address", "scheme", "host"] as const).some((fact) => {
    const [here, there] = [one[fact]?.toLowerCase(), other[fact]?.toLowerCase()];
    return here !== undefined && there !== undefined && here !== there;
  });
}

function schemeOf(url: string): "http" | "https" {
  return url.startsWith("https:") ? "https" : "http";
}

function schemeIn(text: string | undefined): "http" | "https" | undefined {
  const scheme = text?.toLowerCase();
  return scheme === "http" || scheme === "https" ? scheme : undefined;
}

/** Characters of a name in the DNS (RFC 1035, 2.3.4), and a colon and a port. */
const MAX_HOST_LENGTH = 255 + ":65535".length;

/** A name with or without a port, and nothing that could end the quotes of a header that it is put into. */
function hostIn(text: string | null | undefined): string | undefined {
  return text && text.length <= MAX_HOST_LENGTH && /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text)
    ? text
    : undefined;
}

/** `host` with `port`, unless it has one or that is the scheme's own. */
function withPort(host: string, port: string | undefined, scheme: "http" | "https"): string {
  const isPlain = port === undefined || port === (scheme === "https" ? "443" : "80");
  return isPlain || /:\d+$/.test(host) ? host : `${host}:${port}`;
}

function portIn(text: string | undefined): string | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? String(Number(text)) : undefined;
}

function forwardedParameters(element: string): ReadonlyMap<string, string> {
  return new Map(
    splitOutsideQuotes(element, ";").flatMap((pair): [string, string][] => {
      const [, name, value = ""] = /^([\w-]+)=(.*)$/.exec(pair) ?? [];
      if (name === undefined) return [];
      return [[name.toLowerCase(), value.replace(/^"(.*)"$/, "$1").replaceAll(/\\(.)/g, "$1")]];
    }),
  );
}

/** Read once, from the beginning to the end. A quote that is not closed quotes nothing, nor does any behind it. */
function splitOutsideQuotes(text: string, separator: "," | ";"): readonly string[] {
  const parts: string[] = [];
  let begin = 0;
  let isQuoting = true;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"' && isQuoting) {
      const end = endOfQuotes(text, at);
      if (end === undefined) isQuoting = false;
      else at = end;
    } else if (text[at] === separator) {
      parts.push(text.slice(begin, at));
      begin = at + 1;
    }
  }
  return [...parts, text.slice(begin)].map((part) => part.trim()).filter((part) => part !== "");
}

/** Where the quotes are closed that are opened at `start` (RFC 9110, 5.6.4); undefined when they are not. */
function endOfQuotes(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at;
  }
  return undefined;
}
