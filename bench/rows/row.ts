/** What is measured: each row by itself, on every peer that can. */
import type { Collection, StoredRepository } from "../contents.ts";
import type { Load } from "../loads/load.ts";
import type { PeerName } from "../peers/peer.ts";
import type { PeerServer } from "../peers/server.ts";

/** What lies in the registries, by the names of the repositories. */
export type Contents = ReadonlyMap<string, StoredRepository>;

/** Why a peer is left out of a row. */
export type LeftOut = Readonly<Partial<Record<PeerName, string>>>;

interface Named {
  readonly name: string;
  readonly needs: readonly Collection[];
  readonly leftOut?: LeftOut;
}

/** A load on a running server. */
export interface LoadRow extends Named {
  readonly kind: "load";
  /** Whether bytes are what counts, not operations. */
  readonly inBytes?: boolean;
  /** Whether it pushes: then it gets a registry of its own. */
  readonly pushes?: boolean;
  /** Called once before the load, where that would not warm everything up. */
  warmUp?(server: PeerServer): Promise<void>;
  /** Called once to warm up, and then for each round. */
  load(server: PeerServer, contents: Contents, seconds: number): Promise<Load>;
}

/** The time from the start of the program to its first answer with 200 for a path. */
export interface StartRow extends Named {
  readonly kind: "start";
  readonly path: string;
}

export type Row = LoadRow | StartRow;

export const NOT_BY_STATIC_FILES: LeftOut = { nginx: "static files only", bun: "the same bytes only" };

/** Connections of a load of small requests. */
export const CONNECTIONS = 16;

export function repositoryOf(contents: Contents, name: string): StoredRepository {
  const repository = contents.get(name);
  if (!repository) throw new Error(`the repository ${name} was not planted`);
  return repository;
}
