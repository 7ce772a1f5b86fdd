/** What stands side by side: how each is filled and started. */
import type { StoredRepository } from "../contents.ts";

export const PEERS = ["stowage", "distribution", "olareg", "nginx", "bun"] as const;

export type PeerName = (typeof PEERS)[number];

export interface Command {
  readonly words: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Peer {
  readonly name: PeerName;
  readonly version: () => string;
  /** How it was set up, and what of a push it has not made durable when it answers: a sentence each, for the report. */
  readonly settings: string;
  readonly durability: string;
  /** Puts content into a fresh folder, before the server starts. */
  plant(folder: string, repositories: readonly StoredRepository[]): Promise<void>;
  /** Writes the settings and gives the command of a server on that folder and port. */
  command(folder: string, port: number): Promise<Command>;
}
