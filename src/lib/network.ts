/** Networks of addresses, such as `10.0.0.0/8`. */
import { BlockList, isIP, isIPv6 } from "node:net";

export interface Network {
  readonly address: string;
  /** How many bits at the beginning all its addresses share. */
  readonly bits: number;
  readonly family: "ipv4" | "ipv6";
}

/** The network that `10.0.0.0/8`, or the one address that `10.0.0.1` says; undefined for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const [, address = "", length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  const most = version === 6 ? 128 : 32;
  const bits = length === undefined ? most : Number(length);
  if (version === 0 || bits > most) return undefined;
  return { address, bits, family: version === 6 ? "ipv6" : "ipv4" };
}

/** Answers whether an address lies in one of some networks. */
export class Networks {
  readonly #list = new BlockList();

  constructor(networks: readonly Network[]) {
    for (const { address, bits, family } of networks) this.#list.addSubnet(address, bits, family);
  }

  has(address: string): boolean {
    const plain = plainAddress(address);
    const version = isIP(plain);
    return version !== 0 && this.#list.check(plain, version === 6 ? "ipv6" : "ipv4");
  }
}

/** The address of IPv4 that a socket for both families shows inside one of IPv6; any other as it is. */
export function plainAddress(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

/** Whether a host, as it stands in an address of the web or in one to listen on, is this machine alone. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** Returns the /64 network of an IPv6 address, because one customer has all of its addresses; other addresses unchanged. */
export function customerNetwork(address: string): string {
  if (!address.includes(":")) return address; // IPv4: this is asked for every large response
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const [before = "", after] = plain.split("::");
  const [head, tail] = [groupsOf(before), groupsOf(after ?? "")];
  const zeros = after === undefined ? 0 : 8 - head.length - tail.length;
  return [...head, ...Array<string>(zeros).fill("0"), ...tail].slice(0, 4).join(":");
}

function groupsOf(text: string): readonly string[] {
  return text.split(":").filter((group) => group !== "");
}
