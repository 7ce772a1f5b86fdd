/**
 * Where a request comes from, and by which address its client knows the registry. Behind a proxy neither shows on the
 * connection: the proxy says it in headers, and anybody can write those. They count from trusted proxies alone.
 */
import { isIP } from "node:net";
import { Networks, parseNetwork, plainAddress } from "../lib/network.ts";
import type { Network } from "../lib/network.ts";

/** Who asks, as far as the connection and trusted proxies tell. */
export interface Caller {
  /** The client's address; undefined on a Unix socket, and in a program that embeds the registry. */
  readonly address: string | undefined;
  /** How the client reached the outermost proxy, when a trusted one says so. */
  readonly scheme?: "http" | "https" | undefined;
  /** The name, and the port, that the client asked for, when a trusted proxy says so. */
  readonly host?: string | undefined;
}

export interface OriginOptions {
  /** Addresses and networks (`10.0.0.0/8`) whose word counts; `unix` for whoever connects to a Unix socket. */
  readonly trustedProxies?: readonly string[];
  /** What clients call the registry, such as `https://registry.example.com`, whatever a request says. */
  readonly host?: string | undefined;
}

export class Origins {
  readonly #proxies: Networks;
  readonly #trustsSocket: boolean;
  readonly #trustsNobody: boolean;
  readonly #host: string | undefined;

  constructor({ trustedProxies = [], host }: OriginOptions = {}) {
    const networks = trustedProxies.filter((proxy) => proxy !== "unix").map(networkOf);
    this.#proxies = new Networks(networks);
    this.#trustsNobody = trustedProxies.length === 0;
    this.#trustsSocket = trustedProxies.includes("unix");
    this.#host = host?.replace(/\/+$/, "");
  }

  /** Who sent `request` over a connection from `peer`, which is undefined on a Unix socket. */
  callerOf({ headers }: Request, peer: string | undefined): Caller {
    if (this.#trustsNobody || !this.#trusts(peer)) return { address: peer };
    const forwarded = headers.get("forwarded");
    const forwardedFor = headers.get("x-forwarded-for");
    const hops = (forwardedFor?.split(",") ?? []).map((hop) => addressIn(hop.trim()));
    const address = hops[this.#outermost(hops)] ?? peer;
    if (forwarded !== null) {
      const caller = this.#fromForwarded(forwarded, peer);
      // Most proxies write one of the two and pass on the other, which is the client's own: only what both say counts.
      return forwardedFor === null || caller.address === address ? caller : { ...caller, address: peer };
    }
    return {
      address,
      // Proxies overwrite these; where each added its own, the first one met the client.
      scheme: schemeIn(headers.get("x-forwarded-proto")?.split(",")[0]?.trim()),
      host: hostIn(headers.get("x-forwarded-host")?.split(",")[0]?.trim()),
    };
  }

  /**
   * The registry's address as the caller knows it, such as `https://registry.example.com`: no slash at the end. Empty when
   * nothing tells it, because a request of HTTP/1.0 has no Host.
   */
  baseOf(request: Request, caller: Caller): string {
    if (this.#host !== undefined) return this.#host;
    const scheme = caller.scheme ?? (request.url.startsWith("https:") ? "https" : "http");
    const host = caller.host ?? hostIn(request.headers.get("host")) ?? URL.parse(request.url)?.host;
    return host === undefined ? "" : `${scheme}://${host}`;
  }

  #trusts(address: string | undefined): boolean {
    return address === undefined ? this.#trustsSocket : this.#proxies.has(address);
  }

  /** RFC 7239: each proxy adds who came to it, and how. */
  #fromForwarded(header: string, peer: string | undefined): Caller {
    const elements = splitOutsideQuotes(header, ",").map(parametersOf);
    const hops = elements.map((element) => addressIn(element.get("for") ?? ""));
    const index = this.#outermost(hops);
    return {
      address: hops[index] ?? peer,
      scheme: schemeIn(elements[index]?.get("proto")),
      host: hostIn(elements[index]?.get("host")),
    };
  }

  /** Read from the end: the first hop that no trusted proxy made. Whatever stands before it may be invented. */
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

function schemeIn(text: string | undefined): "http" | "https" | undefined {
  const scheme = text?.toLowerCase();
  return scheme === "http" || scheme === "https" ? scheme : undefined;
}

/** A name with or without a port, and nothing that could end the quotes of a header that it is put into. */
function hostIn(text: string | null | undefined): string | undefined {
  return text && /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text) ? text : undefined;
}

function parametersOf(element: string): ReadonlyMap<string, string> {
  return new Map(
    splitOutsideQuotes(element, ";").flatMap((pair): [string, string][] => {
      const [, name, value = ""] = /^([\w-]+)=(.*)$/.exec(pair) ?? [];
      if (name === undefined) return [];
      return [[name.toLowerCase(), value.replace(/^"(.*)"$/, "$1").replaceAll(/\\(.)/g, "$1")]];
    }),
  );
}

function splitOutsideQuotes(text: string, separator: "," | ";"): readonly string[] {
  const parts = text.match(separator === "," ? /(?:"(?:\\.|[^"\\])*"|[^,"])+/g : /(?:"(?:\\.|[^"\\])*"|[^;"])+/g);
  return (parts ?? []).map((part) => part.trim());
}
