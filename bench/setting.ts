/** Where and with what something was measured. */
import { cpus, release, totalmem } from "node:os";
import type { Peer, PeerName } from "./peers/peer.ts";

export interface Setting {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly peers: readonly {
    readonly name: PeerName;
    readonly version: string;
    readonly settings: string;
    readonly durability: string;
  }[];
}

const GIB = 2 ** 30;

export function settingOf(peers: readonly Peer[]): Setting {
  return {
    date: new Date().toISOString(),
    commit: commit(),
    machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / GIB)} GiB, Linux ${release()}`,
    peers: peers.map(({ name, version, settings, durability }) => ({ name, version: version(), settings, durability })),
  };
}

function commit(): string {
  const isChanged = git("status", "--porcelain", "--", "../src") !== "";
  return git("rev-parse", "--short", "HEAD") + (isChanged ? " and changes" : "");
}

function git(...words: string[]): string {
  return Bun.spawnSync(["git", ...words], { cwd: import.meta.dir })
    .stdout.toString()
    .trim();
}
