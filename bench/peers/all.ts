/** The peers by their names. */
import { bun } from "./bun.ts";
import { distribution } from "./distribution.ts";
import { nginx } from "./nginx.ts";
import { olareg } from "./olareg.ts";
import { PEERS } from "./peer.ts";
import type { Peer } from "./peer.ts";
import { stowage } from "./stowage.ts";

/** Peers from a list such as `stowage,nginx`. */
export function peersOf(names: string): readonly Peer[] {
  return names.split(",").map((name) => {
    const peer = [stowage, distribution, olareg, nginx, bun].find((one) => one.name === name);
    if (!peer) throw new Error(`There is no peer ${name}: choose from ${PEERS.join(", ")}`);
    return peer;
  });
}
